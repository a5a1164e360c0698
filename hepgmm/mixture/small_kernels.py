"""Compiled fits of many small sets of points, faster than the readable ``hepgmm.mixture.em``.

A set lies in memory feature by feature, ``x[j, i]``, centred and in units of its floors, so that
the floor of every covariance is c·1 with one number c. The number of features d is the length of
the tuple ``scales``: known when the kernels are compiled, so that their loops over it unroll and
those over the points become vector instructions. Tracks have four features: what takes longest is
written out for four. A :class:`Workspace` is allocated once for many sets; ``scratch`` is room for
three matrices, ``(3, d, d)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from hepgmm.mixture.em import EMPTY, ROUNDING

__all__ = [
    "FAST",
    "HALF_LOG_2PI",
    "Found",
    "Workspace",
    "diagonalise",
    "expectation",
    "factorise",
    "fit_batch",
    "maximisation",
    "padded",
    "raise_eigenvalues",
    "room",
    "whiten",
    "workspace",
]

#: Sums may be reordered, which vector instructions need; infinities and NaN keep their meaning.
FAST = {"contract", "reassoc", "nsz", "arcp"}
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
#: A product is turned into a logarithm here, before it underflows.
SMALL = 1e-150
#: An off-diagonal entry counts as zero below this share, squared, of what lies on the diagonal.
NEGLIGIBLE = 1e-20


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def factorise(matrices, k, shift, least, scratch, scales):
    """Cholesky factor of matrices[k] - shift·1 into ``scratch[0]``; False if there is none.

    On the diagonal stand the inverse entries of the factor: a division takes long. Their squares
    are conditional variances, no less than the smallest eigenvalue; where that is known to be
    ``least``, anything below is rounding. With 0 for ``least``, there is no factor then.
    """
    d, matrix, factor = len(scales), matrices[k], scratch[0]
    if d == 4:
        return factorise_four(matrix, shift, least, factor)
    for j in range(d):
        for i in range(j, d):
            rest = matrix[i, j]
            for m in range(j):
                rest -= factor[i, m] * factor[j, m]
            if i > j:
                factor[i, j] = rest * factor[j, j]
            elif max(rest - shift, least) > 0.0:
                factor[j, j] = 1.0 / np.sqrt(max(rest - shift, least))
            else:
                return False
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def factorise_four(matrix, shift, least, factor):
    """:func:`factorise` of four features, written out: three times as fast as its loops."""
    pivot0 = max(matrix[0, 0] - shift, least)
    f00 = 1.0 / np.sqrt(pivot0)
    f10, f20, f30 = matrix[1, 0] * f00, matrix[2, 0] * f00, matrix[3, 0] * f00
    pivot1 = max(matrix[1, 1] - f10 * f10 - shift, least)
    f11 = 1.0 / np.sqrt(pivot1)
    f21 = (matrix[2, 1] - f20 * f10) * f11
    f31 = (matrix[3, 1] - f30 * f10) * f11
    pivot2 = max(matrix[2, 2] - f20 * f20 - f21 * f21 - shift, least)
    f22 = 1.0 / np.sqrt(pivot2)
    f32 = (matrix[3, 2] - f30 * f20 - f31 * f21) * f22
    pivot3 = max(matrix[3, 3] - f30 * f30 - f31 * f31 - f32 * f32 - shift, least)
    factor[0, 0], factor[1, 1], factor[2, 2] = f00, f11, f22
    factor[3, 3] = 1.0 / np.sqrt(pivot3)
    factor[1, 0], factor[2, 0], factor[3, 0] = f10, f20, f30
    factor[2, 1], factor[3, 1], factor[3, 2] = f21, f31, f32
    return pivot0 > 0.0 and pivot1 > 0.0 and pivot2 > 0.0 and pivot3 > 0.0


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def whiten(covariances, k, floor, whiteners, scratch, scales):
    """Inverse Cholesky factor of a covariance into ``whiteners[k]``; returns log of its det.

    No eigenvalue of the covariance is below the floor, which is at least 1.
    """
    d, factor, whitener = len(scales), scratch[0], whiteners[k]
    factorise(covariances, k, 0.0, floor, scratch, scales)
    if d == 4:
        invert_four(factor, whitener)
    else:
        for j in range(d):
            whitener[j, j] = factor[j, j]
            for i in range(j + 1, d):
                rest = 0.0
                for m in range(j, i):
                    rest -= factor[i, m] * whitener[m, j]
                whitener[i, j] = rest * factor[i, i]
    det, log_det = 1.0, 0.0
    for j in range(d):
        det *= factor[j, j]
        if det < SMALL:
            log_det += np.log(det)
            det = 1.0
    return log_det + np.log(det)


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def invert_four(factor, whitener):
    """Inverse of a factor that :func:`factorise_four` made, written out."""
    f00, f11, f22, f33 = factor[0, 0], factor[1, 1], factor[2, 2], factor[3, 3]
    w10 = -factor[1, 0] * f00 * f11
    w21 = -factor[2, 1] * f11 * f22
    w32 = -factor[3, 2] * f22 * f33
    w20 = -(factor[2, 0] * f00 + factor[2, 1] * w10) * f22
    w31 = -(factor[3, 1] * f11 + factor[3, 2] * w21) * f33
    w30 = -(factor[3, 0] * f00 + factor[3, 1] * w10 + factor[3, 2] * w20) * f33
    whitener[0, 0], whitener[1, 1], whitener[2, 2], whitener[3, 3] = f00, f11, f22, f33
    whitener[1, 0], whitener[2, 0], whitener[3, 0] = w10, w20, w30
    whitener[2, 1], whitener[3, 1], whitener[3, 2] = w21, w31, w32


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy", inline="always")
def rotate(matrix, vectors, p, q, floor, d):
    """Turn features p and q so that ``matrix[p, q]`` vanishes; False if it is as good as 0."""
    app, aqq, apq = matrix[p, p], matrix[q, q], matrix[p, q]
    if apq * apq <= NEGLIGIBLE * max(app, floor) * max(aqq, floor):
        return False
    half = 0.5 * (aqq - app)
    tangent = apq / (abs(half) + np.sqrt(half * half + apq * apq))
    if half < 0.0:
        tangent = -tangent
    cosine = 1.0 / np.sqrt(tangent * tangent + 1.0)
    sine = tangent * cosine
    for m in range(d):
        a, b = matrix[m, p], matrix[m, q]
        matrix[m, p] = matrix[p, m] = cosine * a - sine * b
        matrix[m, q] = matrix[q, m] = sine * a + cosine * b
        a, b = vectors[m, p], vectors[m, q]
        vectors[m, p], vectors[m, q] = cosine * a - sine * b, sine * a + cosine * b
    matrix[p, p], matrix[q, q] = app - tangent * apq, aqq + tangent * apq
    matrix[p, q] = matrix[q, p] = 0.0
    return True


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def diagonalise(scratch, floor, scales):
    """Jacobi's rotations of ``scratch[1]``, in place; eigenvectors as columns of ``scratch[2]``."""
    d = len(scales)
    matrix, vectors = scratch[1], scratch[2]
    for i in range(d):
        for j in range(d):
            vectors[i, j] = 1.0 if i == j else 0.0
    for _ in range(50):
        turned = False
        if d == 4:  # neighbouring turns share no row: the processor works on both at once
            turned |= rotate(matrix, vectors, 0, 1, floor, 4)
            turned |= rotate(matrix, vectors, 2, 3, floor, 4)
            turned |= rotate(matrix, vectors, 0, 2, floor, 4)
            turned |= rotate(matrix, vectors, 1, 3, floor, 4)
            turned |= rotate(matrix, vectors, 0, 3, floor, 4)
            turned |= rotate(matrix, vectors, 1, 2, floor, 4)
        else:
            for distance in range(1, d):
                for p in range(d - distance):
                    turned |= rotate(matrix, vectors, p, p + distance, floor, d)
        if not turned:
            break


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def raise_eigenvalues(covariances, k, floor, scratch, scales):
    """Raise the eigenvalues of ``covariances[k]`` below the floor to it; returns how many.

    That is the covariance of largest likelihood among those with no eigenvalue below the floor, so
    that EM with it still climbs. Cholesky's factor of Σ - floor·1 exists if there is nothing to do.
    """
    d = len(scales)
    trace = 0.0
    for j in range(d):
        trace += covariances[k, j, j]
    if trace <= floor:
        for i in range(d):
            for j in range(d):
                covariances[k, i, j] = floor if i == j else 0.0
        return d
    if factorise(covariances, k, floor, 0.0, scratch, scales):
        return 0
    for i in range(d):
        for j in range(d):
            scratch[1, i, j] = covariances[k, i, j]
    diagonalise(scratch, floor, scales)
    for i in range(d):
        for j in range(i + 1):
            total = 0.0
            for m in range(d):
                total += scratch[2, i, m] * scratch[2, j, m] * max(scratch[1, m, m], floor)
            covariances[k, i, j] = covariances[k, j, i] = total
    raised = 0
    for m in range(d):
        raised += scratch[1, m, m] <= floor
    return raised


LOG2_E = float(np.log2(np.e))
#: log 2 as a sum whose first term has few digits: k times it is exact.
LOG_2_HIGH, LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Added to a small number, it leaves that number, rounded, in the lowest bits.
ROUNDER = 6755399441055744.0
#: Below this, exp is as good as 0 and its exponent nearly that of the smallest double.
LOWEST = -700.0


class Workspace(NamedTuple):
    """Arrays of one set of n points and its mixture of K components, for the largest n and K.

    ``shares`` times ``scale`` are the responsibilities: ``shares[k, i]`` is
    wₖ N(xᵢ | μₖ, Σₖ) in units of the largest over k, whose logarithm is ``peak[i]``.
    """

    x: np.ndarray  # (d, n)
    white: np.ndarray  # (d, n), the points in units of their spread
    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)
    floored: np.ndarray  # (K,), eigenvalues that were raised to the floor
    whiteners: np.ndarray  # (K, d, d), inverse Cholesky factors
    log_norms: np.ndarray  # (K,), log wₖ + log det of the whitener - d/2 log 2π
    shares: np.ndarray  # (K, n)
    scale: np.ndarray  # (n,)
    peak: np.ndarray  # (n,)
    kept: np.ndarray  # (K, n), the responsibilities of the first seeding
    work: np.ndarray  # (n,), or (d,) where that is more
    scratch: np.ndarray  # (3, d, d), small matrices


def workspace(n: int, k: int, d: int) -> Workspace:
    """Arrays for up to n points and k components of d features."""
    n = padded(n)
    return Workspace(
        x=np.zeros((d, n)),
        white=np.empty((d, n)),
        weights=np.empty(k),
        means=np.zeros((k, d)),
        covariances=np.empty((k, d, d)),
        floored=np.empty(k, dtype=np.int64),
        whiteners=np.zeros((k, d, d)),
        log_norms=np.empty(k),
        shares=np.empty((k, n)),
        scale=np.empty(n),
        peak=np.empty(n),
        kept=np.empty((k, n)),
        work=np.empty(max(n, d)),
        scratch=np.zeros((3, d, d)),
    )


@njit(nogil=True, cache=True)
def padded(n):
    """Round n up to whole vector instructions; points beyond n have no share in anything."""
    return (n + 15) // 16 * 16


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def exponentiate(shares, k, peak, total, n):
    """exp(shares[k] - peak) in place, added to ``total``; 2ᵏ from the bits of a double.

    exp(v) = 2ᵏ exp(r) with |r| <= log(2) / 2; Taylor's polynomial of degree 11 is good to 7e-15.
    """
    for i in range(n):
        v = max(shares[k, i] - peak[i], LOWEST)
        rounded = np.float64(v * LOG2_E + ROUNDER)
        power = rounded - ROUNDER
        r = v - power * LOG_2_HIGH - power * LOG_2_LOW
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
        p = p * r + 1.0
        p *= np.int64((rounded.view(np.int64) + 1023) << 52).view(np.float64)
        shares[k, i] = p
        total[i] += p


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def expectation(space, n, k_max, scales):
    """Responsibilities of the mixture in ``space``; returns its log-likelihood of the n points."""
    d = len(scales)
    x, shares, peak, scale = space.x, space.shares, space.peak, space.scale
    shift, width = space.work, padded(n)
    for i in range(width):
        peak[i] = -np.inf
    for k in range(k_max):
        whitener = space.whiteners[k]
        for j in range(d):
            shift[j] = 0.0
            for m in range(j + 1):
                shift[j] += whitener[j, m] * space.means[k, m]
        for i in range(width):
            square = 0.0
            for j in range(d):
                white = -shift[j]
                for m in range(j + 1):
                    white += whitener[j, m] * x[m, i]
                square += white * white
            shares[k, i] = space.log_norms[k] - 0.5 * square
            peak[i] = max(peak[i], shares[k, i])
    for i in range(width):
        scale[i] = 0.0
    for k in range(k_max):
        exponentiate(shares, k, peak, scale, width)
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
def moments(space, n, k, j, scales):
    """Mean and covariance of component k in the features j to j + 3; returns its points.

    In one pass: x is measured from where the mean was before, so that the mean squares lose next to
    nothing to the squared mean. Beyond the last feature the last one is taken again.
    """
    x, scale, shares, mean = space.x, space.scale, space.shares, space.means[k]
    covariance, last = space.covariances[k], len(scales) - 1
    j1, j2, j3 = min(j + 1, last), min(j + 2, last), min(j + 3, last)
    c0, c1, c2, c3 = mean[j], mean[j1], mean[j2], mean[j3]
    total, m0, m1, m2, m3 = 0.0, 0.0, 0.0, 0.0, 0.0
    m00, m10, m11, m20, m21 = 0.0, 0.0, 0.0, 0.0, 0.0
    m22, m30, m31, m32, m33 = 0.0, 0.0, 0.0, 0.0, 0.0
    for i in range(padded(n)):
        share = shares[k, i] * scale[i]
        x0, x1, x2, x3 = x[j, i] - c0, x[j1, i] - c1, x[j2, i] - c2, x[j3, i] - c3
        y0, y1, y2, y3 = share * x0, share * x1, share * x2, share * x3
        total += share
        m0 += y0
        m1 += y1
        m2 += y2
        m3 += y3
        m00 += y0 * x0
        m10 += y1 * x0
        m11 += y1 * x1
        m20 += y2 * x0
        m21 += y2 * x1
        m22 += y2 * x2
        m30 += y3 * x0
        m31 += y3 * x1
        m32 += y3 * x2
        m33 += y3 * x3
    total = max(total, EMPTY)
    m0, m1, m2, m3 = m0 / total, m1 / total, m2 / total, m3 / total
    mean[j], mean[j1], mean[j2], mean[j3] = c0 + m0, c1 + m1, c2 + m2, c3 + m3
    covariance[j, j] = m00 / total - m0 * m0
    covariance[j1, j1] = m11 / total - m1 * m1
    covariance[j2, j2] = m22 / total - m2 * m2
    covariance[j3, j3] = m33 / total - m3 * m3
    covariance[j1, j] = covariance[j, j1] = m10 / total - m1 * m0
    covariance[j2, j] = covariance[j, j2] = m20 / total - m2 * m0
    covariance[j2, j1] = covariance[j1, j2] = m21 / total - m2 * m1
    covariance[j3, j] = covariance[j, j3] = m30 / total - m3 * m0
    covariance[j3, j1] = covariance[j1, j3] = m31 / total - m3 * m1
    covariance[j3, j2] = covariance[j2, j3] = m32 / total - m3 * m2
    return total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def cross_moment(space, n, k, i, j):
    """Sum over the points of a component of feature i times feature j, from its mean."""
    x, scale, shares = space.x, space.scale, space.shares
    a, b, total = space.means[k, i], space.means[k, j], 0.0
    for m in range(padded(n)):
        total += shares[k, m] * scale[m] * (x[i, m] - a) * (x[j, m] - b)
    return total


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def average(space, n, k, scales):
    """Mean and covariance of component k, from the responsibilities; returns its points."""
    d, covariance = len(scales), space.covariances[k]
    total = moments(space, n, k, 0, scales)
    for first in range(4, d, 4):
        moments(space, n, k, first, scales)
        for i in range(first, min(first + 4, d)):
            for j in range(first):
                covariance[i, j] = covariance[j, i] = cross_moment(space, n, k, i, j) / total
    return total


@njit(nogil=True, cache=True, fastmath={"contract"}, error_model="numpy")
def maximisation(space, n, k_max, floor, scales):
    """Weights, means and covariances of largest likelihood, from the responsibilities.

    The means must be near where they will be, for the sake of rounding.
    """
    constant, scratch = len(scales) * HALF_LOG_2PI, space.scratch
    for k in range(k_max):
        space.weights[k] = average(space, n, k, scales) / n
        space.floored[k] = raise_eigenvalues(space.covariances, k, floor, scratch, scales)
        log_det = whiten(space.covariances, k, floor, space.whiteners, scratch, scales)
        space.log_norms[k] = np.log(space.weights[k]) + log_det - constant


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
    """Fit every candidate K to every set, which owns ``points[offsets[i]:offsets[i + 1]]``.

    ``penalties`` (sets, candidates) is what a criterion adds to -2 log L, ``tolerance`` the growth
    a point below which EM has converged, ``seeds`` uint64 (candidates, starts), ``scales`` roots
    of the floors. A further start is given up when the best so far is further away than ``hope``
    times the gain of its last step. The best of each set goes to ``found``.
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
