"""Merging and seeding of components: what is kept, which pair goes first, where seeds fall."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepgmm.mixture.large_kernels import merge, seed_labels


def mixture_of(k, d, seed):
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(k, d, d))
    covariances = factors @ factors.transpose(0, 2, 1) + np.eye(d)
    return rng.dirichlet(np.ones(k)), 3 * rng.normal(size=(k, d)), covariances


def whole(weights, means, covariances):
    """Mean and covariance of a mixture."""
    mean = weights @ means
    away = means - mean
    return mean, np.einsum("k,kij->ij", weights, covariances) + (weights[:, None] * away).T @ away


def reference_merge(weights, means, covariances, k):
    """Pair by pair, all costs anew each time."""
    parts = list(zip(weights, means, covariances, strict=True))
    while len(parts) > k:
        costs = {}
        for i, j in combinations(range(len(parts)), 2):
            w = np.array([parts[i][0], parts[j][0]])
            mean, covariance = whole(
                w / w.sum(), *(np.array([parts[i][a], parts[j][a]]) for a in (1, 2))
            )
            dets = [np.linalg.slogdet(c)[1] for c in (parts[i][2], parts[j][2], covariance)]
            cost = w.sum() * dets[2] - w @ dets[:2]
            costs[i, j] = cost, (w.sum(), mean, covariance)
        i, j = min(costs, key=lambda pair: costs[pair][0])
        parts[i] = costs[i, j][1]
        del parts[j]
    return [np.array(arrays) for arrays in zip(*parts, strict=True)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 10**6))
def test_pairs_of_least_cost_are_merged(k_max, d, seed):
    mixture = mixture_of(k_max, d, seed)
    for k in (1, 3, k_max):
        merged = merge(*mixture, k, 1e-12)
        assert len(merged[0]) == min(k, k_max)
        for mine, theirs in zip(merged, reference_merge(*mixture, k), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)
        for mine, theirs in zip(whole(*merged), whole(*mixture), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


def test_empty_components_go_first_and_leave_the_others_alone():
    weights, means, covariances = mixture_of(4, 3, 1)
    weights = np.array([0.5, 1e-300, 0.5, 1e-300])
    merged = merge(weights, means, covariances, 2, 1e-12)
    np.testing.assert_array_equal(merged[0], [0.5, 0.5])
    np.testing.assert_allclose(merged[1], means[[0, 2]], rtol=1e-12)
    np.testing.assert_allclose(merged[2], covariances[[0, 2]], rtol=1e-12)


def test_every_point_has_the_label_of_its_nearest_centre():
    rng = np.random.default_rng(2)
    points, uniforms = rng.normal(size=(200, 3)), rng.random(12)
    labels = seed_labels(points, uniforms)
    assert set(labels) == set(range(12))
    centres = [int(uniforms[0] * 200)]
    for uniform in uniforms[1:]:
        nearest = ((points[:, None] - points[centres]) ** 2).sum(axis=2).min(axis=1)
        centres.append(int(np.searchsorted(np.cumsum(nearest), uniform * nearest.sum())))
    distances = ((points[:, None] - points[centres]) ** 2).sum(axis=2)
    np.testing.assert_array_equal(labels, distances.argmin(axis=1))


@pytest.mark.parametrize("places", [1, 2, 5])
def test_seeds_fall_on_every_place_before_any_falls_twice(places):
    points = np.repeat(np.arange(float(places)), 7)[:, None]
    labels = seed_labels(points, np.random.default_rng(3).random(7))
    assert len(set(labels)) == places
    assert (labels.reshape(places, 7) == labels[::7, None]).all()
