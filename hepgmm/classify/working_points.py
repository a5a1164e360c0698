"""A classifier at work: background rejection at fixed signal efficiency, and calibration."""

from __future__ import annotations

import numpy as np

from hepgmm.classify.metrics import checked_scores
from hepgmm.statistics import bootstrap_error

__all__ = [
    "EFFICIENCIES",
    "background_rejection",
    "calibration_curve",
    "rejection",
    "weighted_false_positive_rate",
]

#: Signal efficiencies at which the rejection is given.
EFFICIENCIES = (0.7, 0.6, 0.5, 0.3, 0.1)
#: Background events that have to pass for a rejection to be given.
FEWEST = 10


def weighted_false_positive_rate(scores, labels, efficiencies=EFFICIENCIES):
    """False positive rate at fixed signal efficiency as a function of event weights.

    Parameters
    ----------
    scores, labels : array, shape (n,)
    efficiencies : sequence of float

    Returns
    -------
    callable
        From weights, shape (n,), to the rate at each efficiency. Between two different scores the
        rates are interpolated, as on the ROC curve.
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
    """Background rejection 1 / rate, with its error to first order.

    Parameters
    ----------
    rate, error : float
        False positive rate.
    n_background : int
        Background events.

    Returns
    -------
    dict or None
        ``{"value", "error"}``; None if fewer than ten background events pass, whose number
        fluctuates too much for a symmetric error.

    Examples
    --------
    >>> rejection(0.01, 0.001, 10_000)
    {'value': 100.0, 'error': 10.0}
    """
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
    rates = statistic(np.ones(len(scores)))
    errors = bootstrap_error(statistic, len(scores), n_bootstrap=n_bootstrap, seed=seed)
    n_background = int((labels == 0).sum())
    found = {
        float(e): rejection(rate, error, n_background)
        for e, rate, error in zip(efficiencies, rates, errors, strict=True)
    }
    return {efficiency: figure for efficiency, figure in found.items() if figure}


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
    >>> predicted, observed, _ = calibration_curve([0.1, 0.3, 0.6, 0.8], [0, 0, 1, 1], n_bins=2)
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
