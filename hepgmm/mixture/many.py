"""Thousands of small mixtures at once: every event with every number of components."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from hepgmm.mixture import batches
from hepgmm.mixture.arguments import (
    CRITERIA,
    MAX_ITERATIONS,
    TOLERANCE,
    check_arguments,
    check_offsets,
    start_streams,
)
from hepgmm.mixture.gmm import GaussianMixture, count_parameters
from hepgmm.mixture.steps import workspace

__all__ = ["MixtureFits", "fit_many"]

#: Events that a thread takes at once.
BATCH = 64
#: Gains that shrink by a fifth in each step add up to four times the last one: a climb further
#: behind the best one is given up. That saves a third of the time, and loses a hill now and then.
HOPE = 4.0


class MixtureFits(NamedTuple):
    """The mixtures of many events, flat: event i owns the components ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    weights
        ``(M,)``.
    means
        ``(M, d)``.
    covariances
        ``(M, d, d)``.
    offsets
        int64 ``(n_events + 1,)``.
    candidates
        The numbers of components K that were tried, int64 ``(n_candidates,)``.
    n_components
        The K of the lowest criterion, int64 ``(n_events,)``.
    log_likelihood
        ``(n_events, n_candidates)``, NaN where an event has fewer points than components.
    criterion
        BIC or AIC, of the same shape.
    iterations
        EM steps of the fit that was kept, of the same shape.
    converged
        Whether they were enough, of the same shape; False where there is no fit.
    floors
        ``(n_events, d)``: the floors of the variances, which are those asked for, or all of them
        raised by one factor where double precision asks for it.
    floored
        int64 ``(M,)``: how many directions of the component have the floor as their variance.
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
        own = slice(self.offsets[event], self.offsets[event + 1])
        column = np.searchsorted(self.candidates, self.n_components[event])
        return GaussianMixture(
            self.weights[own],
            self.means[own],
            self.covariances[own],
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
    n_components
        Candidate numbers of components, or the only one.
    n_init
        Starts of every fit; the best likelihood is kept.
    floors
        Smallest variance: one number, or one for each feature, in squared units of the features.
    criterion
        ``"bic"`` or ``"aic"`` = 2 k - 2 log L̂.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    workers
        Threads.
    progress
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
    found = batches.room(len(counts), len(candidates), k_max, d)

    def run(first):
        batch = slice(first, first + BATCH)
        rows = batches.Found(*(array[batch] for array in found))
        batches.fit_batch(
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
