"""Compiled steps for one large set, faster than the readable ``hepgmm.mixture.em``.

Most components have no share in most points. A component is left out of a point where its density
lies so far below that of the best one that double precision can't see the difference. The inverse
Cholesky factor W of its covariance finds that out early: the terms of |W (x - μ)|² are sums over
one feature, over two, over three and so on, and the first third of them costs a ninth of the work.

A set lies in memory in blocks of points, feature by feature: ``blocks[b, j, i]`` is feature j of
point b BLOCK + i, centred and in units of the floors. The number of features is the length of the
tuple ``unit``: known when the kernels are compiled, so that short loops over it unroll.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from hepgmm.mixture.small_kernels import EMPTY, FAST, HALF_LOG_2PI

__all__ = [
    "Shares",
    "Terms",
    "cholesky",
    "expectation",
    "factorise",
    "in_blocks",
    "merge",
    "moments",
    "room",
    "seed_labels",
]

#: A component counts in a point while the logarithm of its density is at most this below the
#: largest: exp(-45) = 3e-20, so that thousands of such together are lost in rounding.
NEGLIGIBLE = 45.0
#: Points of a block; their features fit the fastest memory.
BLOCK = 128


class Shares(NamedTuple):
    """Responsibilities: component k has ``value[k, s]`` of point ``index[k, s]``, s < count[k]."""

    count: np.ndarray  # int64 (K,)
    index: np.ndarray  # int32 (K, n), rising
    value: np.ndarray  # float64 (K, n)


class Terms(NamedTuple):
    """What log wₖ + log N(x | μₖ, Σₖ) = log_norms[k] - |Wₖ x - shifts[k]|² / 2 is computed from."""

    whiteners: np.ndarray  # (K, d, d), inverse Cholesky factors Wₖ
    shifts: np.ndarray  # (K, d), Wₖ μₖ
    log_norms: np.ndarray  # (K,), log wₖ + log det Wₖ - d/2 log 2π


def in_blocks(points):
    """Points as blocks, ``(n, d)`` → ``(n / BLOCK, d, BLOCK)``, padded with zeros."""
    n, d = points.shape
    blocks = np.zeros((-(-n // BLOCK) * BLOCK, d))
    blocks[:n] = points
    return np.ascontiguousarray(blocks.reshape(-1, BLOCK, d).transpose(0, 2, 1))


def room(k: int, n: int, d: int) -> tuple[Shares, Terms]:
    """Arrays for the responsibilities and terms of k components."""
    shares = Shares(np.zeros(k, np.int64), np.empty((k, n), np.int32), np.empty((k, n)))
    return shares, Terms(np.zeros((k, d, d)), np.empty((k, d)), np.empty(k))


@njit(nogil=True, cache=True, error_model="numpy")
def cholesky(covariance, floor, triangle):
    """Cholesky factor into ``triangle``; returns the logarithm of its determinant.

    Its squared diagonal holds conditional variances, which are above the least eigenvalue: below
    the floor there is rounding alone.
    """
    log_det = 0.0
    for j in range(len(covariance)):
        for i in range(j, len(covariance)):
            rest = covariance[i, j]
            for m in range(j):
                rest -= triangle[i, m] * triangle[j, m]
            triangle[i, j] = np.sqrt(max(rest, floor)) if i == j else rest / triangle[j, j]
        log_det += np.log(triangle[j, j])
    return log_det


@njit(nogil=True, cache=True, error_model="numpy")
def factorise(weights, means, covariances, floor, terms):
    """Fill ``terms`` from a mixture whose covariances have no eigenvalue below the floor."""
    k_max, d = means.shape
    triangle = np.zeros((d, d))
    for k in range(k_max):
        white = terms.whiteners[k]
        log_det = cholesky(covariances[k], floor, triangle)
        for j in range(d):
            white[j, j] = 1.0 / triangle[j, j]
            for i in range(j + 1, d):
                rest = 0.0
                for m in range(j, i):
                    rest -= triangle[i, m] * white[m, j]
                white[i, j] = rest / triangle[i, i]
        for i in range(d):
            terms.shifts[k, i] = 0.0
            for m in range(i + 1):
                terms.shifts[k, i] += white[i, m] * means[k, m]
        terms.log_norms[k] = np.log(max(weights[k], EMPTY)) - log_det - d * HALF_LOG_2PI


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def leading(x, whitener, shift, total, unit):
    """The first third of the terms of |W x - shift|² for a block of points."""
    for i in range(BLOCK):
        square = 0.0
        for j in range((len(unit) + 2) // 3):
            white = -shift[j]
            for m in range(j + 1):
                white += whitener[j, m] * x[m, i]
            square += white * white
        total[i] = square


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def trailing(x, whitener, shift, white, total, width):
    """Add the other terms, for the first ``width`` points."""
    d = len(shift)
    for j in range((d + 2) // 3, d):
        constant = -shift[j]
        for i in range(width):
            white[i] = constant
        # Four features at once: fewer trips to memory for each product.
        fours = (j + 1) // 4
        for f in range(fours):
            m = 4 * f
            a, b = whitener[j, m], whitener[j, m + 1]
            c, e = whitener[j, m + 2], whitener[j, m + 3]
            x0, x1, x2, x3 = x[m], x[m + 1], x[m + 2], x[m + 3]
            for i in range(width):
                white[i] += a * x0[i] + b * x1[i] + c * x2[i] + e * x3[i]
        for m in range(4 * fours, j + 1):
            a, x0 = whitener[j, m], x[m]
            for i in range(width):
                white[i] += a * x0[i]
        for i in range(width):
            total[i] += white[i] * white[i]


@njit(nogil=True, cache=True, error_model="numpy")
def guess(x, terms, best, peak, width):
    """The density of the component ``best`` of each point bounds the largest from below."""
    d = terms.shifts.shape[1]
    for i in range(width):
        k = best[i]
        square = 0.0
        for j in range(d):
            white = -terms.shifts[k, j]
            for m in range(j + 1):
                white += terms.whiteners[k, j, m] * x[m, i]
            square += white * white
        peak[i] = terms.log_norms[k] - 0.5 * square


@njit(nogil=True, cache=True, error_model="numpy")
def expectation(blocks, terms, best, shares, unit):
    """Responsibilities of all components into ``shares``; returns the log-likelihood.

    ``best`` (n,) names a component for each point, the better the guess the faster, and is
    overwritten with that of the largest share.
    """
    n, d, k_max = len(best), blocks.shape[1], len(terms.log_norms)
    # Unsigned: an index that can't be negative needs no check for it.
    near, before = np.empty(BLOCK, np.uint64), np.empty(k_max, np.int64)
    gathered, white = np.empty((d, BLOCK)), np.empty(BLOCK)
    square, peak, total = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    count, index, value = shares
    count[:] = 0
    log_likelihood = 0.0
    for b in range(len(blocks)):
        x, start = blocks[b], b * BLOCK
        width, own = min(BLOCK, n - start), best[start : start + BLOCK]
        guess(x, terms, own, peak, width)
        total[:] = 0.0
        for k in range(k_max):
            before[k] = position = count[k]
            norm = terms.log_norms[k]
            leading(x, terms.whiteners[k], terms.shifts[k], square, unit)
            found = np.uint64(0)
            for i in range(width):
                near[found] = i
                found += np.uint64(norm - 0.5 * square[i] >= peak[i] - NEGLIGIBLE)
            if found == 0:
                continue
            for s in range(found):
                square[s] = square[near[s]]
            for j in range(d):
                row, to = x[j], gathered[j]
                for s in range(found):
                    to[s] = row[near[s]]
            trailing(gathered, terms.whiteners[k], terms.shifts[k], white, square, found)
            for s in range(found):
                i, density = near[s], norm - 0.5 * square[s]
                if density >= peak[i] - NEGLIGIBLE:
                    value[k, position] = density
                    index[k, position] = start + i
                    position += 1
                    if density > peak[i]:
                        peak[i] = density
                        own[i] = k
            count[k] = position
        for k in range(k_max):
            for s in range(before[k], count[k]):
                i = np.uint64(index[k, s] - start)
                value[k, s] = np.exp(value[k, s] - peak[i])
                total[i] += value[k, s]
        for k in range(k_max):
            for s in range(before[k], count[k]):
                value[k, s] /= total[np.uint64(index[k, s] - start)]
        for i in range(width):
            log_likelihood += peak[i] + np.log(total[i])
    return log_likelihood


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def add_products(part, weighted, covariance, width):
    """Add Σᵢ weightedᵢ partᵢᵀ to the lower triangle of ``covariance``."""
    d = len(part)
    for j in range(d):
        left = weighted[j]
        for m in range(j + 1):
            right = part[m]
            moment = 0.0
            for i in range(width):
                moment += left[i] * right[i]
            covariance[j, m] += moment


@njit(nogil=True, cache=True, error_model="numpy")
def moments(points, shares, weights, means, covariances):
    """Weights, means and covariances (not yet raised to the floors) from the responsibilities."""
    n, d = points.shape
    part, weighted = np.empty((d, BLOCK)), np.empty((d, BLOCK))
    for k in range(len(weights)):
        count, index, value = shares.count[k], shares.index[k], shares.value[k]
        mean, covariance, total = means[k], covariances[k], 0.0
        mean[:] = 0.0
        covariance[:] = 0.0
        for s in range(count):
            point, share = points[index[s]], value[s]
            total += share
            for j in range(d):
                mean[j] += share * point[j]
        total = max(total, EMPTY)
        weights[k] = total / n
        for j in range(d):
            mean[j] /= total
        for start in range(0, count, BLOCK):
            width = min(BLOCK, count - start)
            for s in range(width):
                point, share = points[index[start + s]], value[start + s] / total
                for j in range(d):
                    part[j, s] = point[j] - mean[j]
                    weighted[j, s] = share * part[j, s]
            add_products(part, weighted, covariance, width)
        for j in range(d):
            for m in range(j):
                covariance[m, j] = covariance[j, m]


@njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def seed_labels(points, uniforms):
    """Nearest centre of each point ``(n,)``, the centres by k-means++ (Arthur, Vassilvitskii 2007).

    The first centre is any of the points, each other one drawn with a probability in proportion
    to the squared distance from the nearest centre so far, by ``uniforms`` in [0, 1), ``(k,)``.
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


@njit(nogil=True, cache=True, error_model="numpy")
def blend(i, j, weights, means, covariances, out):
    """Covariance of the components i and j together into ``out``; returns the share of j."""
    share = weights[j] / (weights[i] + weights[j])
    d = len(out)
    for a in range(d):
        step = means[j, a] - means[i, a]
        for b in range(a + 1):
            own = (1.0 - share) * covariances[i, a, b] + share * covariances[j, a, b]
            between = (1.0 - share) * share * step * (means[j, b] - means[i, b])
            out[a, b] = out[b, a] = own + between
    return share


@njit(nogil=True, cache=True, error_model="numpy")
def merge(weights, means, covariances, k, floor):
    """Merge pairs of components until ``k`` are left; no eigenvalue lies below ``floor``.

    Each time the pair goes whose merging into one Gaussian with the same weight, mean and
    covariance can cost least: the Kullback-Leibler divergence of the mixture before from the one
    after is at most half of (wᵢ + wⱼ) log det Σᵢⱼ - wᵢ log det Σᵢ - wⱼ log det Σⱼ (A. R. Runnalls,
    IEEE Transactions on Aerospace and Electronic Systems 43 (2007) 989).
    """
    weights, means, covariances = weights.copy(), means.copy(), covariances.copy()
    k_max, d = means.shape
    pair, triangle = np.empty((d, d)), np.empty((d, d))
    log_dets = np.empty(k_max)
    for i in range(k_max):
        log_dets[i] = cholesky(covariances[i], floor, triangle)
    # Of the components left, in rising order; cost[i, j] for i > j.
    left = np.arange(k_max)
    cost = np.full((k_max, k_max), np.inf)
    changed = -1
    while len(left) > k:
        best_i, best_j, lowest = -1, -1, np.inf
        for a in range(len(left)):
            for b in range(a):
                i, j = left[a], left[b]
                if changed in (-1, i, j):
                    blend(i, j, weights, means, covariances, pair)
                    both = (weights[i] + weights[j]) * cholesky(pair, floor, triangle)
                    cost[i, j] = both - weights[i] * log_dets[i] - weights[j] * log_dets[j]
                if cost[i, j] < lowest or best_i < 0:
                    best_i, best_j, lowest = i, j, cost[i, j]
        share = blend(best_j, best_i, weights, means, covariances, pair)
        covariances[best_j] = pair
        means[best_j] += share * (means[best_i] - means[best_j])
        weights[best_j] += weights[best_i]
        log_dets[best_j] = cholesky(pair, floor, triangle)
        left = left[left != best_i]
        changed = best_j
    return weights[left], means[left], covariances[left]
