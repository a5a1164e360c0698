"""An event as a few numbers that physics suggests, for classifiers that do not read tracks."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from hepgmm.crossings.samples import COLUMNS

__all__ = ["ABSOLUTE_NAMES", "SUMMARY_NAMES", "EventPt", "EventSummaries", "event_summaries"]

# Export to ONNX rounds constants to single precision; so rounded, they are the same everywhere.
_D0_STEPS = tuple(np.float32((0.1, 1.0, 10.0, 100.0)).tolist())
_D0_FLOOR, _CONE_SQUARED, _TURN, _DECADE = np.float32((1e-3, 0.16, 2 * np.pi, np.log(10))).tolist()
_OPPOSITE = 2.0
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
    "pT in a cone around the hardest track",
    "pT in a cone around the hardest outside that cone",
    "pT opposite to the hardest track",
    *(f"fraction |d0| > {step:g} mm" for step in _D0_STEPS),
    *(f"pT fraction |d0| > {step:g} mm" for step in _D0_STEPS),
    "largest log |d0|",
    "mean log |d0|",
    "pT-weighted log |d0|",
    "log |d0| of the hardest",
    "log |d0| of the second hardest",
    "log |d0| of the third hardest",
    "pT-weighted dz",
    "spread of dz",
    "pT-weighted spread of dz",
    "pT within 1 mm in dz of the hardest",
    "pT within 1 mm in dz of 0",
    "fraction |dz| < 1 mm",
)
"""Columns of :func:`event_summaries`; pT is relative to the event's sum, d0 and dz in mm.

A cone has ΔR < 0.4; opposite is |Δφ| > 2."""

ABSOLUTE_NAMES = ("sum of pT [GeV]", "pT of the hardest [GeV]")
"""Further columns if the tracks have their pT in GeV, too."""


class EventFeatures(nn.Module):
    """Numbers of each event in double precision, of tracks with 5 columns, or 6 with pT in GeV."""

    def __init__(self, n_columns):
        super().__init__()
        self.n_columns, self.absolute = n_columns, n_columns == len(COLUMNS)


class EventSummaries(EventFeatures):
    """Thirty-five numbers that physics suggests, 37 with pT in GeV."""

    @property
    def formulas(self):
        """What each of the numbers is."""
        return SUMMARY_NAMES + (ABSOLUTE_NAMES if self.absolute else ())

    def forward(self, X, mask):
        """Numbers, float64, shape (n, len(formulas)), of tracks X, shape (n, T, n_columns)."""
        missing = max(_LEADING) - X.shape[1]
        if missing > 0:
            X, mask = F.pad(X, (0, 0, 0, missing)), F.pad(mask, (0, missing))
        X = X.double().masked_fill(~mask.unsqueeze(-1), 0.0)
        pt, eta, phi, d0, dz = X[..., :5].unbind(-1)
        # onnxruntime has no cosine in double precision.
        px, py = pt * phi.float().cos(), pt * phi.float().sin()
        n_tracks = mask.sum(1).clamp(min=1)
        sum_pt = pt.sum(1).clamp(min=torch.finfo(torch.float64).tiny)
        leading, order, left = pt.topk(max(_LEADING)).values, [], pt
        # Not the indices of topk: which of two equal pT comes first is up to the machine.
        for _ in range(3):
            order.append(left.argmax(1, keepdim=True))
            left = left.scatter(1, order[-1], -1.0)
        hardest = order[0]

        def mean(x):
            return (x * mask).sum(1) / n_tracks

        def weighted(x):
            return (x * pt).sum(1) / sum_pt

        def spread(x, average):
            return (average(x**2) - average(x) ** 2).clamp(min=0).sqrt()

        def distances(track):
            delta_phi = phi - phi.gather(1, track)
            delta_phi = delta_phi - _TURN * torch.round(delta_phi / _TURN)
            return (eta - eta.gather(1, track)) ** 2 + delta_phi**2, delta_phi.abs()

        log_d0 = torch.log(d0.abs() + _D0_FLOOR) / _DECADE
        squared, delta_phi = distances(hardest)
        near, opposite = squared < _CONE_SQUARED, delta_phi > _OPPOSITE
        beyond = pt * ~near
        near_beyond = distances(beyond.argmax(1, keepdim=True))[0] < _CONE_SQUARED
        together, central = (dz - dz.gather(1, hardest)).abs() < 1.0, dz.abs() < 1.0
        columns = [
            mask.sum(1),
            *(leading[:, :k].sum(1) for k in _LEADING),
            (pt**2).sum(1),
            (px.sum(1) ** 2 + py.sum(1) ** 2).sqrt(),
            mean(eta.abs()),
            weighted(eta.abs()),
            spread(eta, mean),
            spread(eta, weighted),
            (pt * near).sum(1),
            (beyond * near_beyond).sum(1),
            (pt * opposite).sum(1),
            *(mean((d0.abs() > step).double()) for step in _D0_STEPS),
            *(weighted((d0.abs() > step).double()) for step in _D0_STEPS),
            log_d0.max(1).values,
            mean(log_d0),
            weighted(log_d0),
            *log_d0.gather(1, torch.cat(order, 1)).unbind(1),
            weighted(dz),
            spread(dz, mean),
            spread(dz, weighted),
            (pt * together).sum(1),
            (pt * central).sum(1),
            mean(central.double()),
        ]
        if self.absolute:
            columns += [X[..., 5].sum(1), X[..., 5].gather(1, hardest)[:, 0]]
        return torch.stack([column.double() for column in columns], dim=1)


class EventPt(EventFeatures):
    """The pT of an event to cut on: of the hardest track, and of all selected tracks."""

    @property
    def formulas(self):
        """What each of the numbers is."""
        relative = ("hardest, relative", "selected tracks, relative")
        absolute = ("hardest [GeV]", "selected tracks [GeV]")
        return relative + (absolute if self.absolute else ())

    def forward(self, X, mask):
        """Numbers, float64, shape (n, len(formulas)), of tracks X, shape (n, T, n_columns)."""
        X = X.double().masked_fill(~mask.unsqueeze(-1), 0.0)
        columns = [X[..., 0], X[..., 5]] if self.absolute else [X[..., 0]]
        return torch.stack([y for x in columns for y in (x.max(1).values, x.sum(1))], dim=1)


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
    >>> mask = np.ones((2, 80), dtype=bool)
    >>> summaries = event_summaries(np.ones((2, 80, 5)), mask)
    >>> summaries.shape == (2, len(SUMMARY_NAMES))
    True
    """
    X, mask = torch.as_tensor(X), torch.as_tensor(mask, dtype=torch.bool)
    with torch.inference_mode():
        return EventSummaries(X.shape[-1])(X, mask).numpy()
