"""Changes of samples: parameters taken away, and the resolution of a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from hepgmm.crossings.samples import COLUMNS, Sample

__all__ = ["CHANGES", "smeared", "without"]

#: Edges in GeV of the bins of pT, and in each the resolution of d0 and of dz in mm: those of the
#: ATLAS card of Delphes.
PT_EDGES = (1.0, 2.0, 4.0, 6.0, 10.0, 15.0)
RESOLUTION = {
    "d0": (0.080, 0.045, 0.028, 0.020, 0.016, 0.014, 0.0115),
    "dz": (0.140, 0.096, 0.075, 0.058, 0.055, 0.050, 0.047),
}


def without(sample: Sample, names, *, seed=None) -> Sample:
    """The sample with parameters of the tracks, names from ``COLUMNS``, set to 0."""
    X = sample.X.copy()
    X[..., [COLUMNS.index(name) for name in names]] = 0.0
    return replace(sample, X=X)


def smeared(sample: Sample, *, seed) -> Sample:
    """The sample with d0 and dz as a detector measures them; its X needs pT in GeV."""
    if sample.X.shape[2] < len(COLUMNS):
        raise ValueError("smeared: the sample has no pT in GeV, which decides the resolution")
    rng, X = np.random.default_rng(seed), sample.X.copy()
    pt_bin = np.digitize(X[..., COLUMNS.index("pt")], PT_EDGES)
    for name, widths in RESOLUTION.items():
        noise = rng.standard_normal(pt_bin.shape) * np.array(widths)[pt_bin]
        X[..., COLUMNS.index(name)] += noise * sample.mask
    return replace(sample, X=X)


CHANGES: dict[str, Callable] = {
    "smeared": smeared,
    "without_d0": partial(without, names=["d0"]),
    "without_dz": partial(without, names=["dz"]),
    "without_distances": partial(without, names=["d0", "dz"]),
    "without_phi": partial(without, names=["phi"]),
}
"""Name → function of a sample and a seed."""
