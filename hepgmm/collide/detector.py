"""What of a collision the tracker can see, and where along the beam it happened."""

from __future__ import annotations

import numpy as np

__all__ = [
    "TRACKER_HALF_LENGTH",
    "TRACKER_RADIUS",
    "draw_vertices",
    "in_tracker",
]

#: Radius of the tracker volume in mm (Delphes' ATLAS card).
TRACKER_RADIUS = 1150.0
#: Half the length of the tracker volume in mm (Delphes' ATLAS card).
TRACKER_HALF_LENGTH = 3510.0


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
