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
from numba import njit

from hepgmm.mixture.matrices import EMPTY, FAST, HALF_LOG_2PI, raise_eigenvalues, whiten

__all__ = ["Workspace", "expectation", "maximisation", "padded", "workspace"]

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
