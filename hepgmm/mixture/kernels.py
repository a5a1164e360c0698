"""Compiled steps of expectation-maximisation for one small set of points after another.

A set lies in memory feature by feature, ``x[j, i]``, centred and in units of its floors, so that
the floor of every covariance is c·1 with one number c. The number of features is the length of the
tuple ``scales``: known when the kernels are compiled, so that their loops over it unroll and those
over the points become vector instructions. Everything that a set needs lies in one
:class:`Workspace`, allocated once for many sets.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

__all__ = ["Workspace", "expectation", "fit_batch", "maximisation", "workspace"]

#: Sums may be reordered, which vector instructions need; infinities and NaN keep their meaning.
FAST = {"contract", "reassoc", "nsz", "arcp"}
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
LOG2_E = float(np.log2(np.e))
#: log 2 as a sum whose first term has few digits: k times it is exact.
LOG_2_HIGH, LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Added to a small number, it leaves that number, rounded, in the lowest bits.
ROUNDER = 6755399441055744.0
#: Below this, exp is as good as 0 and its exponent nearly that of the smallest double.
LOWEST = -700.0
#: Share in all points below which a component is empty: K may exceed the number of places.
EMPTY = 1e-300
#: Double precision knows a covariance to about this fraction of the largest variance of the set
#: (a component of a few points can be some hundred times wider than the set).
ROUNDING = 1024 * float(np.finfo(np.float64).eps)


class Workspace(NamedTuple):
    """Arrays of one set of n points and its mixture of K components, for the largest n and K.

    ``shares`` times ``scale`` are the responsibilities: ``shares[k, i]`` is
    wₖ N(xᵢ | μₖ, Σₖ) in units of the largest over k, whose logarithm is ``peak[i]``.
    """

    x: np.ndarray  # (d, n)
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)
    whiteners: np.ndarray  # (K, d, d), inverse Cholesky factors
    log_norms: np.ndarray  # (K,), log wₖ + log det of the whitener - d/2 log 2π
    shares: np.ndarray  # (K, n)
    scale: np.ndarray  # (n,)
    peak: np.ndarray  # (n,)
    kept: np.ndarray  # (K, n), the responsibilities of the better seeding
    work: np.ndarray  # (n,)
    bits: np.ndarray  # (n,), the memory of work as int64
    triangle: np.ndarray  # (d, d)
    rotated: np.ndarray  # (d, d)
    rotation: np.ndarray  # (d, d)
    whitener: np.ndarray  # (1, d, d), of the whole set


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


def room(sets: int, candidates: int, k: int, d: int) -> Found:
    """Arrays for what the fits find."""
    return Found(
        floors=np.empty(sets),
        chosen=np.zeros(sets, dtype=np.int64),
        log_likelihood=np.full((sets, candidates), np.nan),
        iterations=np.zeros((sets, candidates), dtype=np.int64),
        converged=np.ones((sets, candidates), dtype=np.bool_),
        weights=np.empty((sets, k)),
        means=np.empty((sets, k, d)),
        covariances=np.empty((sets, k, d, d)),
    )


def workspace(n: int, k: int, d: int) -> Workspace:
    """Arrays for up to n points and k components of d features."""
    n = padded(n)
    work = np.empty(max(n, d))
    return Workspace(
        x=np.zeros((d, n)),
        weights=np.empty(k),
        means=np.empty((k, d)),
        covariances=np.empty((k, d, d)),
        whiteners=np.zeros((k, d, d)),
        log_norms=np.empty(k),
        shares=np.empty((k, n)),
        scale=np.empty(n),
        peak=np.empty(n),
        kept=np.empty((k, n)),
        work=work,
        bits=work.view(np.int64),
        triangle=np.zeros((d, d)),
        rotated=np.empty((d, d)),
        rotation=np.empty((d, d)),
        whitener=np.zeros((1, d, d)),
    )


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def exponentiate(shares, k, peak, total, work, bits, n):
    """exp(shares[k] - peak) in place, added to ``total``; 2ᵏ from the bits of a double.

    exp(v) = 2ᵏ exp(r) with |r| <= log(2) / 2; Taylor's polynomial of degree 11 is good to 7e-15.
    """
    for i in range(n):
        work[i] = max(shares[k, i] - peak[i], LOWEST) * LOG2_E + ROUNDER
    for i in range(n):
        power = work[i] - ROUNDER  # read from memory: exactly what ``bits`` holds
        r = max(shares[k, i] - peak[i], LOWEST) - power * LOG_2_HIGH - power * LOG_2_LOW
        p = 1.0 / 39916800
        p = p * r + 1.0 / 3628800
        p = p * r + 1.0 / 362880
        p = p * r + 1.0 / 40320
        p = p * r + 1.0 / 5040
        p = p * r + 1.0 / 720
        p = p * r + 1.0 / 120
        p = p * r + 1.0 / 24
        p = p * r + 1.0 / 6
        p = p * r + 0.5
        p = p * r + 1.0
        shares[k, i] = p * r + 1.0
    for i in range(n):
        bits[i] = (bits[i] + 1023) << 52
    for i in range(n):
        shares[k, i] *= work[i]
        total[i] += shares[k, i]


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def factorise(matrix, shift, triangle, scales):
    """Cholesky factor of matrix - shift·1 into ``triangle``; False if not positive definite."""
    d = len(scales)
    for j in range(d):
        for i in range(j, d):
            rest = matrix[i, j]
            for m in range(j):
                rest -= triangle[i, m] * triangle[j, m]
            if i > j:
                triangle[i, j] = rest / triangle[j, j]
            elif rest - shift > 0.0:
                triangle[j, j] = np.sqrt(rest - shift)
            else:
                return False
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def whiten(covariances, k, whiteners, triangle, scales):
    """Inverse Cholesky factor of a covariance into ``whiteners[k]``; returns log of its det."""
    d = len(scales)
    factorise(covariances[k], 0.0, triangle, scales)
    log_det = 0.0
    for j in range(d):
        whiteners[k, j, j] = 1.0 / triangle[j, j]
        log_det -= np.log(triangle[j, j])
        for i in range(j + 1, d):
            rest = 0.0
            for m in range(j, i):
                rest -= triangle[i, m] * whiteners[k, m, j]
            whiteners[k, i, j] = rest / triangle[i, i]
    return log_det


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def diagonalise(matrix, floor, rotation, scales):
    """Jacobi's rotations, in place: eigenvalues on the diagonal, eigenvectors as columns."""
    d = len(scales)
    for i in range(d):
        for j in range(d):
            rotation[i, j] = 1.0 if i == j else 0.0
    for _ in range(50):
        turned = False
        for p in range(d - 1):
            for q in range(p + 1, d):
                product = max(matrix[p, p], floor) * max(matrix[q, q], floor)
                if matrix[p, q] ** 2 <= 1e-26 * product:
                    continue
                turned = True
                half = 0.5 * (matrix[q, q] - matrix[p, p]) / matrix[p, q]
                tangent = 1.0 / (abs(half) + np.sqrt(half * half + 1.0))
                if half < 0.0:
                    tangent = -tangent
                cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
                sine = tangent * cosine
                for m in range(d):
                    a, b = matrix[m, p], matrix[m, q]
                    matrix[m, p], matrix[m, q] = cosine * a - sine * b, sine * a + cosine * b
                for m in range(d):
                    a, b = matrix[p, m], matrix[q, m]
                    matrix[p, m], matrix[q, m] = cosine * a - sine * b, sine * a + cosine * b
                    a, b = rotation[m, p], rotation[m, q]
                    rotation[m, p], rotation[m, q] = cosine * a - sine * b, sine * a + cosine * b
        if not turned:
            break


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def raise_eigenvalues(covariances, k, floor, space, scales):
    """Raise the eigenvalues of ``covariances[k]`` that are below the floor to it.

    That is the covariance of largest likelihood among those with no eigenvalue below the floor, so
    that EM with it still climbs. Cholesky's factor of Σ - floor·1 exists if there is nothing to do.
    """
    d = len(scales)
    if factorise(covariances[k], floor, space.triangle, scales):
        return
    matrix, rotation = space.rotated, space.rotation
    matrix[:] = covariances[k]
    diagonalise(matrix, floor, rotation, scales)
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for m in range(d):
                total += rotation[i, m] * rotation[j, m] * max(matrix[m, m], floor)
            covariances[k, i, j] = covariances[k, j, i] = total


@njit(nogil=True, cache=True)
def padded(n):
    """Round n up to whole vector instructions; points beyond n have no share in anything."""
    return (n + 15) // 16 * 16


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def expectation(space, n, k_max, scales):
    """Responsibilities of the mixture in ``space``; returns its log-likelihood of the n points."""
    d = len(scales)
    x, shares, peak, scale = space.x, space.shares, space.peak, space.scale
    whiteners = space.whiteners
    shift, width = space.work, padded(n)
    for k in range(k_max):
        for j in range(d):
            shift[j] = 0.0
            for m in range(j + 1):
                shift[j] += whiteners[k, j, m] * space.means[k, m]
        for i in range(width):
            square = 0.0
            for j in range(d):
                white = -shift[j]
                for m in range(j + 1):
                    white += whiteners[k, j, m] * x[m, i]
                square += white * white
            shares[k, i] = space.log_norms[k] - 0.5 * square
    for i in range(width):
        peak[i] = shares[0, i]
    for k in range(1, k_max):
        for i in range(width):
            peak[i] = max(peak[i], shares[k, i])
    for i in range(width):
        scale[i] = 0.0
    for k in range(k_max):
        exponentiate(shares, k, peak, scale, space.work, space.bits, width)
    # One logarithm for 64 points: each factor lies between 1 and K.
    total, product = 0.0, 1.0
    for i in range(n):
        total += peak[i]
        product *= scale[i]
        if i % 64 == 63:
            total += np.log(product)
            product = 1.0
    for i in range(width):
        scale[i] = 1.0 / scale[i] if i < n else 0.0
    return total + np.log(product)


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def maximisation(space, n, k_max, floor, scales):
    """Weights, means and covariances of largest likelihood, from the responsibilities."""
    d = len(scales)
    x, shares, scale, part = space.x, space.shares, space.scale, space.work
    means, covariances, width = space.means, space.covariances, padded(n)
    for k in range(k_max):
        total = 0.0
        for i in range(width):
            shares[k, i] *= scale[i]
            total += shares[k, i]
        total = max(total, EMPTY)
        for j in range(d):
            mean = 0.0
            for i in range(width):
                mean += shares[k, i] * x[j, i]
            means[k, j] = mean / total
        for j in range(d):
            mean = means[k, j]
            for i in range(width):
                part[i] = shares[k, i] * (x[j, i] - mean)
            for m in range(j + 1):
                moment, other = 0.0, means[k, m]
                for i in range(width):
                    moment += part[i] * (x[m, i] - other)
                covariances[k, j, m] = covariances[k, m, j] = moment / total
        raise_eigenvalues(covariances, k, floor, space, scales)
        space.weights[k] = total / n
        log_det = whiten(covariances, k, space.whiteners, space.triangle, scales)
        space.log_norms[k] = np.log(total / n) + log_det - d * HALF_LOG_2PI


@njit(nogil=True, cache=True)
def uniform(state):
    """Next number in [0, 1) of Steele, Lea and Flood's SplitMix64 (OOPSLA 2014)."""
    state[0] += uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> uint64(31))) >> uint64(11)) / 9007199254740992.0


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def seed_shares(space, n, k_max, whitener, state, scales):
    """Points as centres by k-means++ (Arthur, Vassilvitskii 2007); each point to its nearest.

    Distances are Euclidean after ``whitener`` (1, d, d), a lower triangle.
    """
    d = len(scales)
    x, shares, nearest = space.x, space.shares, space.peak
    nearest[:n] = np.inf
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
        for i in range(n):
            distance = 0.0
            for j in range(d):
                white = 0.0
                for m in range(j + 1):
                    white += whitener[0, j, m] * (x[m, i] - x[m, centre])
                distance += white * white
            space.work[i] = distance
        for i in range(padded(n)):
            shares[k, i] = 0.0
        for i in range(n):
            if space.work[i] < nearest[i]:
                nearest[i] = space.work[i]
                for other in range(k):
                    shares[other, i] = 0.0
                shares[k, i] = 1.0
    for i in range(padded(n)):
        space.scale[i] = 1.0


@njit(nogil=True, cache=True)
def climb(space, n, k_max, floor, before, limits, scales):
    """EM steps until the log-likelihood grows by less than ``limits[0]`` a point, or the last step.

    Returns the log-likelihood, the number of steps and whether they converged.
    """
    for step in range(int(limits[1])):
        maximisation(space, n, k_max, floor, scales)
        log_likelihood = expectation(space, n, k_max, scales)
        if log_likelihood - before < limits[0] * n:
            return log_likelihood, step + 1, True
        before = log_likelihood
    return before, int(limits[1]), False


@njit(nogil=True, cache=True)
def keep(space, n, k_max):
    """Keep the responsibilities of the mixture."""
    for k in range(k_max):
        for i in range(padded(n)):
            space.kept[k, i] = space.shares[k, i] * space.scale[i]


@njit(nogil=True, cache=True)
def begin(space, n, k_max, floor, unit, state, scales):
    """Responsibilities to start from, those of the better of two seedings after two EM steps.

    One seeding measures distances in units of the spread of the whole set, which finds its large
    structures, the other in units of the floors, which finds the smallest. Returns the
    log-likelihood.
    """
    limits = (-np.inf, 2.0)
    seed_shares(space, n, k_max, space.whitener, state, scales)
    wide, _, _ = climb(space, n, k_max, floor, -np.inf, limits, scales)
    if k_max == 1:
        return wide
    keep(space, n, k_max)
    seed_shares(space, n, k_max, unit, state, scales)
    fine, _, _ = climb(space, n, k_max, floor, -np.inf, limits, scales)
    if fine < wide:
        space.shares[:k_max] = space.kept[:k_max]
        space.scale[:] = 1.0
    return max(fine, wide)


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


@njit(nogil=True, cache=True)
def fit_batch(points, offsets, candidates, penalties, limits, seeds, space, scales, found):
    """Fit every candidate number of components to every set; the best of each goes to ``found``.

    Parameters
    ----------
    points, offsets
        Set i has the points ``offsets[i]:offsets[i + 1]``.
    candidates
        Rising numbers of components.
    penalties
        ``(sets, candidates)``, what a criterion adds to -2 log L.
    limits
        The growth of the log-likelihood a point below which EM has converged; the largest number
        of steps.
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
    unit = np.zeros((1, d, d))
    log_scales = 0.0
    for j in range(d):
        unit[0, j, j] = 1.0
        log_scales += np.log(scales[j])
    for row in range(len(found.floors)):
        members = points[offsets[row] : offsets[row + 1]]
        n = len(members)
        floor = load(members, space, scales)
        found.floors[row] = floor
        space.shares[0, : padded(n)] = 1.0
        space.scale[:n] = 1.0
        space.scale[n : padded(n)] = 0.0
        maximisation(space, n, 1, floor, scales)
        space.whitener[0] = space.whiteners[0]
        lowest = np.inf
        for column in range(len(candidates)):
            k = candidates[column]
            if k > n:
                break
            best = -np.inf
            for start in range(seeds.shape[1] if k > 1 else 1):
                state[0] = seeds[column, start] + uint64(n)
                before = begin(space, n, k, floor, unit, state, scales)
                reached, steps, converged = climb(space, n, k, floor, before, limits, scales)
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
