"""Figures of merit against scikit-learn and closed forms."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm
from sklearn.metrics import precision_score, recall_score, roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

import hepgmm
from hepgmm.classify.metrics import (
    auc,
    auc_difference,
    background_rejection,
    best_cut,
    calibration_curve,
    evaluate,
    rejection,
    roc_curve,
    single_cut_accuracy,
)


def gaussians(n, separation, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return rng.normal(separation * labels, 1.0), labels


@pytest.fixture
def tied():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 500)
    return np.round(rng.normal(labels, 1.0), 1), labels


def test_roc_and_auc_agree_with_scikit_learn_with_ties(tied):
    fpr, tpr = roc_curve(*tied)
    expected_fpr, expected_tpr, _ = sklearn_roc_curve(tied[1], tied[0], drop_intermediate=False)
    np.testing.assert_allclose(fpr, expected_fpr)
    np.testing.assert_allclose(tpr, expected_tpr)
    assert auc(*tied) == pytest.approx(roc_auc_score(tied[1], tied[0]), abs=1e-12)
    assert auc(*tied) == pytest.approx(np.trapezoid(tpr, fpr), abs=1e-12)


def test_auc_of_two_gaussians_is_the_closed_form():
    scores, labels = gaussians(20_000, 1.0, seed=1)
    figure = evaluate(scores, labels, n_bootstrap=100, seed=2)["auc"]
    assert abs(figure["value"] - norm.cdf(1 / np.sqrt(2))) < 4 * figure["error"]
    assert figure["error"] < 0.005


def test_bootstrap_error_of_the_auc_is_that_of_delong():
    scores, labels = gaussians(2000, 1.0, seed=4)
    signal, background = scores[labels == 1], scores[labels == 0]
    # DeLong: variances of the rank of each event among those of the other class.
    better = (signal[:, None] > background).astype(float)
    variance = better.mean(1).var(ddof=1) / len(signal)
    variance += better.mean(0).var(ddof=1) / len(background)
    error = evaluate(scores, labels, n_bootstrap=2000, seed=5)["auc"]["error"]
    # The standard deviation of 2000 replicas is itself known to 1 / sqrt(4000) = 1.6%.
    assert error == pytest.approx(np.sqrt(variance), rel=0.07)


def test_accuracy_recall_precision_and_their_errors():
    rng = np.random.default_rng(6)
    labels = rng.integers(0, 2, 3000)
    scores = np.clip(0.5 + 0.2 * (labels - 0.5) + rng.normal(0, 0.2, 3000), 0, 1)
    figures = evaluate(scores, labels, threshold=0.6, n_bootstrap=1000, seed=7)
    called = scores >= 0.6
    assert figures["accuracy"]["value"] == pytest.approx(np.mean(called == labels))
    assert figures["recall"]["value"] == pytest.approx(recall_score(labels, called))
    assert figures["precision"]["value"] == pytest.approx(precision_score(labels, called))
    trials = {"accuracy": 3000, "recall": labels.sum(), "precision": called.sum()}
    for name, n in trials.items():
        p = figures[name]["value"]
        assert figures[name]["error"] == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.1)


def test_precision_is_zero_when_nothing_is_called_signal():
    figures = evaluate([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1], n_bootstrap=20, seed=1)
    assert figures["precision"] == {"value": 0.0, "error": 0.0}
    assert figures["recall"] == {"value": 0.0, "error": 0.0}


@settings(deadline=None)
@given(arrays(float, 30, elements=st.integers(0, 5)), st.integers(0, 2**30 - 2))
def test_swapped_labels_or_negated_scores_give_one_minus_auc(scores, bits):
    labels = np.append([0, 1], [(bits >> i) & 1 for i in range(28)])
    area = auc(scores, labels)
    assert auc(scores, 1 - labels) == pytest.approx(1 - area)
    assert auc(-scores, labels) == pytest.approx(1 - area)
    assert auc(np.exp(scores), labels) == pytest.approx(area)


def test_replicas_are_the_same_events_for_the_same_seed():
    scores, labels = gaussians(300, 0.5, seed=8)
    first = evaluate(scores, labels, n_bootstrap=50, seed=9)
    assert first == evaluate(scores, labels, n_bootstrap=50, seed=9)
    assert first != evaluate(scores, labels, n_bootstrap=50, seed=10)


def test_a_classifier_does_not_differ_from_itself():
    scores, labels = gaussians(400, 1.0, seed=11)
    assert auc_difference(scores, scores, labels, seed=1) == {"value": 0.0, "error": 0.0}


def test_paired_error_is_smaller_than_that_of_independent_classifiers():
    scores, labels = gaussians(2000, 1.0, seed=12)
    other = scores + np.random.default_rng(13).normal(0, 0.3, len(scores))
    difference = auc_difference(scores, other, labels, n_bootstrap=300, seed=14)
    single = evaluate(scores, labels, n_bootstrap=300, seed=14)["auc"]["error"]
    assert difference["value"] == pytest.approx(auc(scores, labels) - auc(other, labels))
    assert 0 < difference["error"] < single


def test_bootstrap_draws_again_when_a_class_is_missing():
    figures = evaluate([0.2, 0.9, 0.1], [0, 1, 0], n_bootstrap=200, seed=15)
    assert all(np.isfinite(figure["error"]) for figure in figures.values())
    assert figures["auc"] == {"value": 1.0, "error": 0.0}


@settings(deadline=None)
@given(
    arrays(float, 12, elements=st.integers(0, 6)),
    arrays(int, 12, elements=st.integers(0, 1)),
)
def test_best_cut_is_as_good_as_trying_all(values, labels):
    labels[:2] = 0, 1
    tried = [np.mean((values >= t) == labels) for t in np.arange(-0.5, 8)]
    best = max(max(tried), 1 - min(tried))
    assert np.mean(best_cut(values, labels)(values) == labels) == pytest.approx(best)


def test_single_cut_accuracy_of_two_gaussians_is_the_closed_form():
    train, test = gaussians(20_000, 2.0, seed=16), gaussians(10_000, 2.0, seed=17)
    figure = single_cut_accuracy(*train, *test, n_bootstrap=300, seed=18)
    exact = norm.cdf(1.0)
    assert figure["error"] == pytest.approx(np.sqrt(exact * (1 - exact) / 10_000), rel=0.15)
    assert abs(figure["value"] - exact) < 4 * figure["error"]
    flipped = single_cut_accuracy(-train[0], train[1], -test[0], test[1], seed=18)
    assert flipped["value"] == pytest.approx(figure["value"], abs=1e-3)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([0.1, np.nan], [0, 1], "score of event 1 is not finite"),
        ([0.1, 0.2], [0, 2], "labels hold values other than"),
        ([0.1, 0.2], [1, 1], "one class only"),
        ([0.1, 0.2, 0.3], [0, 1], "expected"),
    ],
)
def test_bad_input_is_named(scores, labels, message):
    with pytest.raises(ValueError, match=message):
        evaluate(scores, labels, seed=0)


def test_metrics_do_not_import_torch():
    code = "import sys, hepgmm.classify.metrics; print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(Path(hepgmm.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_balance_makes_the_figures_those_of_equal_classes():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1], [3000, 1000])
    scores = np.clip(rng.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    figures = evaluate(scores, labels, balance=True, n_bootstrap=100, seed=1)
    plain = evaluate(scores, labels, n_bootstrap=100, seed=1)
    recall = np.mean(scores[labels == 1] >= 0.5)
    false_positives = np.mean(scores[labels == 0] >= 0.5)
    assert figures["auc"]["value"] == pytest.approx(plain["auc"]["value"])
    assert figures["recall"]["value"] == pytest.approx(recall)
    assert figures["accuracy"]["value"] == pytest.approx((recall + 1 - false_positives) / 2)
    assert figures["precision"]["value"] == pytest.approx(recall / (recall + false_positives))
    # Binomial errors of the two rates.
    error = np.hypot(
        np.sqrt(recall * (1 - recall) / 1000),
        np.sqrt(false_positives * (1 - false_positives) / 3000),
    )
    assert figures["accuracy"]["error"] == pytest.approx(error / 2, rel=0.25)


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


def test_rejection_has_its_error_to_first_order_unless_few_pass():
    assert rejection(0.01, 0.001, 10_000) == {"value": 100.0, "error": pytest.approx(10.0)}
    assert rejection(0.01, 0.001, 900) is None
