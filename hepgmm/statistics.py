"""Statistics of events, each a unit that fluctuates by itself, and their errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["bootstrap_error", "format_measurement", "ratio_of_sums", "weighted_auc"]


def ratio_of_sums(numerators, denominators):
    """Ratio of two sums over events, with its error to first order.

    Tracks of one event come in company, so that events, not tracks, are counted as independent:
    with r = Σa / Σb the error is √(Σ (a - r b)²) / Σb.

    Parameters
    ----------
    numerators, denominators : array, shape (n_events,)
        What each event adds to the two sums.

    Returns
    -------
    dict
        ``{"value": ..., "error": ...}``

    Examples
    --------
    >>> ratio_of_sums([1, 0, 1, 0], [2, 2, 2, 2])
    {'value': 0.25, 'error': 0.125}
    """
    numerators = np.asarray(numerators, dtype=float)
    denominators = np.asarray(denominators, dtype=float)
    value = numerators.sum() / denominators.sum()
    residuals = numerators - value * denominators
    error = np.sqrt((residuals**2).sum()) / denominators.sum()
    return {"value": float(value), "error": float(error)}


def weighted_auc(scores, labels):
    """The AUC as a function of event weights, which need not sort again.

    Parameters
    ----------
    scores, labels : array, shape (n,)

    Returns
    -------
    callable
        From weights, shape (n,), to the AUC; NaN if a class has no weight.

    Examples
    --------
    >>> float(weighted_auc(np.array([0.1, 0.4, 0.4]), np.array([0, 1, 0]))(np.array([1, 1, 1])))
    0.75
    """
    order = np.argsort(scores, kind="stable")
    signal = labels[order] == 1
    first_of_ties = np.append(0, np.flatnonzero(np.diff(scores[order])) + 1)

    def statistic(weights):
        weights = weights[order]
        positive = np.add.reduceat(np.where(signal, weights, 0), first_of_ties)
        negative = np.add.reduceat(np.where(signal, 0, weights), first_of_ties)
        below = np.cumsum(negative) - negative
        return positive @ (below + negative / 2) / (positive.sum() * negative.sum())

    return statistic


def bootstrap_error(statistic, n_events, *, n_bootstrap=500, seed):
    """Standard deviation of a statistic over samples drawn with replacement.

    A drawn sample is given as the number of times that each event is in it; one without a finite
    statistic (say, without any signal) is drawn again, a hundred times as many at most.

    Parameters
    ----------
    statistic : callable
        From weights, shape (n_events,), to a float or an array.
    n_events, n_bootstrap : int
    seed : int

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If fewer than a hundredth of the drawn samples have a finite statistic.

    Examples
    --------
    >>> x = np.random.default_rng(0).normal(size=400)
    >>> error = bootstrap_error(lambda w: w @ x / w.sum(), 400, seed=1)
    >>> bool(abs(error - x.std() / 20) < 0.01)
    True
    """
    rng = np.random.default_rng(seed)
    values = []
    with np.errstate(invalid="ignore", divide="ignore"):
        for _ in range(100 * n_bootstrap):
            drawn = rng.integers(n_events, size=n_events)
            value = statistic(np.bincount(drawn, minlength=n_events))
            if np.isfinite(value).all():
                values.append(value)
            if len(values) == n_bootstrap:
                break
        else:
            raise ValueError(f"bootstrap: the statistic of {n_events} events is hardly ever finite")
    return np.std(values, axis=0, ddof=1)


def format_measurement(figure: Any) -> str:
    """Write a figure as the book does: value ± error, rounded to two digits of the error.

    Parameters
    ----------
    figure
        ``{"value": float, "error": float}``, ``{"above": float}`` for a lower limit,
        ``{"count": int, "fraction": float}``, or anything else, which is written as it is.

    Returns
    -------
    str

    Examples
    --------
    >>> format_measurement({"value": 0.81234, "error": 0.00412})
    '0.8123 ± 0.0041'
    >>> format_measurement({"value": 5.1, "error": 0.0})
    '5.1 ± 0'
    >>> format_measurement({"above": 1234.5})
    '> 1200'
    >>> format_measurement({"count": 3, "fraction": 0.015})
    '3 (1.5%)'
    >>> format_measurement(12)
    '12'
    """
    if isinstance(figure, Mapping) and {"count", "fraction"} <= set(figure):
        return f"{figure['count']} ({100 * figure['fraction']:.3g}%)"
    if isinstance(figure, Mapping) and "above" in figure:
        return f"> {float(format(figure['above'], '.2g')):g}"
    if not isinstance(figure, Mapping) or not {"value", "error"} <= set(figure):
        return f"{figure:.4g}" if isinstance(figure, float) else str(figure)
    value, error = figure["value"], figure["error"]
    if not (error > 0 and math.isfinite(error)):
        return f"{value:.4g} ± {error:.2g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
