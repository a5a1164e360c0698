"""Figures of merit of a classifier, each with its bootstrap error over events.

Convention: signal is the positive class (label 1), a score is higher for signal, and an event is
called signal if its score is at or above the threshold.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepgmm.statistics import bootstrap_error, weighted_auc

__all__ = [
    "Cut",
    "auc",
    "auc_difference",
    "best_cut",
    "checked_scores",
    "evaluate",
    "roc_curve",
    "single_cut_accuracy",
]


def roc_curve(scores, labels):
    """False and true positive rates of every cut, from the tightest to none.

    Parameters
    ----------
    scores : array, shape (n,)
    labels : array, shape (n,)
        1 for signal, 0 for background.

    Returns
    -------
    fpr, tpr : array
        From (0, 0) to (1, 1), one point for each different score.

    Raises
    ------
    ValueError
        If a score is not finite, a label is not 0 or 1, or a class is missing.

    Examples
    --------
    >>> fpr, tpr = roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    scores, labels = checked_scores(scores, labels)
    order = np.argsort(-scores, kind="stable")
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positives = np.append(0, np.cumsum(labels[order])[last_of_ties])
    called = np.append(0, last_of_ties + 1)
    negatives = called - positives
    return negatives / negatives[-1], positives / positives[-1]


def auc(scores, labels):
    """Area under the ROC curve: P(score of signal > background) + P(equal) / 2.

    Parameters
    ----------
    scores, labels : array, shape (n,)

    Returns
    -------
    float

    Examples
    --------
    >>> auc([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    0.875
    """
    scores, labels = checked_scores(scores, labels)
    return float(weighted_auc(scores, labels)(np.ones(len(scores))))


def evaluate(scores, labels, *, threshold=0.5, balance=False, n_bootstrap=500, seed):
    """AUC, accuracy, recall and precision, each with its bootstrap error over events.

    Recall is the part of the signal that is called signal; precision is the part of signal among
    the events called signal (0 if there are none). Accuracy and precision depend on the mix of
    classes; AUC and recall do not.

    Parameters
    ----------
    scores, labels : array, shape (n,)
    threshold : float
    balance : bool
        Whether to weight the background such that it counts as much as the signal.
    n_bootstrap : int
    seed : int

    Returns
    -------
    dict
        ``{"auc": {"value": ..., "error": ...}, "accuracy": ..., "recall": ..., "precision": ...}``

    Examples
    --------
    >>> figures = evaluate([0.1, 0.6, 0.7, 0.9], [0, 0, 1, 1], seed=1)
    >>> figures["auc"]["value"], figures["accuracy"]["value"], figures["recall"]["value"]
    (1.0, 0.75, 1.0)
    """
    scores, labels = checked_scores(scores, labels)
    called = scores >= threshold
    area = weighted_auc(scores, labels)
    right, found = called == labels, called & (labels == 1)
    n_signal = labels.sum()
    mix = np.where(labels == 1, 1.0, n_signal / (len(labels) - n_signal) if balance else 1.0)

    def statistic(drawn):
        weights = drawn * mix
        true_positives, positives = weights @ found, weights @ called
        return np.array(
            [
                area(weights),
                weights @ right / weights.sum(),
                true_positives / (weights @ labels),
                true_positives / positives if positives else 0.0,
            ]
        )

    values = statistic(np.ones(len(scores)))
    errors = bootstrap_error(statistic, len(scores), n_bootstrap=n_bootstrap, seed=seed)
    names = ("auc", "accuracy", "recall", "precision")
    return {
        name: {"value": float(value), "error": float(error)}
        for name, value, error in zip(names, values, errors, strict=True)
    }


def auc_difference(scores_a, scores_b, labels, *, n_bootstrap=500, seed):
    """AUC of a minus AUC of b on the same events, with the paired bootstrap error.

    Parameters
    ----------
    scores_a, scores_b, labels : array, shape (n,)
    n_bootstrap : int
    seed : int

    Returns
    -------
    dict
        ``{"value": ..., "error": ...}``

    Examples
    --------
    >>> auc_difference([0.1, 0.2, 0.9], [0.1, 0.2, 0.9], [0, 1, 1], seed=1)
    {'value': 0.0, 'error': 0.0}
    """
    scores_a, labels = checked_scores(scores_a, labels)
    scores_b, labels = checked_scores(scores_b, labels)
    area_a, area_b = weighted_auc(scores_a, labels), weighted_auc(scores_b, labels)

    def statistic(weights):
        return area_a(weights) - area_b(weights)

    error = bootstrap_error(statistic, len(labels), n_bootstrap=n_bootstrap, seed=seed)
    return {"value": float(statistic(np.ones(len(labels)))), "error": float(error)}


class Cut(NamedTuple):
    """A cut on one value: signal is at or above the threshold if ``above``, else below it."""

    threshold: float
    above: bool

    def __call__(self, values):
        """Whether each value is called signal."""
        return (np.asarray(values) >= self.threshold) == self.above


def best_cut(values, labels):
    """The single cut of highest accuracy, in whichever direction is better.

    Parameters
    ----------
    values, labels : array, shape (n,)

    Returns
    -------
    Cut
        Its threshold lies midway between two values.

    Examples
    --------
    >>> best_cut([1.0, 2.0, 4.0, 5.0], [1, 1, 0, 0])
    Cut(threshold=3.0, above=False)
    """
    values, labels = checked_scores(values, labels)
    order = np.argsort(values, kind="stable")
    ascending, signal = values[order], labels[order]
    # Right calls of "signal at and above the i-th value": background below, signal from there on.
    right = np.append(0, np.cumsum(1 - signal)) + np.append(np.cumsum(signal[::-1])[::-1], 0)
    edges = np.concatenate(
        (
            [ascending[0]],
            (ascending[:-1] + ascending[1:]) / 2,
            [np.nextafter(ascending[-1], np.inf)],
        )
    )
    possible = np.concatenate(([True], np.diff(ascending) > 0, [True]))
    right, edges = right[possible], edges[possible]
    up, down = np.argmax(right), np.argmin(right)
    above = bool(right[up] >= len(values) - right[down])
    return Cut(float(edges[up if above else down]), above)


def single_cut_accuracy(
    train_values, train_labels, test_values, test_labels, *, n_bootstrap=500, seed
):
    """Accuracy on test events of the best single cut on training events.

    Parameters
    ----------
    train_values, train_labels : array, shape (n_train,)
    test_values, test_labels : array, shape (n_test,)
    n_bootstrap : int
    seed : int

    Returns
    -------
    dict
        ``{"value": ..., "error": ...}``, the error from the bootstrap over test events.

    Examples
    --------
    >>> single_cut_accuracy([1, 2, 3, 4], [0, 0, 1, 1], [0, 5, 6], [0, 1, 1], seed=1)
    {'value': 1.0, 'error': 0.0}
    """
    test_values, test_labels = checked_scores(test_values, test_labels)
    right = best_cut(train_values, train_labels)(test_values) == test_labels
    error = bootstrap_error(
        lambda weights: weights @ right / len(right), len(right), n_bootstrap=n_bootstrap, seed=seed
    )
    return {"value": float(right.mean()), "error": float(error)}


def checked_scores(scores, labels):
    """Scores as floats and labels as integers, or an error that says what is wrong with them."""
    scores, labels = np.asarray(scores, dtype=float), np.asarray(labels)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores have shape {scores.shape}, labels {labels.shape}: expected (n,)")
    if not np.isfinite(scores).all():
        raise ValueError(f"score of event {np.argmin(np.isfinite(scores))} is not finite")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels hold values other than 0 (background) and 1 (signal)")
    if labels.all() or not labels.any():
        raise ValueError("labels hold one class only; need signal (1) and background (0)")
    return scores, labels.astype(np.int64)
