"""Compiled fits of many small sets of points, one after another: starts, climbs, choice of K."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from hepgmm.mixture.arguments import ROUNDING
from hepgmm.mixture.matrices import FAST
from hepgmm.mixture.steps import expectation, maximisation, padded

__all__ = ["Found", "fit_batch", "room"]

#: Steps of EM before a climb may be given up: the first gains are too uneven to judge by.
UNEVEN = 3


class Found(NamedTuple):
    """What the fits of some sets found; means and covariances in units of the floors, centred."""

    floors: np.ndarray  # (sets,)
    chosen: np.ndarray  # (sets,), column of the best candidate
    log_likelihood: np.ndarray  # (sets, candidates), in the units of the points
    iterations: np.ndarray  # (sets, candidates)
    converged: np.ndarray  # (sets, candidates)
    weights: np.ndarray  # (sets, K)
    means: np.ndarray  # (sets, K, d)
    covariances: np.ndarray  # (sets, K, d, d)
    floored: np.ndarray  # (sets, K)


def room(sets: int, candidates: int, k: int, d: int) -> Found:
    """Arrays for what the fits find."""
    return Found(
        floors=np.empty(sets),
        chosen=np.zeros(sets, dtype=np.int64),
        log_likelihood=np.full((sets, candidates), np.nan),
        iterations=np.zeros((sets, candidates), dtype=np.int64),
        converged=np.zeros((sets, candidates), dtype=np.bool_),
        weights=np.empty((sets, k)),
        means=np.empty((sets, k, d)),
        covariances=np.empty((sets, k, d, d)),
        floored=np.empty((sets, k), dtype=np.int64),
    )


@njit(nogil=True, cache=True)
def uniform(state):
    """Next number in [0, 1) of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014)."""
    state[0] += uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> uint64(31))) >> uint64(11)) / 9007199254740992.0


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def seed_shares(space, x, n, k_max, state, scales):
    """Points as centres by k-means++ (Arthur, Vassilvitskii 2007); each point to its nearest.

    Distances are Euclidean in ``x``, which is ``space.x`` or ``space.white``.
    """
    d = len(scales)
    shares, nearest, label = space.shares, space.peak, space.work
    for i in range(n):
        nearest[i], label[i] = np.inf, 0.0
    for k in range(k_max):
        total = 0.0
        if k > 0:
            for i in range(n):
                total += nearest[i]
        centre = n - 1
        if total > 0.0:
            rest = uniform(state) * total
            for i in range(n):
                rest -= nearest[i]
                if rest < 0.0:
                    centre = i
                    break
        else:  # the first, or every point lies on a centre
            centre = int(uniform(state) * n)
        for j in range(d):
            space.means[k, j] = space.x[j, centre]
        for i in range(n):
            distance = 0.0
            for j in range(d):
                distance += (x[j, i] - x[j, centre]) ** 2
            if distance < nearest[i]:
                nearest[i], label[i] = distance, float(k)
    for k in range(k_max):
        for i in range(padded(n)):
            shares[k, i] = 1.0 if i < n and label[i] == k else 0.0
    for i in range(padded(n)):
        space.scale[i] = 1.0


@njit(nogil=True, cache=True)
def one_step(space, n, k_max, floor, scales):
    """One step of EM; returns the log-likelihood that it reached."""
    maximisation(space, n, k_max, floor, scales)
    return expectation(space, n, k_max, scales)


@njit(nogil=True, cache=True)
def climb(space, n, k_max, floor, before, tolerance, done, steps, scales, best, hope):
    """EM steps until the log-likelihood grows by less than the tolerance a point, or all steps.

    Given up when ``best`` is further away than ``hope`` times the gain of the last step. Returns
    the log-likelihood, the number of steps with those ``done`` before, and whether they converged.
    """
    for step in range(done, steps):
        log_likelihood = one_step(space, n, k_max, floor, scales)
        if log_likelihood - before < tolerance * n:
            return log_likelihood, step + 1, True
        if step + 1 >= UNEVEN and log_likelihood + hope * (log_likelihood - before) < best:
            return log_likelihood, step + 1, False
        before = log_likelihood
    return before, steps, False


@njit(nogil=True, cache=True)
def keep(space, n, k_max):
    """Keep the responsibilities of the mixture."""
    for k in range(k_max):
        for i in range(padded(n)):
            space.kept[k, i] = space.shares[k, i] * space.scale[i]


@njit(nogil=True, cache=True)
def begin(space, n, k_max, floor, state, scales, first, far):
    """Responsibilities to climb from; returns their log-likelihood and the EM steps they took.

    At first they are those of the better of two seedings after one step, later those of one
    seeding; with ``far`` in units of the spread, not of the floors.
    """
    seed_shares(space, space.white if far else space.x, n, k_max, state, scales)
    if not first:
        return -np.inf, 0
    one = one_step(space, n, k_max, floor, scales)
    if k_max == 1:
        return one, 1
    keep(space, n, k_max)
    seed_shares(space, space.x, n, k_max, state, scales)
    two = one_step(space, n, k_max, floor, scales)
    if two < one:
        space.shares[:k_max] = space.kept[:k_max]
        space.scale[:] = 1.0
    return max(one, two), 1


@njit(nogil=True, cache=True, fastmath=FAST)
def load(points, space, scales):
    """Put a set into the workspace; returns its floor: 1, or more where rounding asks for it."""
    n, d = len(points), len(scales)
    widest = 0.0
    for j in range(d):
        mean = points[:, j].mean()
        for i in range(n):
            space.x[j, i] = (points[i, j] - mean) / scales[j]
        space.x[j, n : padded(n)] = 0.0
        widest = max(widest, (space.x[j, :n] ** 2).mean())
    return max(1.0, ROUNDING * widest)


@njit(nogil=True, cache=True, fastmath=FAST)
def spread(space, n, floor, scales):
    """Put the points into the workspace in units of their spread, so that their covariance is 1.

    Where the floor is above the spread, it is less. In units of the floors, the first centres of
    k-means++ are the few tracks displaced by metres.
    """
    for i in range(padded(n)):
        space.shares[0, i], space.scale[i] = 1.0 if i < n else 0.0, 1.0
    space.means[0] = 0.0
    maximisation(space, n, 1, floor, scales)
    for j in range(len(scales)):
        for i in range(n):
            space.white[j, i] = 0.0
            for m in range(j + 1):
                space.white[j, i] += space.whiteners[0, j, m] * space.x[m, i]


@njit(nogil=True, cache=True)
def fit_batch(
    points,
    offsets,
    candidates,
    penalties,
    tolerance,
    max_iterations,
    hope,
    seeds,
    space,
    scales,
    found,
):
    """Fit every candidate number of components to every set; the best of each goes to ``found``.

    Parameters
    ----------
    points, offsets
        Set i has the points ``offsets[i]:offsets[i + 1]``.
    candidates
        Rising numbers of components.
    penalties
        ``(sets, candidates)``, what a criterion adds to -2 log L.
    tolerance
        The growth of the log-likelihood a point below which EM has converged.
    max_iterations
        The largest number of steps.
    hope
        A climb of a further start is given up when the best so far is further away than this many
        times the gain of its last step.
    seeds
        uint64 ``(candidates, starts)``.
    space
        A :class:`Workspace`.
    scales
        Roots of the floors of the variances, a tuple.
    found
        A :class:`Found`.
    """
    d = len(scales)
    state = np.empty(1, dtype=np.uint64)
    log_scales = 0.0
    for j in range(d):
        log_scales += np.log(scales[j])
    for row in range(len(found.floors)):
        members = points[offsets[row] : offsets[row + 1]]
        n = len(members)
        floor = load(members, space, scales)
        found.floors[row] = floor
        if seeds.shape[1] > 1:
            spread(space, n, floor, scales)
        lowest = np.inf
        for column in range(len(candidates)):
            k = candidates[column]
            if k > n:
                break
            best = -np.inf
            for start in range(seeds.shape[1] if k > 1 else 1):
                # Events of one size share their luck: an event's own would change with its units.
                state[0] = seeds[column, start] + uint64(n)
                for seeding in range(2 if start > 0 else 1):
                    far = start % 2 == 1 and seeding == 1
                    before, done = begin(space, n, k, floor, state, scales, start == 0, far)
                    reached, steps, converged = climb(
                        space,
                        n,
                        k,
                        floor,
                        before,
                        tolerance,
                        done,
                        max_iterations,
                        scales,
                        best,
                        hope,
                    )
                    if reached <= best:
                        continue
                    best = reached
                    found.log_likelihood[row, column] = reached - n * log_scales
                    found.iterations[row, column] = steps
                    found.converged[row, column] = converged
                    criterion = penalties[row, column] - 2 * reached
                    if criterion < lowest:
                        lowest = criterion
                        found.chosen[row] = column
                        found.weights[row, :k] = space.weights[:k]
                        found.means[row, :k] = space.means[:k]
                        found.covariances[row, :k] = space.covariances[:k]
                        found.floored[row, :k] = space.floored[:k]
