"""Figures of merit of a classifier, each with its bootstrap error over events.

Convention: signal is the positive class (label 1), a score is higher for signal, and an event is
called signal if its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import chi2

from hepgmm.crossings.samples import Sample
from hepgmm.statistics import bootstrap_error, weighted_auc

__all__ = [
    "EFFICIENCIES",
    "METRICS",
    "PAPER",
    "Cut",
    "auc",
    "auc_difference",
    "background_rejection",
    "best_cut",
    "calibration",
    "calibration_curve",
    "checked_scores",
    "difference",
    "evaluate",
    "rejection",
    "roc_band",
    "roc_curve",
    "rung_figures",
    "single_cut_accuracy",
    "weighted_false_positive_rate",
]

#: Metric → how tables and figures call it.
METRICS = {"auc": "AUC", "accuracy": "accuracy", "recall": "recall", "precision": "precision"}
#: The figures that the paper publishes, without errors.
PAPER = {
    "mlp": {"auc": 0.762, "accuracy": 0.703, "recall": 0.636, "precision": 0.734},
    "transformer": {"auc": 0.861, "accuracy": 0.817, "recall": 0.678, "precision": 0.938},
}


def roc_curve(scores, labels):
    """False and true positive rates of every cut, from (0, 0), the tightest, to (1, 1).

    Raises a ValueError if a score is not finite, a label is not 0 or 1, or a class is missing.

    Examples
    --------
    >>> fpr, tpr = roc_curve([0.1, 0.4, 0.4, 0.9], [0, 0, 1, 1])
    >>> fpr.tolist(), tpr.tolist()
    ([0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0])
    """
    from sklearn import metrics

    scores, labels = checked_scores(scores, labels)
    return metrics.roc_curve(labels, scores, drop_intermediate=False)[:2]


def auc(scores, labels):
    """Area under the ROC curve: P(score of signal > background) + P(equal) / 2.

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
    >>> tuple(figures[name]["value"] for name in ("auc", "accuracy", "recall"))
    (1.0, 0.75, 1.0)
    """
    scores, labels = checked_scores(scores, labels)
    figures = _threshold_figures(scores, labels, threshold)
    n_signal = labels.sum()
    mix = np.where(labels == 1, 1.0, n_signal / (len(labels) - n_signal) if balance else 1.0)
    drawn = _bootstrapped(lambda w: figures(w * mix), len(scores), n_bootstrap, seed)
    return dict(zip(METRICS, drawn, strict=True))


def _threshold_figures(scores, labels, threshold):
    """AUC, accuracy, recall and precision as a function of event weights."""
    area, called = weighted_auc(scores, labels), scores >= threshold
    right, found = called == labels, called & (labels == 1)

    def statistic(weights):
        true_positives, positives = weights @ found, weights @ called
        return np.array(
            [
                area(weights),
                weights @ right / weights.sum(),
                true_positives / (weights @ labels),
                true_positives / positives if positives else 0.0,
            ]
        )

    return statistic


def _bootstrapped(statistic, n_events, n_bootstrap, seed):
    """Figures of all events, ``{"value", "error"}`` each, from a function of event weights."""
    values = statistic(np.ones(n_events))
    errors = bootstrap_error(statistic, n_events, n_bootstrap=n_bootstrap, seed=seed)
    pairs = zip(values, errors, strict=True)
    return [{"value": float(value), "error": float(error)} for value, error in pairs]


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
        return np.array([area_a(weights) - area_b(weights)])

    return _bootstrapped(statistic, len(labels), n_bootstrap, seed)[0]


class Cut(NamedTuple):
    """A cut on one value: signal is at or above the threshold if ``above``, else below it."""

    threshold: float
    above: bool

    def __call__(self, values):
        """Whether each value is called signal."""
        return (np.asarray(values) >= self.threshold) == self.above


def best_cut(values, labels):
    """The single :class:`Cut` of highest accuracy, midway between two values.

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
    """Accuracy on test events of the best single cut on training events: ``{"value", "error"}``.

    Examples
    --------
    >>> single_cut_accuracy([1, 2, 3, 4], [0, 0, 1, 1], [0, 5, 6], [0, 1, 1], seed=1)
    {'value': 1.0, 'error': 0.0}
    """
    test_values, test_labels = checked_scores(test_values, test_labels)
    right = best_cut(train_values, train_labels)(test_values) == test_labels

    def statistic(weights):
        return np.array([weights @ right / len(right)])

    return _bootstrapped(statistic, len(right), n_bootstrap, seed)[0]


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


#: Signal efficiencies at which the rejection is given.
EFFICIENCIES = (0.7, 0.6, 0.5, 0.3, 0.1)
#: Background events that have to pass for a rejection to be given.
FEWEST = 10


def weighted_false_positive_rate(scores, labels, efficiencies=EFFICIENCIES):
    """False positive rate at fixed signal efficiencies as a function of event weights.

    Between two different scores the rates are interpolated, as on the ROC curve.
    """
    order = np.argsort(-scores, kind="stable")
    signal = labels[order] == 1
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def statistic(weights):
        weights = weights[order]
        false, true = (
            np.append(0.0, np.cumsum(np.where(kind, weights, 0.0))[last_of_ties])
            for kind in (~signal, signal)
        )
        return np.interp(efficiencies, true / true[-1], false / false[-1])

    return statistic


def rejection(rate, error, n_background):
    """Background rejection 1 / rate with its error to first order; None if fewer than ten pass."""
    # The number of so few fluctuates too much for a symmetric error.
    if rate * n_background < FEWEST:
        return None
    return {"value": float(1 / rate), "error": float(error / rate**2)}


def background_rejection(scores, labels, efficiencies=EFFICIENCIES, *, n_bootstrap=500, seed):
    """How many background events there are for each that passes, at fixed signal efficiency.

    Parameters
    ----------
    scores, labels : array, shape (n,)
    efficiencies : sequence of float
        Share of the signal that passes, between 0 and 1.
    n_bootstrap : int
    seed : int

    Returns
    -------
    dict
        Efficiency → ``{"value", "error"}`` of 1 / false positive rate, the error from the
        bootstrap of the rate over events; an efficiency at which fewer than ten background events
        pass is left out.

    Raises
    ------
    ValueError
        If an efficiency is not between 0 and 1, or for bad scores or labels.

    Examples
    --------
    >>> scores, labels = np.arange(1000), np.arange(1000) % 4 == 0
    >>> round(background_rejection(scores, labels, [0.5], seed=1)[0.5]["value"], 1)
    2.0
    """
    scores, labels = checked_scores(scores, labels)
    efficiencies = np.asarray(efficiencies, dtype=float)
    if not ((efficiencies > 0) & (efficiencies < 1)).all():
        raise ValueError(f"efficiencies = {efficiencies.tolist()}: give shares between 0 and 1")
    statistic = weighted_false_positive_rate(scores, labels, efficiencies)
    rates = _bootstrapped(statistic, len(scores), n_bootstrap, seed)
    n_background = int((labels == 0).sum())
    figures = {
        float(e): rejection(rate["value"], rate["error"], n_background)
        for e, rate in zip(efficiencies, rates, strict=True)
    }
    return {efficiency: figure for efficiency, figure in figures.items() if figure}


def calibration_curve(probabilities, labels, *, n_bins=10):
    """Is the probability one? Share of signal among events of like predicted probability.

    Parameters
    ----------
    probabilities : array, shape (n,)
        Of being signal.
    labels : array, shape (n,)
    n_bins : int
        Bins with equal numbers of events.

    Returns
    -------
    predicted, observed, error : array, shape (n_bins,)
        Mean probability, share of signal and its error in each bin: the standard deviation of the
        share given the counts, with a flat prior, which is not 0 where all events are of one class.

    Raises
    ------
    ValueError
        If a probability is not between 0 and 1, or there are more bins than events.

    Examples
    --------
    >>> scores, labels = [0.1, 0.3, 0.6, 0.8], [0, 0, 1, 1]
    >>> predicted, observed, _ = calibration_curve(scores, labels, n_bins=2)
    >>> predicted.round(6).tolist(), observed.tolist()
    ([0.2, 0.7], [0.0, 1.0])
    """
    probabilities, labels = checked_scores(probabilities, labels)
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        event = int(np.argmax((probabilities < 0) | (probabilities > 1)))
        raise ValueError(f"probability of event {event} is {probabilities[event]}: give 0 to 1")
    if not 1 <= n_bins <= len(labels):
        raise ValueError(f"n_bins = {n_bins}: give 1 to {len(labels)}, the number of events")
    # Events of equal probability count as their mean, so that their order decides nothing.
    _, group = np.unique(probabilities, return_inverse=True)
    signal = (np.bincount(group, labels) / np.bincount(group))[group]
    bins = np.array_split(np.argsort(probabilities, kind="stable"), n_bins)
    counts = np.array([len(each) for each in bins])
    predicted, observed = (
        np.array([values[each].mean() for each in bins]) for values in (probabilities, signal)
    )
    # One event more of each class: no bin is known without error.
    share = (observed * counts + 1) / (counts + 2)
    return predicted, observed, np.sqrt(share * (1 - share) / (counts + 2))


#: Signal efficiencies of a ROC curve: dense at both ends, where it is steep.
GRID = np.round(np.sin(np.linspace(0, np.pi / 2, 61)[1:-1]) ** 2, 4)


def rung_figures(scores, test: Sample, *, n_bootstrap: int = 200, seed: int) -> dict:
    """Means over trainings of the figures of merit on the same test events.

    The error holds the test events and the random numbers of the training: √(b² + s² / k), with the
    bootstrap error b of the mean over test events and the standard deviation s over k trainings. It
    does not hold the choice of the training events, nor s if there is a single training.

    Parameters
    ----------
    scores : array, shape (k, n)
        Probability of signal of each test event, a row for each training.
    test : Sample
        The test events.
    n_bootstrap : int
        Bootstrap samples of the test events.
    seed : int
        Of the bootstrap.

    Returns
    -------
    dict
        Name → ``{"value", "error", "trainings"}``, the last the standard deviation over trainings,
        None for a single one: ``auc``; ``accuracy``, ``recall`` and ``precision`` at a probability
        of 0.5; ``rejection_70`` and likewise for 60, 50, 30 and 10, background events for each that
        passes at such a signal efficiency in %, from the mean false positive rate, or, where
        fewer than ten of them pass, ``{"above"}``, what it is above with 95% confidence;
        ``auc_<mass>`` for each mass against all background.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> y = rng.integers(0, 2, 500)
    >>> test = Sample(np.ones((500, 1, 5)), np.ones((500, 1)), y, 100.0 * y)
    >>> scores = np.clip(rng.normal(0.3 + 0.4 * y, 0.2, (3, 500)), 0, 1)
    >>> figures = rung_figures(scores, test, seed=1)
    >>> list(figures)[:2], 0.9 < figures["auc"]["value"] < 1
    (['auc', 'accuracy'], True)
    """
    statistics = [_statistic(row, test) for row in scores]
    figures = _summary(scores, statistics, _names(test), n_bootstrap, seed)
    n_background = int((np.asarray(test.y) == 0).sum())
    for efficiency in EFFICIENCIES:
        rate = figures.pop(f"rate_{100 * efficiency:.0f}")
        inverse = rejection(rate["value"], rate["error"], n_background)
        if inverse:
            spread = rate["trainings"] and rate["trainings"] / rate["value"] ** 2
            inverse |= {"trainings": spread}
        else:
            inverse = {"above": _least_rejection(rate["value"] * n_background, n_background)}
        figures[f"rejection_{100 * efficiency:.0f}"] = inverse
    return figures


def difference(scores, others, test: Sample, *, n_bootstrap: int = 200, seed: int) -> dict:
    """AUC of one rung minus that of another: ``{"value", "error", "trainings"}``.

    Scores have the shape (k, n), as in :func:`rung_figures`. Paired in the test events, and
    training by training; if the other has a single training, all are compared with it.
    """
    scores, others = np.atleast_2d(scores), np.atleast_2d(others)
    if len(others) not in (1, len(scores)):
        raise ValueError(f"others: {len(others)} trainings; give 1 or {len(scores)}")
    scores, others = np.broadcast_arrays(scores, others)
    areas = [
        (weighted_auc(one, test.y), weighted_auc(other, test.y))
        for one, other in zip(scores, others, strict=True)
    ]
    statistics = [lambda w, a=a, b=b: np.array([a(w) - b(w)]) for a, b in areas]
    return _summary(scores, statistics, ["auc"], n_bootstrap, seed)["auc"]


def roc_band(scores, test: Sample, *, n_bootstrap: int = 200, seed: int) -> dict:
    """ROC curve of a rung, the mean over its trainings: ``efficiency``, ``rate`` and ``error``.

    Arguments and errors are those of :func:`rung_figures`.
    """
    rates = [weighted_false_positive_rate(*checked_scores(row, test.y), GRID) for row in scores]
    names = [str(efficiency) for efficiency in GRID]
    band = _summary(scores, rates, names, n_bootstrap, seed)
    return {
        "efficiency": GRID.tolist(),
        "rate": [figure["value"] for figure in band.values()],
        "error": [figure["error"] for figure in band.values()],
    }


def calibration(scores, test: Sample, *, n_bins: int = 10) -> dict:
    """The :func:`calibration_curve` of a training: lists ``predicted``, ``observed``, ``error``."""
    curve = calibration_curve(scores, test.y, n_bins=n_bins)
    names = ("predicted", "observed", "error")
    return {name: values.tolist() for name, values in zip(names, curve, strict=True)}


def _least_rejection(n_passed, n_background):
    """Rejection at 95% confidence, from the upper limit of a Poisson mean."""
    return float(n_background / chi2.ppf(0.95, 2 * (n_passed + 1)) * 2)


def _masses(test):
    return [] if test.mass is None else np.unique(test.mass[test.y == 1])


def _names(test):
    rates = [f"rate_{100 * efficiency:.0f}" for efficiency in EFFICIENCIES]
    return [*METRICS, *rates, *(f"auc_{mass:g}" for mass in _masses(test))]


def _statistic(scores, test):
    """All figures of one training as a function of event weights."""
    scores, y = checked_scores(scores, test.y)
    figures, rates = _threshold_figures(scores, y, 0.5), weighted_false_positive_rate(scores, y)
    parts = [np.flatnonzero((y == 0) | (test.mass == mass)) for mass in _masses(test)]
    areas = [weighted_auc(scores[part], y[part]) for part in parts]

    def statistic(weights):
        of_masses = [area(weights[part]) for area, part in zip(areas, parts, strict=True)]
        return np.array([*figures(weights), *rates(weights), *of_masses])

    return statistic


def _summary(scores, statistics, names, n_bootstrap, seed) -> Mapping:
    """Mean figures of trainings, with errors and spreads, by name."""
    n_trainings, n_events = np.shape(scores)
    each = np.array([statistic(np.ones(n_events)) for statistic in statistics])
    spreads = each.std(axis=0, ddof=1) if n_trainings > 1 else np.zeros(len(names))

    def mean(weights):
        return np.mean([statistic(weights) for statistic in statistics], axis=0)

    figures = _bootstrapped(mean, n_events, n_bootstrap, seed)
    return {
        name: {
            "value": figure["value"],
            "error": float(np.hypot(figure["error"], spread / np.sqrt(n_trainings))),
            "trainings": float(spread) if n_trainings > 1 else None,
        }
        for name, figure, spread in zip(names, figures, spreads, strict=True)
    }
