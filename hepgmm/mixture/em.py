"""What the fits of mixtures share: when EM ends, the criteria, and checks of arguments."""

from __future__ import annotations

from numbers import Integral

import numpy as np

__all__ = [
    "CRITERIA",
    "MAX_ITERATIONS",
    "ROUNDING",
    "TOLERANCE",
    "check_arguments",
    "check_candidates",
    "check_offsets",
    "check_rows",
    "start_streams",
]

#: EM stops when the mean log-likelihood grows by less than this in one iteration.
TOLERANCE = 1e-3
#: EM stops after this many iterations in any case (and counts as not converged).
MAX_ITERATIONS = 200
#: Double precision knows a covariance to about this fraction of the largest variance of the set
#: (a component of a few points can be some hundred times wider than the set).
ROUNDING = 1024 * float(np.finfo(np.float64).eps)
#: Values above this many roots of their floor are refused: Jacobi's rotations need fourth powers.
LARGEST = 1e70
#: What a criterion adds to -2 log L, from the free parameters and the number of points.
CRITERIA = {
    "bic": lambda parameters, n: parameters * np.log(n),
    "aic": lambda parameters, n: 2.0 * parameters * np.ones_like(n),
}


def check_arguments(points, n_components, n_init, floors, criterion, workers):
    """Return points ``(n, d)``, candidates in rising order and floors ``(d,)``, or refuse them.

    Raises
    ------
    ValueError
        For a bad argument, which is named.

    Examples
    --------
    >>> points, candidates, floors = check_arguments([[1, 2]], [2, 1], 1, 0.5, "bic", 1)
    >>> points.tolist(), candidates.tolist(), floors.tolist()
    ([[1.0, 2.0]], [1, 2], [0.5, 0.5])
    """
    points = _numbers(points, "points")
    if points.ndim != 2 or points.shape[1] < 1:
        raise ValueError(f"points: expected shape (n, d), got {points.shape}")
    candidates = check_candidates(n_components).astype(np.int64)
    for name, value in (("n_init", n_init), ("workers", workers)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} = {value}: give a whole number of at least 1")
    floors = _numbers(floors, "floors")
    if floors.shape not in ((), (points.shape[1],)):
        raise ValueError(
            f"floors: give one number or one for each of the {points.shape[1]} features, "
            f"got shape {floors.shape}"
        )
    if not (np.isfinite(floors) & (floors > 0)).all():
        raise ValueError(f"floors = {floors.tolist()}: give positive numbers")
    too_large = np.isfinite(points) & (np.abs(points) > LARGEST * np.sqrt(floors))
    if too_large.any():
        row, feature = np.argwhere(too_large)[0]
        raise ValueError(
            f"points: row {row} holds {points[row, feature]:.3g}, too large for a floor of "
            f"{np.broadcast_to(floors, points.shape[1:])[feature]:.3g}"
        )
    if criterion not in CRITERIA:
        raise ValueError(f"criterion = {criterion!r}: choose one of {', '.join(CRITERIA)}")
    return points, candidates, np.broadcast_to(floors, points.shape[1:])


def check_rows(points, candidates):
    """Refuse fewer points than the smallest candidate or than 2, and values not finite.

    Raises
    ------
    ValueError
        The number of points or the row is named.

    Examples
    --------
    >>> check_rows(np.zeros((5, 1)), np.array([1, 2]))
    """
    needed = max(2, int(candidates[0]))
    if len(points) < needed:
        raise ValueError(f"points: got {len(points)}, but at least {needed} are needed")
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(f"points: row {int(np.argmax(bad))} holds a NaN or infinite value")


def check_candidates(candidates, name: str = "n_components"):
    """Return numbers of components (or the only one) in rising order, or refuse them.

    Raises
    ------
    ValueError
        If they aren't positive whole numbers, or there is none.

    Examples
    --------
    >>> check_candidates([3, 1, 2, 1]), check_candidates(4)
    (array([1, 2, 3]), array([4]))
    """
    found = np.unique(candidates if np.iterable(candidates) else [candidates])
    if not len(found) or found.dtype.kind not in "iu" or found[0] < 1:
        raise ValueError(f"{name}: give positive whole numbers, got {found.tolist()[:5]}")
    return found


def check_offsets(points, offsets, candidates):
    """Refuse offsets that don't divide the points, events too small, and values not finite."""
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise ValueError(
            "offsets: expected one dimension of integers, "
            f"got {offsets.dtype} of shape {offsets.shape}"
        )
    counts = np.diff(offsets.astype(np.int64))
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(points) or (counts < 0).any():
        raise ValueError(
            f"offsets: they must rise from 0 to the number of points, {len(points)}, "
            f"got {offsets[:3].tolist()} … {offsets[-3:].tolist()}"
        )
    needed = max(2, int(candidates[0]))
    if (counts < needed).any():
        event = int(np.argmax(counts < needed))
        raise ValueError(
            f"points: event {event} has {counts[event]}, but at least {needed} are needed"
        )
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        event = int(np.searchsorted(offsets, np.argmax(bad), side="right")) - 1
        raise ValueError(f"points: event {event} holds a NaN or infinite value")


def start_streams(seed, candidates, n_init: int):
    """Seeds of the starts of every candidate, which depend on K and the number of the start alone.

    So a candidate's first starts are the same whatever the other candidates are and however many
    starts there are.

    Returns
    -------
    list of list of numpy.random.SeedSequence
        ``streams[c][s]`` is that of start s of candidate c.

    Examples
    --------
    >>> few, many = start_streams(1, [3], 1), start_streams(1, [2, 3], 5)
    >>> few[0][0].generate_state(1) == many[1][0].generate_state(1)
    array([ True])
    """
    entropy = int(np.random.default_rng(seed).integers(2**63))
    return [
        [np.random.SeedSequence(entropy, spawn_key=(int(k), start)) for start in range(n_init)]
        for k in candidates
    ]


def _numbers(values, name):
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected numbers in one array") from None
