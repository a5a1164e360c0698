"""Which components would be singular without their floor."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepgmm.mixture.many import MixtureFits
from hepgmm.mixture.matrices import EMPTY

__all__ = ["Singular", "find_singular"]


class Singular(NamedTuple):
    """Components of many events whose floor is active, one entry each.

    ``str()`` of it is a table of the ten with the smallest eigenvalues.

    Attributes
    ----------
    event
        int64 ``(S,)``.
    component
        Its number within the event, int64 ``(S,)``.
    tracks
        Sum of the component's responsibilities, ``(S,)``.
    eigenvalue
        The variance that the likelihood asked for in the direction where it is smallest in units
        of the floor, ``(S,)``; 0 where the points have no extent.
    floor
        The variance that was applied in that direction, ``(S,)``.
    direction
        Vectors of length one in the numbers of the features, ``(S, d)``.
    """

    event: np.ndarray
    component: np.ndarray
    tracks: np.ndarray
    eigenvalue: np.ndarray
    floor: np.ndarray
    direction: np.ndarray

    def __str__(self) -> str:
        lines = [f"{len(self.event)} components whose smallest eigenvalue is below the floor"]
        for i in np.argsort(self.eigenvalue / self.floor, kind="stable")[:10]:
            lines.append(
                f"event {self.event[i]}, component {self.component[i]} ({self.tracks[i]:.1f} "
                f"tracks): smallest eigenvalue {self.eigenvalue[i]:.3g}, floor {self.floor[i]:.3g}"
            )
        return "\n".join(lines)


def find_singular(points, offsets, fits: MixtureFits) -> Singular:
    """Find the components whose covariance the floor decided, and what the points asked for.

    For each component with a direction at the floor, the covariance S that its responsibilities
    ask for without a floor is computed. D⁻¹ᐟ² S D⁻¹ᐟ² with D = diag(floors) has eigenvalues below
    one, up to what the last step of EM moved; the smallest is reported, as the variance uᵀ S u in
    its direction u and the floor uᵀ D u there. Their ratio has no unit; where the features have
    different units, they themselves are to be read with the direction.

    Parameters
    ----------
    points, offsets
        What :func:`hepgmm.mixture.fit_many` was given.
    fits
        What it returned.

    Returns
    -------
    Singular

    Raises
    ------
    ValueError
        If the fits are of another number of events.

    Examples
    --------
    Three points, two of them equal: no covariance in one of the components.

    >>> from hepgmm.mixture.many import fit_many
    >>> points = [[0.0], [0.0], [5.0]]
    >>> found = find_singular(points, [0, 3], fit_many(points, [0, 3], [2], floors=1e-4, seed=0))
    >>> found.component.tolist(), found.eigenvalue.round(9).tolist(), found.floor.round(9).tolist()
    ([0, 1], [0.0, 0.0], [0.0001, 0.0001])
    """
    points, offsets = np.asarray(points, dtype=np.float64), np.asarray(offsets)
    if len(offsets) != len(fits.offsets):
        raise ValueError(
            f"fits: they are of {len(fits.offsets) - 1} events, offsets of {len(offsets) - 1}"
        )
    entries = []
    for event in np.unique(np.searchsorted(fits.offsets, np.flatnonzero(fits.floored), "right")):
        event -= 1
        own = slice(fits.offsets[event], fits.offsets[event + 1])
        members = points[offsets[event] : offsets[event + 1]]
        mixture = fits.mixture(event)
        shares = mixture.responsibilities(members)
        scales = np.sqrt(fits.floors[event])
        for k in np.flatnonzero(fits.floored[own]):
            # A component without points, where K exceeds the number of places, has no extent.
            tracks = max(shares[:, k].sum(), EMPTY)
            scaled = members / scales
            centred = scaled - shares[:, k] @ scaled / tracks
            moments = (shares[:, k, None] * centred).T @ centred / tracks
            values, axes = np.linalg.eigh(moments)
            direction = axes[:, 0] / scales
            unit = 1 / (direction @ direction)
            entry = (event, k, tracks, max(values[0], 0.0) * unit, unit)
            entries.append((*entry, direction * np.sqrt(unit)))
    columns = zip(*entries, strict=True) if entries else [()] * 6
    event, component, tracks, eigenvalue, floor, direction = map(np.array, columns)
    return Singular(
        event.astype(np.int64),
        component.astype(np.int64),
        tracks,
        eigenvalue,
        floor,
        direction.reshape(-1, points.shape[1]),
    )
