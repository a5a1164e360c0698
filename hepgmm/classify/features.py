"""From track parameters to the five numbers a network sees, one readable table."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

__all__ = ["TRANSFORMS", "TrackFeatures", "Transform"]

# A track below a millionth of the event's pT is beyond any selection; the floor keeps log finite.
_PT_FLOOR = 1e-6


class Transform(NamedTuple):
    """One column of the network's input: its formula, how to compute it and how to undo it."""

    formula: str
    forward: Callable
    inverse: Callable


def _plain(name):
    return Transform(name, lambda x: x, lambda x: x)


def _over(scale, formula):
    return Transform(formula, lambda x: x / scale, lambda x: x * scale)


def _asinh(scale, formula, over=1.0):
    return Transform(
        formula,
        lambda x: torch.asinh(x / scale) / over,
        lambda x: scale * torch.sinh(x * over),
    )


_RAW = (
    _plain("pT / Σ pT"),
    _plain("η"),
    _plain("φ [rad]"),
    _plain("d0 [mm]"),
    _plain("dz [mm]"),
)

TRANSFORMS = {
    "raw": _RAW,
    "scaled": _RAW,
    "asinh": (
        Transform(
            "log(pT / Σ pT) + 5",
            lambda x: x.clamp_min(_PT_FLOOR).log() + 5,
            lambda x: (x - 5).exp(),
        ),
        _over(2.0, "Δη(hardest) / 2"),
        _over(torch.pi, "Δφ(hardest) / π"),
        _asinh(0.1, "asinh(d0 / 0.1 mm) / 4", over=4.0),
        _asinh(50.0, "asinh(dz / 50 mm)"),
    ),
}
"""The transforms of (pT, η, φ, d0, dz) in each kind of features, in this order."""


class TrackFeatures(nn.Module):
    """Transform tracks into network inputs; a model owns one, so that a saved model carries it.

    ========  =====================================================================
    kind      the five inputs
    ========  =====================================================================
    "raw"     pT/ΣpT, η, φ [rad], d0 [mm], dz [mm]
    "scaled"  the same with zero mean and unit variance over the training tracks
    "asinh"   log(pT/ΣpT) + 5, Δη/2, Δφ/π, asinh(d0/0.1 mm)/4, asinh(dz/50 mm): of order
              one for the tracks of an event with pileup, whose pT is about e⁻⁵ of the sum
    ========  =====================================================================

    Δη and Δφ in (−π, π] are relative to the event's hardest track, the nearest thing to the axis
    of a jet. Collisions have no preferred φ, so that turning an event loses nothing; counting from
    the hardest track loses its η, which is worth less than what it tells of the other tracks.
    Padding becomes 0 whatever it held.

    Parameters
    ----------
    kind : {"raw", "scaled", "asinh"}

    Raises
    ------
    ValueError
        If the kind is unknown.

    Examples
    --------
    >>> features = TrackFeatures("asinh")
    >>> tracks = torch.tensor([[[1.0, 2.0, 0.5, 0.0, 0.0], [1.0, 1.0, 0.5, 0.0, 50.0]]])
    >>> features(tracks, torch.tensor([[True, True]]))[0, 1, :4].tolist()
    [5.0, -0.5, 0.0, 0.0]
    """

    def __init__(self, kind="asinh"):
        super().__init__()
        if kind not in TRANSFORMS:
            raise ValueError(f"features={kind!r} is unknown; choose one of {', '.join(TRANSFORMS)}")
        self.kind = kind
        self.register_buffer("mean", torch.zeros(5))
        self.register_buffer("std", torch.ones(5))

    def _tracks(self, X, mask):
        """X with 0 in the padding, for "asinh" with η and φ relative to the hardest track."""
        X = X.masked_fill(~mask.unsqueeze(-1), 0.0)
        if self.kind != "asinh":
            return X
        pt, eta, phi, *impact = X.unbind(-1)
        hardest = pt.argmax(-1, keepdim=True)
        eta = eta - eta.gather(-1, hardest)
        phi = phi - phi.gather(-1, hardest)
        phi = phi - 2 * torch.pi * torch.ceil(phi / (2 * torch.pi) - 0.5)
        return torch.stack((pt, eta, phi, *impact), -1)

    @property
    def formulas(self):
        """What each of the five inputs is, for axis labels."""
        return tuple(transform.formula for transform in TRANSFORMS[self.kind])

    def fit(self, X, mask):
        """Set means and standard deviations from training tracks; only "scaled" has any.

        Parameters
        ----------
        X : array, shape (n, max_tracks, 5)
        mask : array, bool, shape (n, max_tracks)

        Returns
        -------
        TrackFeatures
            Itself.
        """
        if self.kind == "scaled":
            tracks = torch.as_tensor(X)[torch.as_tensor(mask)].double()
            std = tracks.std(0, correction=0)
            self.mean.copy_(tracks.mean(0))
            self.std.copy_(torch.where(std > 0, std, 1.0))
        return self

    def forward(self, X, mask):
        """Inputs, shape (n, max_tracks, 5), of tracks X of the same shape."""
        columns = self._tracks(X, mask).unbind(-1)
        transforms = TRANSFORMS[self.kind]
        inputs = [t.forward(column) for t, column in zip(transforms, columns, strict=True)]
        inputs = (torch.stack(inputs, -1) - self.mean) / self.std
        return inputs.masked_fill(~mask.unsqueeze(-1), 0.0)

    def inverse(self, inputs):
        """Tracks, shape (..., 5), that have these inputs; for "asinh" η and φ are relative."""
        columns = (inputs * self.std + self.mean).unbind(-1)
        transforms = TRANSFORMS[self.kind]
        return torch.stack(
            [t.inverse(column) for t, column in zip(transforms, columns, strict=True)], -1
        )
