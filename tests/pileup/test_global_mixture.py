"""One mixture for all tracks: it finds a known one, and draws from it."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import ks_2samp

from hepgmm.events import make_events
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.pileup.baselines import GlobalMixture
from hepgmm.pileup.points import expand, track_features

KNOWN = GaussianMixture(
    [0.7, 0.3],
    [[-0.7, 0.0, 0.0, 0.0], [0.5, 1.0, 3.0, 6.0]],
    [np.diag([0.5, 4.0, 0.2, 0.2]), np.diag([0.3, 2.0, 1.0, 1.0]) + 0.1],
)


def points_of(events):
    """Features of all tracks, float64 ``(N, 4)``."""
    return track_features(events, features="asinh")[0]


@pytest.fixture(scope="module")
def training():
    """Two hundred events of 30 tracks from the known mixture."""
    points = KNOWN.sample(6000, seed=1)
    return make_events({**expand(points), "phi": np.zeros(6000)}, [30] * 200)


@pytest.fixture(scope="module")
def model(training):
    return GlobalMixture(n_components=range(1, 7), seed=1).fit(training)


def test_recovers_a_known_mixture(model):
    fitted, n = model.mixture_, 6000
    assert fitted.n_components == 2
    order = np.argsort(-fitted.weights)
    # Components overlap a little: errors are those of labelled points, half as large again.
    share = KNOWN.weights * n
    error = 1.5 * np.sqrt(KNOWN.weights[0] * KNOWN.weights[1] / n)
    assert abs(fitted.weights[order[0]] - 0.7) < 4 * error
    for k, own in enumerate(order):
        variances = np.diag(KNOWN.covariances[k])
        pulls = (fitted.means[own] - KNOWN.means[k]) / (1.5 * np.sqrt(variances / share[k]))
        assert (np.abs(pulls) < 4).all()
        ratios = np.diag(fitted.covariances[own]) / variances
        assert (np.abs(ratios - 1) < 4 * 1.5 * np.sqrt(2 / share[k])).all()


def test_samples_the_mixture(model):
    points = points_of(model.sample(300, seed=2))
    reference = KNOWN.sample(9000, seed=3)
    for direction in (*np.eye(4), [0, 0, 1, 1], [1, 0, 1, 0]):
        assert ks_2samp(points @ direction, reference @ direction).pvalue > 1e-3


def test_report_agrees_with_the_fit(training, model):
    report, points = model.report_, points_of(training)
    assert report["tracks_used"] == 6000
    best, _ = np.unravel_index(np.nanargmin(model.bic_), model.bic_.shape)
    assert report["K"] == model.candidates_[best] == 2
    assert report["BIC"] == np.nanmin(model.bic_) == pytest.approx(model.mixture_.bic(points))
    assert report["components_floored"] == 0 and report["converged"]


def test_exact_zeros_lie_at_the_floor(toy_minbias):
    model = GlobalMixture(n_components=range(1, 7), covariance_floor=1e-3).fit(toy_minbias)
    assert model.report_["components_floored"] > 0
    smallest = np.linalg.eigvalsh(model.mixture_.covariances)[:, 0]
    assert smallest.min() == pytest.approx(1e-3, rel=1e-6)
    d0 = ak.to_numpy(ak.flatten(model.sample(2000, seed=1).d0))
    # Prompt tracks are smeared by the root of the floor, in units of 10 µm, and by no more.
    prompt = ak.mean(ak.flatten(toy_minbias.d0) == 0)
    assert np.mean(np.abs(d0) < 4 * 0.01 * np.sqrt(1e-3)) == pytest.approx(prompt, abs=0.03)


def test_at_most_so_many_tracks_are_fitted(training):
    one, same, other = (
        GlobalMixture(n_components=2, max_tracks=500, seed=seed).fit(training) for seed in (1, 1, 2)
    )
    assert one.report_["tracks_used"] == 500
    np.testing.assert_array_equal(one.mixture_.means, same.mixture_.means)
    assert np.abs(one.mixture_.means - other.mixture_.means).max() > 1e-3


def test_threads_change_nothing(training, model):
    threaded = GlobalMixture(n_components=range(1, 7), seed=1, workers=2).fit(training)
    np.testing.assert_array_equal(threaded.mixture_.covariances, model.mixture_.covariances)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 0}, "n_components: give positive whole numbers"),
        ({"n_components": 10**6}, "points: got 6000, but at least 1000000 are needed"),
        ({"n_init": 0}, "n_init = 0: give a whole number"),
        ({"covariance_floor": 0.0}, "floors = 0.0: give positive numbers"),
        ({"max_tracks": 1}, "max_tracks = 1: give a whole number of at least 2"),
        ({"max_tracks": 1e4}, "max_tracks = 10000.0: give a whole number"),
    ],
)
def test_impossible_parameters_are_named(training, change, message):
    with pytest.raises(ValueError, match=message):
        GlobalMixture(**change).fit(training)
