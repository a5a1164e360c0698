"""Figures of merit of a rung that was trained several times, with one error of both reasons."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.stats import chi2

from hepgmm.classify.metrics import checked_scores
from hepgmm.classify.samples import Sample
from hepgmm.classify.working_points import (
    EFFICIENCIES,
    calibration_curve,
    rejection,
    weighted_false_positive_rate,
)
from hepgmm.statistics import bootstrap_error, weighted_auc

__all__ = ["calibration", "difference", "roc_band", "rung_figures"]

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
    test
        The test events.
    n_bootstrap
        Bootstrap samples of the test events.
    seed
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
    """AUC of one rung minus that of another on the same test events.

    Paired in the test events, and training by training; if the other has a single training, all
    are compared with it.

    Parameters
    ----------
    scores, others : array, shape (k, n)
        As in :func:`rung_figures`.
    test
        The test events.
    n_bootstrap, seed
        Of the bootstrap.

    Returns
    -------
    dict
        ``{"value", "error", "trainings"}``

    Raises
    ------
    ValueError
        If there are other numbers of trainings.
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
    """ROC curve of a rung, the mean over its trainings, with its error.

    Parameters
    ----------
    scores, test, n_bootstrap, seed
        As for :func:`rung_figures`, and the error is of the same kind.

    Returns
    -------
    dict
        Lists of equal length: ``efficiency`` of the signal, ``rate`` of false positives at it, and
        ``error`` of the rate.

    Examples
    --------
    >>> test = Sample(np.ones((100, 1, 5)), np.ones((100, 1)), [0, 1] * 50)
    >>> scores = np.random.default_rng(1).random((1, 100))
    >>> len(roc_band(scores, test, n_bootstrap=5, seed=1)["rate"]) == len(GRID)
    True
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
    """Is the probability of a training one? See :func:`hepgmm.classify.calibration_curve`.

    Parameters
    ----------
    scores : array, shape (n,)
    test
        The test events.
    n_bins
        Bins of equally many events.

    Returns
    -------
    dict
        Lists of equal length: ``predicted``, ``observed`` and its ``error``.
    """
    curve = calibration_curve(scores, test.y, n_bins=n_bins)
    names = ("predicted", "observed", "error")
    return {name: values.tolist() for name, values in zip(names, curve, strict=True)}


def _least_rejection(n_passed, n_background):
    """Rejection at 95% confidence, from the upper limit of a Poisson mean."""
    return float(n_background / chi2.ppf(0.95, 2 * (n_passed + 1)) * 2)


def _names(test):
    names = ["auc", "accuracy", "recall", "precision"]
    names += [f"rate_{100 * efficiency:.0f}" for efficiency in EFFICIENCIES]
    return names + [f"auc_{mass:g}" for mass in _masses(test)]


def _masses(test):
    return [] if test.mass is None else np.unique(test.mass[test.y == 1])


def _statistic(scores, test):
    """All figures of one training as a function of event weights."""
    scores, y = checked_scores(scores, test.y)
    area, rates = weighted_auc(scores, y), weighted_false_positive_rate(scores, y)
    masses = []
    for mass in _masses(test):
        part = np.flatnonzero((y == 0) | (test.mass == mass))
        masses.append((part, weighted_auc(scores[part], y[part])))
    called = scores >= 0.5

    def statistic(weights):
        true_positives, positives = weights @ (called & (y == 1)), weights @ called
        return np.array(
            [
                area(weights),
                weights @ (called == y) / weights.sum(),
                true_positives / (weights @ y),
                true_positives / positives if positives else 0.0,
                *rates(weights),
                *(of_mass(weights[part]) for part, of_mass in masses),
            ]
        )

    return statistic


def _summary(scores, statistics, names, n_bootstrap, seed) -> Mapping:
    n_trainings, n_events = np.shape(scores)
    values = np.array([statistic(np.ones(n_events)) for statistic in statistics])
    spread = values.std(axis=0, ddof=1) if n_trainings > 1 else np.zeros(len(names))

    def mean(weights):
        return np.mean([statistic(weights) for statistic in statistics], axis=0)

    sampling = bootstrap_error(mean, n_events, n_bootstrap=n_bootstrap, seed=seed)
    errors = np.hypot(sampling, spread / np.sqrt(n_trainings))
    rows = zip(names, values.mean(axis=0), errors, spread, strict=True)
    return {
        name: {
            "value": float(value),
            "error": float(error),
            "trainings": float(each) if n_trainings > 1 else None,
        }
        for name, value, error, each in rows
    }
