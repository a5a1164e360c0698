"""Sampling of mixtures: laws of the draws, a slow twin, streams, types, bad input."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from hepgmm.mixture import sampling
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.mixture.sampling import (
    CHUNK,
    generator,
    sample_many,
    sample_torch,
    seed_sequence,
)

#: Components of little weight and of none, inside and last.
WEIGHTS = np.array([0.02, 0.28, 0.0, 0.69, 0.01, 0.0])


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(1)
    factors = np.tril(rng.normal(size=(6, 3, 3))) + 2 * np.eye(3)
    return GaussianMixture(
        WEIGHTS, 4 * rng.normal(size=(6, 3)), factors @ factors.transpose(0, 2, 1)
    )


def many(seed=1):
    """Four mixtures of 1, 3, 2 and 5 components, one of them with zero weights."""
    rng = np.random.default_rng(seed)
    offsets = np.array([0, 1, 4, 6, 11])
    weights = rng.random(11) + 0.1
    weights[[1, 3, 10]] = 0.0
    factors = np.tril(rng.normal(size=(11, 2, 2)))
    return weights, 5 * rng.normal(size=(11, 2)), factors, offsets


def reference(weights, means, factors, offsets, counts, seed, dtype):
    """The sampler, one readable point at a time, from the same streams."""
    root, owner = seed_sequence(seed), np.repeat(np.arange(len(counts)), counts)
    points, components = [], []
    for begin in range(0, len(owner), CHUNK):
        events = owner[begin : begin + CHUNK]
        rng = generator(root, begin // CHUNK)
        normal = rng.standard_normal((len(events), means.shape[1]), dtype=dtype)
        uniform = rng.random(len(events))
        for event, z, u in zip(events, normal, uniform, strict=True):
            own = weights[offsets[event] : offsets[event + 1]]
            k = offsets[event] + np.flatnonzero(np.cumsum(own) / own.sum() > u)[0]
            points.append(means[k] + factors[k] @ z.astype(float))
            components.append(k)
    return np.array(points, dtype=dtype), np.array(components)


def marginal_cdf(mixture, feature):
    means, roots = mixture.means[:, feature], np.sqrt(mixture.covariances[:, feature, feature])
    return lambda x: norm.cdf((np.asarray(x)[:, None] - means) / roots) @ mixture.weights


def assert_moments(points, mixture):
    """Mean and covariance of the whole mixture, each within 5 standard errors."""
    mean = mixture.weights @ mixture.means
    deviation = points - mean
    error = points.std(axis=0) / np.sqrt(len(points))
    assert (np.abs(deviation.mean(axis=0)) < 5 * error).all()
    spread = mixture.means - mean
    expected = mixture.covariances + spread[:, :, None] * spread[:, None, :]
    expected = np.tensordot(mixture.weights, expected, axes=1)
    products = deviation[:, :, None] * deviation[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(points))
    assert (np.abs(products.mean(axis=0) - expected) < 5 * error).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_frequencies_and_marginals(mixture, dtype):
    n = 200_003
    points, components = mixture.sample(n, seed=5, dtype=dtype, return_components=True)
    assert points.dtype == dtype and points.shape == (n, 3) and components.dtype == np.int64
    found = np.bincount(components, minlength=6)
    assert (np.abs(found - n * WEIGHTS) <= 5 * np.sqrt(n * WEIGHTS * (1 - WEIGHTS))).all()
    assert_moments(points.astype(float), mixture)
    for feature in range(3):
        assert kstest(points[:, feature], marginal_cdf(mixture, feature)).pvalue > 1e-4


def test_points_lie_around_their_own_component(mixture):
    points, components = mixture.sample(100_000, seed=6, return_components=True)
    for k in np.flatnonzero(WEIGHTS):
        own = points[components == k] - mixture.means[k]
        white = np.linalg.solve(np.linalg.cholesky(mixture.covariances[k]), own.T).T
        assert (np.abs(white.mean(axis=0)) < 5 / np.sqrt(len(own))).all()
        scatter = np.abs(white.T @ white / len(own) - np.eye(3))
        assert (scatter < 5 * np.sqrt((1 + np.eye(3)) / len(own))).all()


def test_components_without_weight_are_never_drawn():
    weights = np.array([0.0, 1e-300, 0.0, 1.0, 0.0])
    draw = sample_many(
        weights,
        np.zeros((5, 1)),
        np.ones((5, 1, 1)),
        [0, 5],
        [300_000],
        seed=1,
        return_components=True,
    )
    assert set(draw[1]) == {3}


@pytest.mark.parametrize("k", [2, sampling.FEW, sampling.FEW + 1, 1000])
def test_few_components_and_many_are_chosen_alike(k):
    rng = np.random.default_rng(k)
    weights = rng.random(3 * k) * rng.integers(0, 2, 3 * k)
    weights[k - 1 :: k] = 0.5
    offsets, counts = np.arange(0, 3 * k + 1, k), [400, 0, 700]
    mixtures = sampling.prepare(weights, np.zeros((3 * k, 1)), np.zeros((3 * k, 1, 1)), offsets)
    uniform, chosen = rng.random(1100), np.empty(1100, dtype=np.int64)
    uniform[:k] = mixtures.edges[:k][: len(uniform)] - 2**-53
    sampling.choose(chosen, 0, uniform, mixtures, np.array([0, 400, 400, 1100]))
    owner = np.repeat(np.arange(3), counts)
    for own, u, found in zip(owner, uniform, chosen, strict=True):
        edges = mixtures.edges[own * k : own * k + k]
        assert found == own * k + np.searchsorted(edges, u, side="right")


@pytest.mark.parametrize("value", [0.0, 0.25, np.nextafter(0.25, 0), 0.5, np.nextafter(1.0, 0)])
def test_the_component_is_the_first_whose_edge_exceeds_the_number(value):
    weights, offsets = np.array([0.0, 0.25, 0.25, 0.0, 0.5, 0.0]), np.array([0, 6])
    mixtures = sampling.prepare(weights, np.zeros((6, 1)), np.zeros((6, 1, 1)), offsets)
    chosen = np.empty(1, dtype=np.int64)
    sampling.choose(chosen, 0, np.array([value]), mixtures, np.array([0, 1]))
    assert chosen[0] == (1 if value < 0.25 else 2 if value < 0.5 else 4)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_many_mixtures_agree_with_a_readable_twin(dtype):
    arguments, counts = many(), [9000, 0, 12_000, 3]
    points, components = sample_many(
        *arguments, counts, seed=3, dtype=dtype, return_components=True
    )
    expected, chosen = reference(*arguments, counts, 3, dtype)
    np.testing.assert_array_equal(components, chosen)
    np.testing.assert_allclose(points, expected, rtol=4 * np.finfo(dtype).eps, atol=1e-6)


def test_every_mixture_gives_its_own_points():
    weights, means, factors, offsets = many()
    counts = np.array([5, 40_000, 0, 60_000])
    points, components = sample_many(
        weights, means, factors, offsets, counts, seed=2, return_components=True
    )
    owner = np.searchsorted(offsets, components, side="right") - 1
    np.testing.assert_array_equal(owner, np.repeat(np.arange(4), counts))
    for event in (1, 3):
        own = slice(offsets[event], offsets[event + 1])
        shares = weights[own] / weights[own].sum()
        found = np.bincount(components[owner == event] - own.start, minlength=len(shares))
        errors = np.sqrt(counts[event] * shares * (1 - shares))
        assert (np.abs(found - counts[event] * shares) <= 5 * errors).all()
        error = points[owner == event].std(axis=0) / np.sqrt(counts[event])
        mean = points[owner == event].mean(axis=0)
        assert (np.abs(mean - shares @ means[own]) < 5 * error).all()


@pytest.mark.parametrize("n", [0, 1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_exactly_n_points_the_same_for_any_number_of_threads(mixture, n):
    one, two = (mixture.sample(n, seed=4, workers=workers) for workers in (1, 2))
    assert one.shape == (n, 3) and np.isfinite(one).all()
    np.testing.assert_array_equal(one, two)


def test_streams_differ_from_chunk_to_chunk_and_a_generator_moves_on(mixture):
    points = mixture.sample(2 * CHUNK, seed=4)
    assert not np.isin(points[CHUNK:, 0], points[:CHUNK, 0]).any()
    rng = np.random.default_rng(1)
    assert not np.array_equal(mixture.sample(9, seed=rng), mixture.sample(9, seed=rng))


def test_draws_from_a_singular_covariance_stay_on_its_line():
    factor = np.array([[[3.0, 0.0], [-6.0, 0.0]]])
    points = sample_many([1.0], np.zeros((1, 2)), factor, [0, 1], [50], seed=1)
    np.testing.assert_allclose(points[:, 1], -2 * points[:, 0], rtol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_torch_twin_has_the_same_distribution(mixture, dtype, monkeypatch):
    monkeypatch.setattr("hepgmm.mixture.sampling.ENTRIES", 9 * 30_000)
    points = sample_torch(mixture, 100_001, seed=7, dtype=dtype)
    assert points.dtype == dtype and points.shape == (100_001, 3)
    assert torch.equal(points, sample_torch(mixture, 100_001, seed=7, dtype=dtype))
    assert_moments(points.double().numpy(), mixture)
    for feature in range(3):
        assert kstest(points[:, feature].numpy(), marginal_cdf(mixture, feature)).pvalue > 1e-4
    assert sample_torch(mixture, 0, seed=torch.Generator().manual_seed(1)).shape == (0, 3)


def test_the_torch_twin_never_draws_a_component_without_weight(monkeypatch):
    means = np.arange(4.0)[:, None]
    mixture = GaussianMixture([0.0, 0.5, 0.0, 0.5], means, np.full((4, 1, 1), 1e-12))
    points = sample_torch(mixture, 50_000, seed=1, dtype=torch.float64)
    assert set(points.round().flatten().tolist()) == {1.0, 3.0}
    # Nor at the edges, which chance would not find.
    numbers = torch.tensor([0.0, 0.5], dtype=torch.float64)
    monkeypatch.setattr(torch, "rand", lambda *size, **options: numbers)
    assert sample_torch(mixture, 2, seed=1).round().flatten().tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": [1, -1, 2, 3]}, "counts: -1 is negative"),
        ({"counts": [1, 2]}, "counts: expected 4 integers as offsets tell"),
        ({"counts": [1.0, 2.0, 3.0, 4.0]}, "counts: expected 4 integers .* got float64"),
        ({"offsets": [0, 1, 4, 6, 12]}, "offsets: they must rise from 0 to .* 11"),
        ({"offsets": [0, 4, 1, 6, 11]}, "offsets: they must rise"),
        ({"offsets": [0.0, 11.0]}, "offsets: expected one dimension of integers"),
        ({"weights": np.full(11, -1.0)}, "weights: -1 is negative"),
        ({"weights": np.full(11, np.nan)}, "weights: every number must be finite"),
        ({"weights": np.zeros(11)}, "weights: mixture 0 has points but no weight"),
        ({"offsets": [0, 1, 1, 6, 11]}, "weights: mixture 1 has points but no weight"),
        ({"means": np.zeros((11, 3))}, "weights, means, factors: expected shapes"),
        ({"dtype": np.int32}, "dtype = .*int32.*: give float32 or float64"),
        ({"workers": 0}, "workers = 0"),
    ],
)
def test_bad_arguments_are_named(change, message):
    names = ("weights", "means", "factors", "offsets")
    arguments = dict(zip(names, many(), strict=True)) | {"counts": [1, 2, 3, 4], "seed": 1}
    with pytest.raises(ValueError, match=message):
        sample_many(**arguments | change)


def test_bad_numbers_of_points_are_named(mixture):
    for n in (-1, 2.5):
        with pytest.raises(ValueError, match=f"n = {n}: give a whole number"):
            mixture.sample(n, seed=1)
        with pytest.raises(ValueError, match=f"n = {n}: give a whole number"):
            sample_torch(mixture, n, seed=1)
    with pytest.raises(ValueError, match=r"dtype = torch\.float16"):
        sample_torch(mixture, 1, seed=1, dtype=torch.float16)
