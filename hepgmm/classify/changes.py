"""Changes of samples: parameters taken away, and the resolution of a detector."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hepgmm.collide.detector import smear
from hepgmm.crossings.samples import COLUMNS, Sample

__all__ = ["CHANGES", "smeared", "without"]


def without(sample: Sample, names, *, seed=None) -> Sample:
    """The sample with parameters of the tracks set to 0.

    Parameters
    ----------
    sample
        Labelled events.
    names
        From ``hepgmm.crossings.samples.COLUMNS``.
    seed
        Not needed.

    Returns
    -------
    Sample

    Examples
    --------
    >>> sample = Sample(np.ones((1, 1, 5)), np.ones((1, 1)), [1])
    >>> without(sample, ["d0"]).X.tolist()
    [[[1.0, 1.0, 1.0, 0.0, 1.0]]]
    """
    X = sample.X.copy()
    X[..., [COLUMNS.index(name) for name in names]] = 0.0
    return Sample(X, sample.mask, sample.y, sample.mass, sample.hard)


def smeared(sample: Sample, *, seed) -> Sample:
    """The sample with d0 and dz as a detector of the ATLAS kind measures them.

    Gaussian, with widths that fall with pT from 80 and 140 µm below 1 GeV to 12 and 47 µm: those of
    the ATLAS card of Delphes.

    Parameters
    ----------
    sample
        Labelled events with pT in GeV.
    seed
        Anything that ``numpy.random.default_rng`` takes.

    Returns
    -------
    Sample

    Raises
    ------
    ValueError
        If the sample has no pT in GeV.

    Examples
    --------
    >>> sample = Sample(np.zeros((2000, 1, 6)), np.ones((2000, 1)), [1] * 2000)
    >>> round(float(smeared(sample, seed=1).X[..., 3].std()), 2)
    0.08
    """
    if sample.X.shape[2] < len(COLUMNS):
        raise ValueError("smeared: the sample has no pT in GeV, which decides the resolution")
    X = sample.X.copy()
    d0, dz, pt = (COLUMNS.index(name) for name in ("d0", "dz", "pt"))
    measured = smear(*(X[..., i] for i in (pt, d0, dz)), detector="card", seed=seed)
    X[..., [d0, dz]] = np.where(sample.mask[..., None], np.stack(measured, -1), X[..., [d0, dz]])
    return Sample(X, sample.mask, sample.y, sample.mass, sample.hard)


CHANGES: dict[str, Callable] = {
    "smeared": smeared,
    "without_d0": partial(without, names=["d0"]),
    "without_dz": partial(without, names=["dz"]),
    "without_distances": partial(without, names=["d0", "dz"]),
    "without_phi": partial(without, names=["phi"]),
}
"""Name → function of a sample and a seed."""
