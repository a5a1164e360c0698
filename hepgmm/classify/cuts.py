"""The lowest rung: one cut on one pT."""

from __future__ import annotations

import numpy as np

from hepgmm.classify.metrics import auc
from hepgmm.classify.registry import register
from hepgmm.classify.samples import COLUMNS, Sample, check_tracks

__all__ = ["PtCut"]


@register("pt_cut", title="Best cut on one pT")
class PtCut:
    """One cut on whichever pT tells most: of the hardest track, or of all selected tracks.

    Of the event's pT the one with the largest AUC on the training events is taken, in whichever
    direction; the probability of signal is a step function of it, fitted to be monotone.

    Attributes
    ----------
    value : str
        The pT that was taken.

    Examples
    --------
    >>> X, y = np.ones((4, 2, 5)), [0, 0, 1, 1]
    >>> X[:, 0, 0] = [0.5, 0.6, 0.7, 0.8]
    >>> cut = PtCut().fit(Sample(X, np.ones((4, 2)), y), seed=1)
    >>> cut.value, cut.predict_proba(X, np.ones((4, 2), dtype=bool)).tolist()
    ('selected tracks, relative', [0.0, 0.0, 1.0, 1.0])
    """

    def fit(self, training: Sample, validation=None, *, seed=None, progress=False):
        """Choose the pT and its steps on training events; the rest is not needed.

        Raises
        ------
        ValueError
            If a class is missing.
        """
        from sklearn.isotonic import IsotonicRegression

        training.check_classes("training")
        self.n_columns = training.X.shape[2]
        values = _values(training.X, training.mask)
        areas = {name: auc(value, training.y) for name, value in values.items()}
        self.value = max(areas, key=lambda name: abs(areas[name] - 0.5))
        self.steps = IsotonicRegression(increasing="auto", out_of_bounds="clip")
        self.steps.set_params(increasing=areas[self.value] >= 0.5)
        self.steps.fit(values[self.value], training.y)
        return self

    def predict_proba(self, X, mask):
        """Probability that each event is signal, float64, shape (n,)."""
        check_tracks(X, mask, self.n_columns)
        return self.steps.predict(_values(X, mask)[self.value])


def _values(X, mask):
    """The pT that there is to cut on, by name, each of shape (n,)."""
    X = np.where(np.asarray(mask, dtype=bool)[..., None], X, 0.0).astype(float)
    values = {"hardest, relative": X[..., 0].max(1), "selected tracks, relative": X[..., 0].sum(1)}
    if X.shape[-1] == len(COLUMNS):
        values |= {"hardest": X[..., 5].max(1), "selected tracks": X[..., 5].sum(1)}
    return values
