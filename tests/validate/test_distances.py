"""Fréchet and kernel distances: closed forms, slow twins, equal and different samples."""

from math import comb

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ortho_group, wasserstein_distance

from hepgmm.validate import frechet_distance, kernel_distance
from hepgmm.validate.distances import discrepancy, gaussian_distance, weighted_wasserstein


def covariance(d, seed):
    root = np.random.default_rng(seed).normal(size=(d, d))
    return root @ root.T


def test_distance_of_gaussians_with_common_axes():
    """Σ (μ - ν)² + Σ (σ - τ)² when the covariances commute."""
    axes = ortho_group.rvs(4, random_state=1)
    sigma, tau = np.array([1.0, 2.0, 3.0, 0.0]), np.array([2.0, 0.5, 3.0, 1.0])
    shift = np.array([1.0, 0.0, -2.0, 0.5])
    found = gaussian_distance(
        np.zeros(4), axes * sigma**2 @ axes.T, axes @ shift, axes * tau**2 @ axes.T
    )
    assert found == pytest.approx((shift**2).sum() + ((sigma - tau) ** 2).sum())


def test_distance_of_gaussians_is_the_textbook_one_and_symmetric():
    one, two, shift = covariance(5, 2), covariance(5, 3), np.arange(5.0)
    textbook = shift @ shift + np.trace(one + two - 2 * sqrtm(one @ two)).real
    assert gaussian_distance(shift, one, np.zeros(5), two) == pytest.approx(textbook)
    assert gaussian_distance(np.zeros(5), two, shift, one) == pytest.approx(textbook)


def test_discrepancy_is_that_of_a_slow_loop():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=(5, 3))

    def kernel(a, b):
        return (a @ b / 3 + 1) ** 4

    within = [
        np.mean([kernel(z[i], z[j]) for i in range(len(z)) for j in range(len(z)) if i != j])
        for z in (x, y)
    ]
    across = np.mean([kernel(a, b) for a in x for b in y])
    assert discrepancy(x, y) == pytest.approx(sum(within) - 2 * across)


def test_discrepancy_compares_the_first_four_moments():
    """In one dimension its expectation is Σⱼ C(4, j) (E xʲ - E yʲ)²."""
    rng = np.random.default_rng(5)
    expected = comb(4, 2) * (1 - 4) ** 2 + (3 - 48) ** 2
    values = [
        discrepancy(rng.normal(size=(400, 1)), rng.normal(0, 2, size=(400, 1))) for _ in range(100)
    ]
    assert abs(np.mean(values) - expected) < 4 * np.std(values) / np.sqrt(len(values))


def samples(n, m, shift=0.0, seed=6):
    rng = np.random.default_rng(seed)
    root = np.array([[1.0, 0.0], [0.5, 2.0]])
    return rng.normal(size=(n, 2)) @ root.T, rng.normal(size=(m, 2)) @ root.T + [shift, 0.0]


def values_and_errors(distance, shift):
    figures = [distance(*samples(900, 600, shift, seed=s), seed=s) for s in range(10)]
    return np.array([list(figure.values()) for figure in figures]).T


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_equal_distributions_are_close_and_different_ones_far(distance):
    values, errors = values_and_errors(distance, 0.0)
    far, far_errors = values_and_errors(distance, 1.0)
    assert (np.abs(values) < 5 * errors).all() and values.max() < 0.1 * far.min()
    assert (far > 5 * far_errors).all()
    # The errors are of the size of what the values vary by.
    assert 0.3 < far.std(ddof=1) / np.median(far_errors) < 3


def test_extrapolation_removes_what_finite_samples_add():
    d, n = 10, 200
    found = []
    for seed in range(20):
        x, y = np.random.default_rng(seed).normal(size=(2, n, d))
        scale = np.abs(x).max(axis=0)
        plain = gaussian_distance(
            (x / scale).mean(0), np.cov((x / scale).T), (y / scale).mean(0), np.cov((y / scale).T)
        )
        found.append((plain, frechet_distance(x, y, seed=seed, n_bootstrap=2)["value"]))
    plain, extrapolated = np.mean(found, axis=0)
    assert extrapolated < 0.35 * plain


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_units_and_seeds(distance):
    x, y = samples(300, 300, shift=0.5)
    one = distance(x, y, seed=7)
    assert distance(x, y, seed=7) == one
    scaled = distance(x * [1e3, 1e-3], y * [1e3, 1e-3], seed=7)
    assert scaled["value"] == pytest.approx(one["value"])
    constant = np.ones((300, 1))
    wider = distance(np.hstack([x, 0 * constant]), np.hstack([y, 0 * constant]), seed=7)
    assert np.isfinite(wider["value"])


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
def test_bad_samples_are_named(distance):
    x, y = samples(60, 60)
    with pytest.raises(ValueError, match=r"synthetic: expected at least 50 rows .* \(49, 2\)"):
        distance(x, y[:49], seed=1)
    with pytest.raises(ValueError, match="synthetic: 1 features, but the real sample has 2"):
        distance(x, y[:, :1], seed=1)
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match="real: row 3 holds a NaN"):
        distance(x, y, seed=1)


def test_wasserstein_distance_is_scipys():
    rng = np.random.default_rng(9)
    x, y = np.round(rng.normal(size=(40, 2)), 1), np.round(rng.normal(0.3, 2, (60, 2)), 1)
    weights = rng.integers(0, 4, 100)
    is_second = np.arange(100) >= 40
    ours = weighted_wasserstein(np.concatenate([x, y]), is_second)(weights)
    for column in range(2):
        exact = wasserstein_distance(x[:, column], y[:, column], weights[:40], weights[40:])
        assert ours[column] == pytest.approx(exact)
