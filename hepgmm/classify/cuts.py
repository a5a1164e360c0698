"""The lowest rung: one cut on one pT."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hepgmm.classify.fitted import FittedModel
from hepgmm.classify.metrics import auc
from hepgmm.classify.registry import register
from hepgmm.classify.summaries import EventPt
from hepgmm.crossings.samples import Sample

__all__ = ["PtCut", "Steps"]

#: Probabilities keep this far from 0 and 1, where there is no logit.
_MARGIN = 2.0**-20


class Steps(nn.Module):
    """A probability that rises or falls with one pT, linear between its knots.

    Parameters
    ----------
    n_columns : int
        Of the tracks.
    column : int
        Of the pT, in the order of ``features.formulas``.
    n_knots : int

    Examples
    --------
    >>> steps = Steps(n_columns=5, column=0, n_knots=2)
    >>> steps(torch.ones(4, 80, 5), torch.ones(4, 80, dtype=torch.bool)).sigmoid().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """

    def __init__(self, *, n_columns, column, n_knots):
        super().__init__()
        self.features = EventPt(n_columns)
        self.hyperparameters = {"n_columns": n_columns, "column": column, "n_knots": n_knots}
        knots = torch.arange(n_knots, dtype=torch.float64)
        self.knots = nn.Parameter(knots, requires_grad=False)
        self.probability = nn.Parameter(torch.full_like(knots, 0.5), requires_grad=False)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, n_columns), where mask is True."""
        x, p = self.features(X, mask)[:, self.hyperparameters["column"]], self.probability
        right = (x[:, None] >= self.knots).sum(1).clamp(1, len(p) - 1)
        left = right - 1
        share = (x - self.knots[left]) / (self.knots[right] - self.knots[left])
        between = p[left] + share.clamp(0, 1) * (p[right] - p[left])
        between = between.clamp(_MARGIN, 1 - _MARGIN)
        return (between / (1 - between)).log().float()


@register("pt_cut", title="Best cut on one pT")
class PtCut(FittedModel):
    """One cut on whichever pT tells most: of the hardest track, or of all selected tracks.

    Of the event's pT the one with the largest AUC on the training events is taken, in whichever
    direction; the probability of signal is a step function of it, fitted to be monotone.

    Attributes
    ----------
    model : torch.nn.Module
        The step function.

    Examples
    --------
    >>> X, y = np.ones((4, 2, 5)), [0, 0, 1, 1]
    >>> X[:, 0, 0] = [0.5, 0.6, 0.7, 0.8]
    >>> cut = PtCut().fit(Sample(X, np.ones((4, 2)), y), seed=1)
    >>> mask = np.ones((4, 2), dtype=bool)
    >>> cut.value, cut.predict_proba(X, mask).round(3).tolist()
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
        features = EventPt(training.X.shape[2])
        values = features(torch.as_tensor(training.X), torch.as_tensor(training.mask)).numpy()
        areas = [auc(column, training.y) for column in values.T]
        column = int(np.argmax(np.abs(np.array(areas) - 0.5)))
        steps = IsotonicRegression(increasing=areas[column] >= 0.5)
        steps.fit(values[:, column], training.y)
        knots, probability = steps.X_thresholds_, steps.y_thresholds_
        if len(knots) == 1:
            knots, probability = knots[0] + np.arange(2.0), np.repeat(probability, 2)
        self.model = Steps(n_columns=features.n_columns, column=column, n_knots=len(knots))
        self.model.knots.copy_(torch.as_tensor(knots))
        self.model.probability.copy_(torch.as_tensor(probability))
        self.model.eval()
        return self

    @property
    def value(self):
        """The pT that was taken, by its name."""
        return self.model.features.formulas[self.model.hyperparameters["column"]]
