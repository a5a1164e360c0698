"""Boosted trees and cuts are what scikit-learn fitted, and summaries what their names say."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression

from hepgmm.classify.files import load_model, save_model
from hepgmm.classify.ladder import BoostedTrees, PtCut
from hepgmm.classify.metrics import auc
from hepgmm.classify.summaries import SUMMARY_NAMES, EventPt, event_summaries
from hepgmm.crossings.samples import Sample


def column(summaries, name):
    return summaries[:, SUMMARY_NAMES.index(name)]


def test_summaries_of_an_event_by_hand():
    X = np.zeros((1, 4, 5))
    X[0, :3] = [[0.5, 1.0, 0.1, 0.05, 3.0], [0.3, -1.0, 0.3, -5.0, 3.5], [0.2, 2.0, 3.0, 20.0, 9.0]]
    summaries = event_summaries(X, np.array([[True, True, True, False]]))
    expected = {
        "number of tracks": 3,
        "pT of the 1 hardest": 0.5,
        "pT of the 2 hardest": 0.8,
        "sum of pT squared": 0.38,
        "mean |eta|": 4 / 3,
        "pT-weighted |eta|": 1.2,
        "fraction |d0| > 1 mm": 2 / 3,
        "pT fraction |d0| > 1 mm": 0.5,
        "fraction |d0| > 10 mm": 1 / 3,
        "largest log |d0|": np.log10(20.001),
        "log |d0| of the hardest": np.log10(0.051),
        "pT-weighted dz": 4.35,
        "spread of dz": np.std([3.0, 3.5, 9.0]),
        "pT within 1 mm in dz of the hardest": 0.8,
        "pT within 1 mm in dz of 0": 0.0,
        "fraction |dz| < 1 mm": 0.0,
        "pT opposite to the hardest track": 0.2,
        "log |d0| of the second hardest": np.log10(5.001),
        "log |d0| of the third hardest": np.log10(20.001),
    }
    for name, value in expected.items():
        assert column(summaries, name)[0] == pytest.approx(value), name


def test_cones_of_an_event_by_hand():
    """Two cones that overlap, each over φ = ±π, and tracks on both sides of |Δφ| = 2."""
    phi = np.array([3.1, -3.1, -2.8, -2.5, -2.2, 3.1 - 1.9, 3.1 - 2.1])
    pt = np.array([0.35, 0.05, 0.2, 0.15, 0.05, 0.1, 0.1])
    X = np.zeros((1, 7, 5))
    X[0, :, 0], X[0, :, 2] = pt, phi
    expected = {
        "pT in a cone around the hardest track": 0.35 + 0.05 + 0.2,
        "pT in a cone around the hardest outside that cone": 0.15 + 0.05,
        "pT opposite to the hardest track": 0.1,
    }
    for order in (np.arange(7), np.arange(7)[::-1], np.array([3, 5, 1, 0, 2, 6, 4])):
        summaries = event_summaries(X[:, order], np.ones((1, 7), dtype=bool))
        for name, value in expected.items():
            assert column(summaries, name)[0] == pytest.approx(value), name


def test_the_order_of_tracks_changes_nothing(toy):
    sample, order = toy(30, seed=1), np.random.default_rng(2).permutation(toy(1, seed=1).X.shape[1])
    summaries = event_summaries(sample.X[:, order], sample.mask[:, order])
    np.testing.assert_allclose(
        summaries, event_summaries(sample.X, sample.mask), rtol=1e-6, atol=1e-9
    )


def test_trees_of_other_summaries_are_refused(toy, tmp_path, monkeypatch):
    model = BoostedTrees(max_iter=3).fit(toy(200, seed=2), seed=1).model
    save_model(tmp_path / "trees.safetensors", model)
    assert load_model(tmp_path / "trees.safetensors").hyperparameters == model.hyperparameters
    others = (SUMMARY_NAMES[1], SUMMARY_NAMES[0], *SUMMARY_NAMES[2:])
    monkeypatch.setattr("hepgmm.classify.summaries.SUMMARY_NAMES", others)
    with pytest.raises(
        ValueError, match=r"trees\.safetensors: .*other summaries.* train them again"
    ):
        load_model(tmp_path / "trees.safetensors")


def test_padding_and_azimuth_of_the_event_change_nothing(toy):
    sample = toy(30, seed=1)
    summaries = event_summaries(sample.X, sample.mask)
    X = np.where(sample.mask[..., None], sample.X, 7.0)
    padded = np.concatenate([X, np.full((30, 3, 6), 9.0)], axis=1)
    mask = np.concatenate([sample.mask, np.zeros((30, 3), dtype=bool)], axis=1)
    padded[..., 2] = (padded[..., 2] + 1.0 + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(event_summaries(padded, mask), summaries, rtol=1e-4, atol=1e-6)


def test_an_event_without_tracks_is_finite():
    summaries = event_summaries(np.zeros((1, 4, 5)), np.zeros((1, 4), dtype=bool))
    assert np.isfinite(summaries).all()
    assert column(summaries, "number of tracks")[0] == 0


def test_fewer_tracks_than_the_summaries_ask_for_are_as_if_padded(toy):
    sample = toy(30, seed=1)
    mask = sample.mask & (np.arange(sample.mask.shape[1]) < 2)
    short = event_summaries(sample.X[:, :2], mask[:, :2])
    np.testing.assert_array_equal(short, event_summaries(sample.X, mask))


def test_trees_learn_and_are_reproducible(toy):
    training, test = toy(600, seed=2, displaced=0.3), toy(600, seed=3, displaced=0.3)

    def scored():
        trees = BoostedTrees(max_iter=30).fit(training, seed=4)
        return trees.predict_proba(test.X, test.mask)

    scores = scored()
    assert auc(scores, test.y) > 0.9
    np.testing.assert_array_equal(scores, scored())


@pytest.mark.parametrize("n_columns", [5, 6])
def test_the_tensors_are_the_trees_of_scikit_learn(n_columns, toy, monkeypatch):
    fitted = []
    original = HistGradientBoostingClassifier.fit
    monkeypatch.setattr(
        HistGradientBoostingClassifier,
        "fit",
        lambda self, *data: fitted.append(self) or original(self, *data),
    )
    training, test = toy(900, seed=6, displaced=0.2), toy(900, seed=7, displaced=0.2)
    training = Sample(training.X[..., :n_columns], training.mask, training.y)
    trees = BoostedTrees(max_iter=40).fit(training, seed=1)
    X = test.X[..., :n_columns]
    expected = fitted[0].predict_proba(event_summaries(X, test.mask))[:, 1]
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(trees.predict_proba(X, test.mask), expected, rtol=0, atol=1e-6)


def test_the_cut_is_the_step_function_of_scikit_learn(toy):
    sample = toy(500, seed=8)
    cut = PtCut().fit(sample, seed=1)
    column = cut.model.hyperparameters["column"]
    pt = EventPt(6)(torch.from_numpy(sample.X), torch.from_numpy(sample.mask)).numpy()[:, column]
    rising = auc(pt, sample.y) > 0.5
    steps = IsotonicRegression(increasing=rising, out_of_bounds="clip").fit(pt, sample.y)
    found = cut.predict_proba(sample.X, sample.mask)
    np.testing.assert_allclose(found, steps.predict(pt), rtol=0, atol=2e-6)
    assert np.unique(found).size > 3


def test_events_of_one_pt_have_the_share_of_signal(toy):
    X, mask = np.ones((4, 2, 5)), np.ones((4, 2), dtype=bool)
    cut = PtCut().fit(Sample(X, mask, [0, 0, 0, 1]), seed=1)
    np.testing.assert_allclose(cut.predict_proba(X, mask), 0.25)


def test_trees_need_both_classes(toy):
    sample = toy(50, seed=5)
    with pytest.raises(ValueError, match="training: no background event"):
        BoostedTrees().fit(sample[sample.y == 1], seed=0)
