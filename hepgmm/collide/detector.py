"""What of a collision the tracker can see, and where along the beam it happened."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = [
    "RESOLUTION",
    "TRACKER_HALF_LENGTH",
    "TRACKER_RADIUS",
    "draw_vertices",
    "in_tracker",
    "smear",
]

#: Radius of the tracker volume in mm (Delphes' ATLAS card).
TRACKER_RADIUS = 1150.0
#: Half the length of the tracker volume in mm (Delphes' ATLAS card).
TRACKER_HALF_LENGTH = 3510.0


class Resolution(NamedTuple):
    """Standard deviations in mm of the errors of d0 and dz, in bins of pT with edges in GeV."""

    edges: tuple[float, ...]
    d0: tuple[float, ...]
    dz: tuple[float, ...]


#: Detectors by name: a pixel detector for tracks of some GeV, and Delphes' ATLAS card.
RESOLUTION = {
    "simple": Resolution((), d0=(0.03,), dz=(0.06,)),
    "card": Resolution(
        (1.0, 2.0, 4.0, 6.0, 10.0, 15.0),
        d0=(0.080, 0.045, 0.028, 0.020, 0.016, 0.014, 0.0115),
        dz=(0.140, 0.096, 0.075, 0.058, 0.055, 0.050, 0.047),
    ),
}


def in_tracker(x, y, z):
    """Whether points lie inside the tracker volume: R < 1150 mm and abs(z) < 3510 mm.

    Parameters
    ----------
    x, y, z
        Coordinates in mm, any common shape.

    Returns
    -------
    numpy.ndarray
        bool, of that shape.

    Examples
    --------
    >>> in_tracker([0.0, 900.0], [0.0, 900.0], [0.0, 0.0]).tolist()
    [True, False]
    """
    return (np.hypot(x, y) < TRACKER_RADIUS) & (np.abs(z) < TRACKER_HALF_LENGTH)


def draw_vertices(n_vertices: int, *, seed, sigma_z: float = 53.0) -> np.ndarray:
    """Positions of collisions along the beam, Gaussian around the detector's centre.

    Parameters
    ----------
    n_vertices
        How many.
    seed
        int, ``SeedSequence`` or ``numpy.random.Generator``.
    sigma_z
        Standard deviation in mm; 53 is what Delphes' ATLAS pileup card uses.

    Returns
    -------
    numpy.ndarray
        float64 ``(n_vertices,)`` in mm.

    Raises
    ------
    ValueError
        If ``sigma_z`` is negative or not a number.

    Examples
    --------
    >>> draw_vertices(3, seed=1, sigma_z=0.0).tolist()
    [0.0, 0.0, 0.0]
    """
    if not (np.isfinite(sigma_z) and sigma_z >= 0):
        raise ValueError(f"sigma_z = {sigma_z} mm: give a finite width of at least 0")
    return sigma_z * np.random.default_rng(seed).standard_normal(n_vertices)


def smear(pt, d0, dz, *, detector: str, seed):
    """d0 and dz [mm] of tracks of pT [GeV] as a detector of ``RESOLUTION`` measures them."""
    rng, resolution = np.random.default_rng(seed), RESOLUTION[detector]
    pt_bin = np.searchsorted(resolution.edges, pt, side="right")
    return [
        values + rng.standard_normal(np.shape(values)) * np.array(widths)[pt_bin]
        for values, widths in ((d0, resolution.d0), (dz, resolution.dz))
    ]
