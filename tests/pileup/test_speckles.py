"""Speckles of models made by hand, where every fraction is known in closed form."""

import json

import awkward as ak
import numpy as np
import pytest
from scipy.stats import norm

from hepgmm.mixture.gaussian import GaussianMixture, pack
from hepgmm.pileup.hierarchical import HierarchicalGMM
from hepgmm.pileup.speckles import (
    diagnose,
    smallest_spread,
    speckled_events,
    spreads,
)


@pytest.fixture(scope="module")
def fitted(toy_minbias):
    return HierarchicalGMM(n_components=[1, 2], max_components=[1], seed=1).fit(toy_minbias)


@pytest.fixture
def by_hand(fitted):
    """One component an event, L = diag(u, 1, 1, 1) with u ~ N(0, 0.1): narrow if |u| is small."""
    model = HierarchicalGMM(seed=1)
    vars(model).update({name: value for name, value in vars(fitted).items() if name[-1] == "_"})
    vector = pack(np.zeros((1, 4)), np.eye(4)[None], [1.0])[0]
    vector[4] = 0.0
    variances = np.full(15, 1e-18)
    variances[4] = 0.1**2
    model.high_level_ = GaussianMixture([1.0], vector[None], np.diag(variances)[None])
    model.component_shift_, model.component_scale_ = np.zeros(15), np.ones(15)
    model.n_components_counts_ = np.array([0, 10])
    return model


def test_spread_is_the_root_of_the_smallest_eigenvalue():
    rng = np.random.default_rng(1)
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    covariance = rotation @ np.diag([9.0, 0.04, 4.0, 1.0]) @ rotation.T
    assert smallest_spread(covariance) == pytest.approx(0.2)
    line = np.array([[1.0, 2.0], [2.0, 4.0]])
    assert smallest_spread(line[None]).tolist() == pytest.approx([0.0], abs=1e-7)


def test_fraction_of_a_model_known_in_closed_form(by_hand):
    figures = diagnose(by_hand, n_events=5000, seed=2, threshold=0.02)
    expected = 2 * norm.cdf(0.02 / 0.1) - 1  # P(|u| < 0.02)
    for name in ("component_fraction", "track_fraction"):
        found = figures["synthetic"][name]
        assert abs(found["value"] - expected) < 4 * found["error"]
        assert found["error"] == pytest.approx(np.sqrt(expected * (1 - expected) / 5000), rel=0.1)
    median = 0.1 * norm.ppf(0.75)  # of |u|
    assert figures["synthetic"]["quantiles"][2] == pytest.approx(median, rel=0.06)


def test_speckled_tracks_are_those_of_narrow_components(by_hand):
    events, speckled = speckled_events(by_hand, n_events=400, seed=3)
    assert ak.array_equal(events, by_hand.sample(400, seed=3))
    assert ak.all(ak.num(events) == ak.num(speckled))
    # One component an event: all its tracks are marked, or none, and log pT tells which.
    assert ak.all(ak.all(speckled, axis=1) == ak.any(speckled, axis=1))
    width = ak.std(np.log(events.pt), axis=1)
    narrow = ak.any(speckled, axis=1)
    assert 0 < ak.sum(narrow) < 400
    assert ak.mean(width[narrow]) < 0.02 < ak.mean(width[~narrow])


def test_clipping_cures_them(by_hand):
    before = diagnose(by_hand, n_events=2000, seed=2)["synthetic"]["component_fraction"]["value"]
    by_hand.set_params(clip_eigenvalues=0.03**2)
    after = diagnose(by_hand, n_events=2000, seed=2)
    assert before > 0.1
    assert after["synthetic"]["component_fraction"] == {"value": 0.0, "error": 0.0}
    assert min(spreads(by_hand, n_events=2000, seed=2)["synthetic"]) == pytest.approx(0.03)


def test_fitted_figures_are_those_of_the_event_mixtures(fitted):
    features = ("log_pt", "eta", "d0", "dz")
    figures = diagnose(fitted, n_events=50, seed=1, threshold=0.02, features=features)["fitted"]
    mixtures = fitted.event_mixtures_
    narrow = np.sqrt(np.linalg.eigvalsh(mixtures.covariances)[:, 0]) < 0.02
    assert figures["component_fraction"]["value"] == pytest.approx(narrow.mean())
    tracks = mixtures.weights * np.repeat(fitted.multiplicities_, mixtures.n_components)
    assert figures["track_fraction"]["value"] == pytest.approx(tracks[narrow].sum() / tracks.sum())
    assert figures["components"] == len(narrow)


def test_figures_go_into_json(fitted):
    figures = diagnose(fitted, n_events=20, seed=1)
    assert json.loads(json.dumps(figures)) == figures


def test_unknown_features_are_named(fitted):
    with pytest.raises(ValueError, match="features: pt; allowed: log_pt, eta, d0, dz"):
        diagnose(fitted, n_events=5, seed=1, features=("pt",))
