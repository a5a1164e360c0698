"""Thousands of small mixtures at once: every event with every number of components."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from hepgmm.mixture import small_kernels
from hepgmm.mixture.em import (
    CRITERIA,
    MAX_ITERATIONS,
    TOLERANCE,
    check_arguments,
    check_offsets,
    start_streams,
)
from hepgmm.mixture.gaussian import GaussianMixture, count_parameters
from hepgmm.mixture.small_kernels import EMPTY, workspace

__all__ = [
    "MixtureFits",
    "Singular",
    "find_singular",
    "fit_many",
]

#: Events that a thread takes at once.
BATCH = 64
#: Gains that shrink by a fifth in each step add up to four times the last one: a climb further
#: behind the best one is given up. That saves a third of the time, and loses a hill now and then.
HOPE = 4.0


class MixtureFits(NamedTuple):
    """The mixtures of many events, flat: event i owns the components ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    weights : array, shape (M,)
    means : array, shape (M, d)
    covariances : array, shape (M, d, d)
    offsets : int64 array, shape (n_events + 1,)
    candidates
        The numbers of components K that were tried, int64 ``(n_candidates,)``.
    n_components
        The K of the lowest criterion, int64 ``(n_events,)``.
    log_likelihood : array, shape (n_events, n_candidates)
        NaN where an event has fewer points than components.
    criterion
        BIC or AIC, of the same shape.
    iterations
        EM steps of the fit that was kept, of the same shape.
    converged
        Whether they were enough, of the same shape; False where there is no fit.
    floors : array, shape (n_events, d)
        The floors of the variances, which are those asked for, or all of them
        raised by one factor where double precision asks for it.
    floored : int64 array, shape (M,)
        How many directions of the component have the floor as their variance.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    offsets: np.ndarray
    candidates: np.ndarray
    n_components: np.ndarray
    log_likelihood: np.ndarray
    criterion: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    floors: np.ndarray
    floored: np.ndarray

    def mixture(self, event: int) -> GaussianMixture:
        """Return the mixture of one event.

        Examples
        --------
        >>> points = np.random.default_rng(0).normal(size=(60, 2))
        >>> fit_many(points, [0, 20, 60], [3], seed=1).mixture(1).n_components
        3
        """
        rows = slice(self.offsets[event], self.offsets[event + 1])
        column = np.searchsorted(self.candidates, self.n_components[event])
        return GaussianMixture(
            self.weights[rows],
            self.means[rows],
            self.covariances[rows],
            bool(self.converged[event, column]),
        )


def fit_many(
    points,
    offsets,
    n_components: Iterable[int] | int = range(1, 11),
    *,
    n_init: int = 1,
    floors=1e-6,
    criterion: str = "bic",
    seed,
    workers: int = 1,
    progress: bool = False,
) -> MixtureFits:
    """Fit a full-covariance mixture to every event, with K by BIC = k log n - 2 log L̂.

    k = K d + K d (d + 1) / 2 + K - 1 counts the parameters of a mixture without floors, those of
    directions that a floor holds included, and n the points of the event. L̂ is the largest
    likelihood that EM finds among mixtures whose covariances obey Σ ≥ diag(floors):
    uᵀ Σ u ≥ uᵀ diag(floors) u for every direction u. No step lowers it beyond rounding. EM ends
    when the mean log-likelihood grows by less than 1e-3 in a step, or after 200 steps. It starts
    from the better of two k-means++ seedings, with distances in units of the floors, after one
    step. Every further start climbs from two more, one of which, every other time, has distances in
    units of the spread of the event. From its third step on, such a climb is given up when it is
    behind the best by more than four times its last gain, now and then one that would have won.

    An event with fewer points than K has no fit with K components. The starts depend on the seed,
    on K, on their number and on the size of the event. Nothing depends on the order of the events
    or of an event's points, on the other candidates, on ``workers``, or, with the floors scaled
    alike, on the units of the features.

    Parameters
    ----------
    points
        All points of all events, ``(N, d)``; computed with in double precision.
    offsets
        Event i owns the points ``offsets[i]:offsets[i + 1]``, int ``(n_events + 1,)``.
    n_components : int or iterable of int
        Candidate numbers of components, or the only one.
    n_init : int
        Starts of every fit; the best likelihood is kept.
    floors : float or array, shape (d,)
        Smallest variance: one number, or one for each feature, in squared units of the features.
    criterion : str
        ``"bic"`` or ``"aic"`` = 2 k - 2 log L̂.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    workers : int
        Threads.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    MixtureFits

    Raises
    ------
    ValueError
        For bad arguments, an event with fewer points than the smallest candidate or than 2, or a
        value that isn't finite or too large for its floor; the argument and the event are named.

    References
    ----------
    Dempster, Laird, Rubin, J. R. Statist. Soc. B 39 (1977) 1 (EM); Schwarz, Ann. Statist. 6 (1978)
    461 (BIC); Arthur, Vassilvitskii, SODA 2007, 1027 (k-means++).

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(60, 2))
    >>> fits = fit_many(points, [0, 20, 60], range(1, 3), seed=1)
    >>> fits.n_components.tolist(), fits.criterion.shape
    ([1, 1], (2, 2))
    """
    points, candidates, floors = check_arguments(
        points, n_components, n_init, floors, criterion, workers
    )
    offsets = np.asarray(offsets)
    check_offsets(points, offsets, candidates)
    offsets = offsets.astype(np.int64)
    counts, d = np.diff(offsets), points.shape[1]
    scales = np.sqrt(floors)
    # One order of an event's points, whatever theirs: sums round alike and starts are the same.
    event = np.repeat(np.arange(len(counts)), counts)
    points = points[_order(points / scales, event)]
    k_max = min(int(candidates[-1]), int(counts.max()))
    penalties = CRITERIA[criterion](count_parameters(candidates, d), counts[:, None])
    streams = start_streams(seed, candidates, n_init)
    seeds = np.array([[s.generate_state(1, np.uint64)[0] for s in row] for row in streams])
    found = small_kernels.room(len(counts), len(candidates), k_max, d)

    def run(first):
        batch = slice(first, first + BATCH)
        rows = small_kernels.Found(*(array[batch] for array in found))
        small_kernels.fit_batch(
            points,
            offsets[first : first + BATCH + 1],
            candidates,
            penalties[batch],
            TOLERANCE,
            MAX_ITERATIONS,
            HOPE,
            seeds,
            workspace(int(counts[batch].max()), k_max, d),
            tuple(scales.tolist()),
            rows,
        )
        return len(rows.floors)

    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(counts), desc="mixtures", unit="event", disable=not progress) as bar,
    ):
        for done in pool.map(run, range(0, len(counts), BATCH)):
            bar.update(done)
    centres = np.add.reduceat(points, offsets[:-1]) / counts[:, None]
    return _collect(found, candidates, penalties, centres, scales)


def _order(points, event):
    """Points in one order within their events, whatever theirs: by their sums, then by all."""
    sums = points.sum(axis=1)
    order = np.lexsort((sums, event))
    tied = (np.diff(sums[order]) == 0) & (np.diff(event[order]) == 0)
    if (points[order[1:]][tied] != points[order[:-1]][tied]).any():
        order = np.lexsort((*points.T, event))
    return order


def _collect(found, candidates, penalties, centres, scales) -> MixtureFits:
    """The chosen mixtures in the units of the points, one after another."""
    chosen = candidates[found.chosen]
    used = np.arange(found.weights.shape[1]) < chosen[:, None]
    return MixtureFits(
        weights=found.weights[used],
        means=found.means[used] * scales + np.repeat(centres, chosen, axis=0),
        covariances=found.covariances[used] * np.outer(scales, scales),
        offsets=np.concatenate([[0], np.cumsum(chosen)]),
        candidates=candidates,
        n_components=chosen,
        log_likelihood=found.log_likelihood,
        criterion=penalties - 2 * found.log_likelihood,
        iterations=found.iterations,
        converged=found.converged,
        floors=found.floors[:, None] * scales**2,
        floored=found.floored[used],
    )


class Singular(NamedTuple):
    """Components of many events whose floor is active, one entry each.

    ``str()`` of it is a table of the ten with the smallest eigenvalues.

    Attributes
    ----------
    event : int64 array, shape (S,)
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
    fits : MixtureFits
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

    >>> from hepgmm.mixture.small import fit_many
    >>> points = [[0.0], [0.0], [5.0]]
    >>> fits = fit_many(points, [0, 3], [2], floors=1e-4, seed=0)
    >>> found = find_singular(points, [0, 3], fits)
    >>> widths = np.round([found.eigenvalue, found.floor], 9)
    >>> found.component.tolist(), *widths.tolist()
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
        rows = slice(fits.offsets[event], fits.offsets[event + 1])
        members = points[offsets[event] : offsets[event + 1]]
        mixture = fits.mixture(event)
        shares = mixture.responsibilities(members)
        scales = np.sqrt(fits.floors[event])
        for k in np.flatnonzero(fits.floored[rows]):
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
