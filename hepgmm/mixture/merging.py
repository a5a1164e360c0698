"""Fewer components from many, at the least cost in likelihood."""

from __future__ import annotations

import numpy as np
from numba import njit

from hepgmm.mixture.large_kernels import cholesky

__all__ = ["merge"]


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
    """Merge pairs of components until ``k`` are left.

    Each time the pair goes whose merging into one Gaussian with the same weight, mean and
    covariance can cost least: the Kullback-Leibler divergence of the mixture before from the one
    after is at most half of

        (wᵢ + wⱼ) log det Σᵢⱼ - wᵢ log det Σᵢ - wⱼ log det Σⱼ.

    Parameters
    ----------
    weights, means, covariances
        ``(K,)``, ``(K, d)``, ``(K, d, d)``.
    k
        How many to leave; K or more leave all.
    floor
        What every eigenvalue of every covariance is at least.

    Returns
    -------
    weights, means, covariances
        ``(k,)``, ``(k, d)``, ``(k, d, d)``.

    References
    ----------
    A. R. Runnalls, Kullback-Leibler approach to Gaussian mixture reduction, IEEE Transactions on
    Aerospace and Electronic Systems 43 (2007) 989.

    Examples
    --------
    >>> weights, means = np.full(3, 1 / 3), np.array([[0.0], [1.0], [9.0]])
    >>> merge(weights, means, np.ones((3, 1, 1)), 2, 1e-6)[1].tolist()
    [[0.5], [9.0]]
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
