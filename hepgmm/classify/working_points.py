"""A classifier at work: background rejection at fixed signal efficiency, and calibration."""

from __future__ import annotations

import numpy as np

from hepgmm.classify.metrics import checked_scores
from hepgmm.statistics import bootstrap_error

__all__ = ["EFFICIENCIES", "background_rejection", "calibration_curve", "weighted_rejection"]

#: Signal efficiencies at which the rejection is given.
EFFICIENCIES = (0.5, 0.3, 0.1)


def weighted_rejection(scores, labels, efficiencies=EFFICIENCIES):
    """Background rejection as a function of event weights.

    Parameters
    ----------
    scores, labels : array, shape (n,)
    efficiencies : sequence of float

    Returns
    -------
    callable
        From weights, shape (n,), to 1 / false positive rate at each efficiency. Between two
        different scores the rates are interpolated, as on the ROC curve.
    """
    order = np.argsort(-scores, kind="stable")
    signal = labels[order] == 1
    last_of_ties = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def statistic(weights):
        weights = weights[order]
        rates = []
        for kind in (signal, ~signal):
            passed = np.append(0.0, np.cumsum(np.where(kind, weights, 0.0))[last_of_ties])
            rates.append(passed / passed[-1])
        return 1 / np.interp(efficiencies, *rates)

    return statistic


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
        bootstrap over events; an efficiency at which (nearly) no background passes is left out.

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
    with np.errstate(divide="ignore"):
        values = weighted_rejection(scores, labels, efficiencies)(np.ones(len(scores)))
        known = efficiencies[np.isfinite(values)]
        if not len(known):
            return {}
        statistic = weighted_rejection(scores, labels, known)
        errors = bootstrap_error(statistic, len(scores), n_bootstrap=n_bootstrap, seed=seed)
    values = values[np.isfinite(values)]
    return {
        float(e): {"value": float(value), "error": float(error)}
        for e, value, error in zip(known, values, errors, strict=True)
    }


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
        Mean probability, share of signal and its binomial error in each bin.

    Examples
    --------
    >>> predicted, observed, _ = calibration_curve([0.1, 0.3, 0.6, 0.8], [0, 0, 1, 1], n_bins=2)
    >>> predicted.round(6).tolist(), observed.tolist()
    ([0.2, 0.7], [0.0, 1.0])
    """
    probabilities, labels = checked_scores(probabilities, labels)
    bins = np.array_split(np.argsort(probabilities, kind="stable"), n_bins)
    counts = np.array([len(each) for each in bins])
    if not counts.all():
        raise ValueError(f"n_bins = {n_bins}: more than there are events, {len(labels)}")
    predicted = np.array([probabilities[each].mean() for each in bins])
    observed = np.array([labels[each].mean() for each in bins])
    return predicted, observed, np.sqrt(observed * (1 - observed) / counts)
