"""Figures of merit of several trainings: errors hold the test events and the trainings."""

import numpy as np
import pytest
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_curve as sklearn_roc

from hepgmm.classify.metrics import auc, auc_difference, difference, roc_band, rung_figures
from hepgmm.crossings.samples import Sample
from hepgmm.statistics import format_measurement


def sample(n, seed):
    """Signal has more displaced tracks; half of it is of another mass."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.stack([rng.random((n, 6)) for _ in range(6)], axis=-1)
    X[..., 3] *= np.where(rng.random((n, 1)) < 0.6, 1 + 9 * y[:, None], 1)
    mass = np.where(y, rng.choice([100.0, 500.0], n), 0.0)
    return Sample(X, np.ones((n, 6), dtype=bool), y, mass)


def test_a_rejection_of_few_events_is_a_lower_limit():
    """No background passes: 95% of the samples of 3.0 expected events have one or more."""
    test = sample(3000, 6)
    figures = rung_figures(test.y[None].astype(float), test, n_bootstrap=5, seed=1)
    n_background = (test.y == 0).sum()
    assert figures["rejection_50"] == {"above": pytest.approx(n_background / -np.log(0.05))}
    assert format_measurement(figures["rejection_50"]).startswith("> ")


def test_errors_hold_the_test_events_and_the_trainings():
    test, rng = sample(2000, 4), np.random.default_rng(5)
    good = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2), 0, 1)
    same = rung_figures(np.stack([good, good]), test, seed=1)
    alone = rung_figures(good[None], test, seed=1)
    assert alone["auc"]["trainings"] is None and same["auc"]["trainings"] == 0
    for name in ("value", "error"):
        assert same["auc"][name] == pytest.approx(alone["auc"][name])
    assert same["auc"]["value"] == pytest.approx(auc(good, test.y))
    coins = np.stack([good, rng.random(2000)])
    figure = rung_figures(coins, test, seed=1)["auc"]
    areas = [auc(row, test.y) for row in coins]
    assert figure["value"] == pytest.approx(np.mean(areas))
    assert figure["trainings"] == pytest.approx(np.std(areas, ddof=1))
    assert figure["error"] > np.std(areas, ddof=1) / np.sqrt(2)


def test_a_roc_band_is_the_curve_and_its_error():
    test, rng = sample(3000, 8), np.random.default_rng(9)
    scores = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2, (2, 3000)), 0, 1)
    band = roc_band(scores, test, n_bootstrap=100, seed=1)
    efficiency, rate = np.array(band["efficiency"]), np.array(band["rate"])
    assert (np.diff(rate) >= 0).all() and (np.diff(efficiency) > 0).all()
    for row in scores:
        false, true, _ = sklearn_roc(test.y, row)
        expected = np.interp(efficiency, true, false)
        # Two trainings that differ by their noise only.
        assert np.abs(rate - expected).max() < 0.05
    background = (test.y == 0).sum()
    middle = len(rate) // 2
    counted = np.sqrt(rate[middle] * (1 - rate[middle]) / background)
    # Two trainings, each with independent noise of its own, and the spread of the signal.
    assert 0.4 * counted < band["error"][middle] < 2.5 * counted
    areas = [auc(row, test.y) for row in scores]
    assert area_under(efficiency, 1 - rate) == pytest.approx(np.mean(areas), abs=0.01)


def test_difference_of_single_trainings_is_the_paired_one():
    test, rng = sample(1000, 6), np.random.default_rng(7)
    one = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2), 0, 1)
    other = np.clip(one + rng.normal(0, 0.05, 1000), 0, 1)
    found = difference(one[None], other[None], test, n_bootstrap=500, seed=1)
    expected = auc_difference(one, other, test.y, seed=1)
    assert found["value"] == pytest.approx(expected["value"])
    assert found["error"] == pytest.approx(expected["error"], rel=0.15)
    assert difference(one[None], one[None], test, seed=1)["error"] == 0
    both = difference(np.stack([one, other]), one, test, seed=1)
    assert both["value"] == pytest.approx(-expected["value"] / 2)
    assert both["trainings"] == pytest.approx(abs(expected["value"]) / np.sqrt(2))
    with pytest.raises(ValueError, match="others: 2 trainings; give 1 or 3"):
        difference(np.stack([one] * 3), np.stack([one] * 2), test, seed=1)
