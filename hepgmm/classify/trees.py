"""Boosted trees on a few numbers an event: what simple tools reach."""

from __future__ import annotations

import numpy as np

from hepgmm.classify.registry import register
from hepgmm.classify.samples import COLUMNS, Sample, check_tracks

__all__ = ["ABSOLUTE_NAMES", "SUMMARY_NAMES", "BoostedTrees", "event_summaries"]

_D0_STEPS = (0.1, 1.0, 10.0, 100.0)
_LEADING = (1, 2, 5, 10, 20)

SUMMARY_NAMES = (
    "number of tracks",
    *(f"pT of the {k} hardest" for k in _LEADING),
    "sum of pT squared",
    "missing pT",
    "mean |eta|",
    "pT-weighted |eta|",
    "spread of eta",
    "pT-weighted spread of eta",
    "pT around the hardest track",
    *(f"fraction |d0| > {step:g} mm" for step in _D0_STEPS),
    *(f"pT fraction |d0| > {step:g} mm" for step in _D0_STEPS),
    "largest log |d0|",
    "mean log |d0|",
    "pT-weighted log |d0|",
    "log |d0| of the hardest",
    "pT-weighted dz",
    "spread of dz",
    "pT-weighted spread of dz",
    "pT within 1 mm in dz of the hardest",
    "pT within 1 mm in dz of 0",
    "fraction |dz| < 1 mm",
)
"""Columns of :func:`event_summaries`; pT is relative to the event's sum, d0 and dz in mm."""

ABSOLUTE_NAMES = ("sum of pT [GeV]", "pT of the hardest [GeV]")
"""Further columns if the tracks have their pT in GeV, too."""


def event_summaries(X, mask):
    """Physically telling numbers of each event, for simple classifiers.

    Parameters
    ----------
    X : array, shape (n, max_tracks, 5 or 6)
        Tracks in any order.
    mask : array, bool, shape (n, max_tracks)

    Returns
    -------
    array, float64, shape (n, len(SUMMARY_NAMES))
        With ``ABSOLUTE_NAMES`` behind, if X has the column of pT in GeV.

    Examples
    --------
    >>> summaries = event_summaries(np.ones((2, 80, 5)), np.ones((2, 80), dtype=bool))
    >>> summaries.shape == (2, len(SUMMARY_NAMES))
    True
    """
    X, mask = np.where(mask[..., None], X, 0.0).astype(float), np.asarray(mask, dtype=bool)
    order = np.argsort(np.where(mask, -X[..., 0], np.inf), axis=1, kind="stable")
    X = np.take_along_axis(X, order[..., None], axis=1)
    mask = np.take_along_axis(mask, order, axis=1)
    pt, eta, phi, d0, dz = np.moveaxis(X[..., :5], -1, 0)
    n_tracks = np.maximum(mask.sum(1), 1)
    sum_pt = np.maximum(pt.sum(1), np.finfo(float).tiny)

    def mean(x):
        return (x * mask).sum(1) / n_tracks

    def weighted(x):
        return (x * pt).sum(1) / sum_pt

    def spread(x, average):
        return np.sqrt(np.maximum(average(x**2) - average(x) ** 2, 0))

    log_d0 = np.where(mask, np.log10(np.abs(d0) + 1e-3), -3.0)
    delta_phi = (phi - phi[:, :1] + np.pi) % (2 * np.pi) - np.pi
    near = np.hypot(eta - eta[:, :1], delta_phi) < 0.4
    together = np.abs(dz - dz[:, :1]) < 1.0
    columns = [
        mask.sum(1),
        *(pt[:, :k].sum(1) for k in _LEADING),
        (pt**2).sum(1),
        np.hypot((pt * np.cos(phi)).sum(1), (pt * np.sin(phi)).sum(1)),
        mean(np.abs(eta)),
        weighted(np.abs(eta)),
        spread(eta, mean),
        spread(eta, weighted),
        (pt * near).sum(1),
        *(mean(np.abs(d0) > step) for step in _D0_STEPS),
        *(weighted(np.abs(d0) > step) for step in _D0_STEPS),
        log_d0.max(1),
        mean(log_d0),
        weighted(log_d0),
        log_d0[:, 0],
        weighted(dz),
        spread(dz, mean),
        spread(dz, weighted),
        (pt * together).sum(1),
        (pt * (np.abs(dz) < 1.0)).sum(1),
        mean(np.abs(dz) < 1.0),
    ]
    if X.shape[-1] == len(COLUMNS):
        columns += [X[..., 5].sum(1), X[:, 0, 5]]
    return np.stack(columns, axis=1)


@register("trees", title="Boosted trees")
class BoostedTrees:
    """Gradient-boosted trees on some thirty summaries of an event.

    Boosting stops when a tenth of the training events, set aside, no longer gains by it.

    Parameters
    ----------
    learning_rate : float
    max_iter : int
        The most trees.

    Examples
    --------
    >>> X = np.random.default_rng(1).random((200, 9, 5))
    >>> sample = Sample(X, np.ones((200, 9)), [0, 1] * 100)
    >>> BoostedTrees(max_iter=3).fit(sample, seed=1).predict_proba(sample.X, sample.mask).shape
    (200,)
    """

    def __init__(self, *, learning_rate=0.05, max_iter=300):
        self.learning_rate, self.max_iter = learning_rate, max_iter

    def fit(self, training: Sample, validation=None, *, seed, progress=False):
        """Fit the trees; validation events and progress are not needed.

        Raises
        ------
        ValueError
            If a class is missing.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        training.check_classes("training")
        self.n_columns = training.X.shape[2]
        self.trees = HistGradientBoostingClassifier(
            learning_rate=self.learning_rate,
            max_iter=self.max_iter,
            early_stopping=True,
            random_state=seed,
        )
        self.trees.fit(event_summaries(training.X, training.mask), training.y)
        return self

    def predict_proba(self, X, mask):
        """Probability that each event is signal, float64, shape (n,)."""
        check_tracks(X, mask, self.n_columns)
        return self.trees.predict_proba(event_summaries(X, mask))[:, 1]
