"""Where the components of a large set start."""

from __future__ import annotations

import numpy as np
from numba import njit

from hepgmm.mixture.matrices import FAST

__all__ = ["seed_labels"]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def seed_labels(points, uniforms):
    """Number of the nearest centre of each point, the centres chosen by k-means++.

    The first centre is any of the points, each other one drawn with a probability in proportion
    to the squared distance from the nearest centre so far.

    Parameters
    ----------
    points
        ``(n, d)``.
    uniforms
        One number in [0, 1) for each centre, ``(k,)``: they decide which points are drawn.

    Returns
    -------
    numpy.ndarray
        int64 ``(n,)``.

    References
    ----------
    D. Arthur, S. Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007, 1027.

    Examples
    --------
    >>> seed_labels(np.array([[0.0], [1.0], [9.0], [8.0]]), np.array([0.1, 0.9])).tolist()
    [0, 0, 1, 1]
    """
    n, d = points.shape
    labels, nearest = np.zeros(n, np.int64), np.full(n, np.inf)
    total = 0.0
    for k in range(len(uniforms)):
        centre = int(uniforms[k] * n)
        rest = uniforms[k] * total
        if total > 0.0:  # else the first, or every point lies on a centre
            centre = n - 1
            for i in range(n):
                rest -= nearest[i]
                if rest < 0.0:
                    centre = i
                    break
        total = 0.0
        for i in range(n):
            distance = 0.0
            for j in range(d):
                distance += (points[i, j] - points[centre, j]) ** 2
            if distance < nearest[i]:
                nearest[i] = distance
                labels[i] = k
            total += nearest[i]
    return labels
