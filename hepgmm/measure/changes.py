"""Changes of samples: parameters taken away, and the resolution of a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from hepgmm.collide.detector import smear
from hepgmm.crossings.samples import COLUMNS, Sample

__all__ = ["CHANGES", "smeared", "without"]


def without(sample: Sample, names, *, seed=None) -> Sample:
    """The sample with parameters of the tracks, names from ``COLUMNS``, set to 0."""
    X = sample.X.copy()
    X[..., [COLUMNS.index(name) for name in names]] = 0.0
    return replace(sample, X=X)


def smeared(sample: Sample, *, seed) -> Sample:
    """The sample with d0 and dz as a detector measures them; its X needs pT in GeV."""
    if sample.X.shape[2] < len(COLUMNS):
        raise ValueError("smeared: the sample has no pT in GeV, which decides the resolution")
    X = sample.X.copy()
    d0, dz, pt = (COLUMNS.index(name) for name in ("d0", "dz", "pt"))
    measured = smear(*(X[..., i] for i in (pt, d0, dz)), detector="card", seed=seed)
    X[..., [d0, dz]] = np.where(sample.mask[..., None], np.stack(measured, -1), X[..., [d0, dz]])
    return replace(sample, X=X)


CHANGES: dict[str, Callable] = {
    "smeared": smeared,
    "without_d0": partial(without, names=["d0"]),
    "without_dz": partial(without, names=["dz"]),
    "without_distances": partial(without, names=["d0", "dz"]),
    "without_phi": partial(without, names=["phi"]),
}
"""Name → function of a sample and a seed."""
