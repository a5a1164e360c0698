"""Rejection and calibration against closed forms."""

import numpy as np
import pytest
from scipy.stats import norm

from hepgmm.classify.metrics import background_rejection, calibration_curve


def gaussians(n, separation, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return rng.normal(size=n) + separation * labels, labels


def test_rejection_of_two_gaussians_is_the_closed_form():
    scores, labels = gaussians(40_000, 1.5, seed=1)
    found = background_rejection(scores, labels, seed=2)
    assert list(found) == [0.7, 0.6, 0.5, 0.3, 0.1]
    for efficiency, figure in found.items():
        expected = 1 / norm.sf(norm.isf(efficiency) + 1.5)
        assert abs(figure["value"] - expected) < 4 * figure["error"]
        # 1 / FPR of n FPR events: the relative error is about that of a count.
        passed = (labels == 0).sum() / expected
        assert 0.7 < figure["error"] / expected * np.sqrt(passed) < 2


def test_rejection_interpolates_ties_as_the_roc_curve_does():
    scores = np.repeat([0, 0, 1, 1, 1, 1], 100)
    labels = np.repeat([0, 0, 0, 1, 1, 1], 100)
    # A third of the background passes with all of the signal: a sixth with half of it.
    assert background_rejection(scores, labels, [0.5], seed=1)[0.5]["value"] == pytest.approx(6)


def test_an_efficiency_that_few_background_events_pass_is_left_out():
    scores = np.concatenate([np.arange(100.0), np.arange(50.0, 150.0)])
    labels = np.repeat([0, 1], 100)
    assert list(background_rejection(scores, labels, [0.95, 0.55], seed=1)) == [0.95]


def test_equal_probabilities_are_one_whatever_their_order():
    labels = np.repeat([0, 1], 50)
    predicted, observed, error = calibration_curve(np.full(100, 0.5), labels, n_bins=2)
    assert predicted.tolist() == observed.tolist() == [0.5, 0.5]
    _, observed, error = calibration_curve([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 1], n_bins=2)
    assert observed.tolist() == [0.0, 1.0] and (error > 0.1).all()


def test_a_calibrated_probability_lies_on_the_diagonal():
    rng = np.random.default_rng(3)
    probabilities = rng.beta(2, 2, 20_000)
    labels = (rng.random(20_000) < probabilities).astype(int)
    predicted, observed, error = calibration_curve(probabilities, labels, n_bins=20)
    assert (np.diff(predicted) > 0).all()
    pulls = (observed - predicted) / error
    assert (pulls**2).sum() < 20 + 4 * np.sqrt(40)
    squeezed = calibration_curve(probabilities**2, labels, n_bins=20)
    assert (squeezed[1] - squeezed[0] > 3 * squeezed[2]).sum() > 10


@pytest.mark.parametrize("efficiencies", [[0.0], [1.0], [-0.1], [np.nan]])
def test_impossible_efficiencies_are_named(efficiencies):
    with pytest.raises(ValueError, match="give shares between 0 and 1"):
        background_rejection([0.1, 0.9], [0, 1], efficiencies, seed=1)


def test_more_bins_than_events_are_named():
    for n_bins in (0, 5):
        with pytest.raises(ValueError, match=f"n_bins = {n_bins}: give 1 to 2"):
            calibration_curve([0.1, 0.9], [0, 1], n_bins=n_bins)
    with pytest.raises(ValueError, match=r"probability of event 1 is 1\.5"):
        calibration_curve([0.1, 1.5], [0, 1])
