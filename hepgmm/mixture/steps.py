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
    kept: np.ndarray  # (K, n), the responsibilities of the better seeding
    work: np.ndarray  # (n,), or (d,) where that is more
    scratch: np.ndarray  # (3, d, d), small matrices


def workspace(n: int, k: int, d: int) -> Workspace:
    """Arrays for up to n points and k components of d features."""
    n = padded(n)
    return Workspace(
        x=np.zeros((d, n)),
        white=np.empty((d, n)),
        weights=np.empty(k),
        means=np.empty((k, d)),
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
    whiteners = space.whiteners
    shift, width = space.work, padded(n)
    for i in range(width):
        peak[i] = -np.inf
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
def maximisation(space, n, k_max, floor, scales):
    """Weights, means and covariances of largest likelihood, from the responsibilities."""
    d = len(scales)
    x, shares, scale = space.x, space.shares, space.scale
    means, covariances, width = space.means, space.covariances, padded(n)
    for k in range(k_max):
        total = 0.0
        for i in range(width):
            shares[k, i] *= scale[i]
            total += shares[k, i]
        total = max(total, EMPTY)
        for j in range(0, d, 2):
            j1 = min(j + 1, d - 1)
            m0, m1 = 0.0, 0.0
            for i in range(width):
                m0 += shares[k, i] * x[j, i]
                m1 += shares[k, i] * x[j1, i]
            means[k, j], means[k, j1] = m0 / total, m1 / total
        # Four moments in one pass over the points: two features with two.
        for j in range(0, d, 2):
            j1 = min(j + 1, d - 1)
            for m in range(0, j + 1, 2):
                m1 = min(m + 1, d - 1)
                m00, m01, m10, m11 = 0.0, 0.0, 0.0, 0.0
                for i in range(width):
                    a, b = x[j, i] - means[k, j], x[j1, i] - means[k, j1]
                    u = shares[k, i] * (x[m, i] - means[k, m])
                    v = shares[k, i] * (x[m1, i] - means[k, m1])
                    m00 += a * u
                    m01 += a * v
                    m10 += b * u
                    m11 += b * v
                covariances[k, j, m] = covariances[k, m, j] = m00 / total
                covariances[k, j, m1] = covariances[k, m1, j] = m01 / total
                covariances[k, j1, m] = covariances[k, m, j1] = m10 / total
                covariances[k, j1, m1] = covariances[k, m1, j1] = m11 / total
        space.floored[k] = raise_eigenvalues(covariances, k, floor, space.scratch, scales)
        space.weights[k] = total / n
        log_det = whiten(covariances, k, floor, space.whiteners, space.scratch, scales)
        space.log_norms[k] = np.log(total / n) + log_det - d * HALF_LOG_2PI
