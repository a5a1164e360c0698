"""A fitted mixture against closed forms, SciPy and scikit-learn; its components as vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import multivariate_normal

from hepgmm.mixture.gaussian import (
    FORMS,
    GaussianMixture,
    log_entries,
    lower_triangles,
    pack,
    parameter_names,
    unpack,
)


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(1)
    factors = np.tril(rng.normal(size=(3, 3, 3))) + 2 * np.eye(3)
    return GaussianMixture(
        [0.2, 0.5, 0.3], 4 * rng.normal(size=(3, 3)), factors @ factors.transpose(0, 2, 1)
    )


@pytest.fixture(scope="module")
def points(mixture):
    return mixture.sample(500, seed=2)


def test_log_prob_is_the_sum_over_scipy_gaussians(mixture, points):
    density = sum(
        w * multivariate_normal(m, c).pdf(points)
        for w, m, c in zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    )
    np.testing.assert_allclose(mixture.log_prob(points), np.log(density), rtol=1e-11)


def test_agrees_with_torch(mixture, points):
    parts = (torch.tensor(part) for part in (mixture.weights, mixture.means, mixture.covariances))
    weights, means, covariances = parts
    theirs = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.MultivariateNormal(means, covariances),
    )
    log_prob = theirs.log_prob(torch.tensor(points)).numpy()
    np.testing.assert_allclose(mixture.log_prob(points), log_prob, rtol=1e-11)


def test_agrees_with_sklearn_both_ways(mixture, points):
    theirs = mixture.to_sklearn()
    np.testing.assert_allclose(mixture.log_prob(points), theirs.score_samples(points), rtol=1e-11)
    np.testing.assert_allclose(
        mixture.responsibilities(points), theirs.predict_proba(points), atol=1e-12
    )
    assert mixture.bic(points) == pytest.approx(theirs.bic(points), rel=1e-12)
    assert mixture.aic(points) == pytest.approx(theirs.aic(points), rel=1e-12)
    back = GaussianMixture.from_sklearn(theirs)
    np.testing.assert_array_equal(back.covariances, mixture.covariances)


def test_bic_of_one_gaussian_is_its_entropy():
    points = np.random.default_rng(3).multivariate_normal([1, 2], [[2, 0.5], [0.5, 1]], size=300)
    covariance = np.cov(points.T, bias=True)
    best = GaussianMixture([1.0], points.mean(axis=0)[None], covariance[None])
    # The maximum of the likelihood is -n times the entropy of the fitted Gaussian.
    entropy = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * covariance))
    assert best.bic(points) == pytest.approx(5 * np.log(300) + 2 * 300 * entropy, rel=1e-12)


@pytest.mark.parametrize(
    ("k", "d", "expected"), [(1, 1, 2), (1, 4, 14), (10, 4, 149), (2, 15, 271)]
)
def test_number_of_parameters(k, d, expected):
    mixture = GaussianMixture(np.full(k, 1 / k), np.zeros((k, d)), np.tile(np.eye(d), (k, 1, 1)))
    assert mixture.n_parameters == expected


def test_sample_has_the_moments_of_the_mixture(mixture):
    n = 200_000
    points, components = mixture.sample(n, seed=5, return_components=True)
    fractions = np.bincount(components) / n
    errors = np.sqrt(mixture.weights * (1 - mixture.weights) / n)
    assert (np.abs(fractions - mixture.weights) < 4 * errors).all()
    for k in range(3):
        mine = points[components == k]
        deviation = np.linalg.solve(mixture.covariances[k], mine.mean(axis=0) - mixture.means[k])
        chi2 = len(mine) * deviation @ (mine.mean(axis=0) - mixture.means[k])
        assert chi2 < 21.1  # 99.99% of a chi-squared with 3 degrees of freedom
        np.testing.assert_allclose(np.cov(mine.T), mixture.covariances[k], atol=0.25)


def test_sample_is_seeded_and_exact(mixture):
    assert mixture.sample(0, seed=1).shape == (0, 3)
    np.testing.assert_array_equal(mixture.sample(70_001, seed=1), mixture.sample(70_001, seed=1))
    assert not np.array_equal(mixture.sample(10, seed=1), mixture.sample(10, seed=2))
    assert len(mixture.log_prob(mixture.sample(70_001, seed=1))) == 70_001


def test_marginal_and_conditional_factorise_the_density(mixture, points):
    marginal = mixture.marginal([2, 0])
    for point in points[:5]:
        rest = mixture.condition([2, 0], point[[2, 0]])
        product = marginal.log_prob(point[None, [2, 0]]) + rest.log_prob(point[None, [1]])
        np.testing.assert_allclose(product, mixture.log_prob(point[None]), rtol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [[0.0]], [[[-1.0]]]), "component 0 is not positive definite"),
        (([0.5, 0.2], [[0.0], [1.0]], np.ones((2, 1, 1))), "weights: .* sum to 1"),
        (([1.0], [[np.nan]], [[[1.0]]]), "means: every number must be finite"),
        (([1.0], [[0.0, 1.0]], [[[1.0]]]), "expected shapes"),
    ],
)
def test_impossible_mixtures_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixture(*arguments)


def test_wrong_number_of_features_is_refused(mixture):
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 3\), got \(4, 2\)"):
        mixture.log_prob(np.zeros((4, 2)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.marginal([0, 3]), r"features = \[0, 3\]: give indices of 0 to 2, each once"),
        (lambda m: m.marginal([-1]), r"features = \[-1\]"),
        (lambda m: m.marginal([0.0]), r"features = \[0\.0\]"),
        (lambda m: m.marginal([]), r"features = \[\]"),
        (lambda m: m.marginal([[0, 1]]), r"features = \[\[0, 1\]\]"),
        (lambda m: m.marginal([True, False]), r"features = \[True, False\]"),
        (lambda m: m.log_prob(0.0), r"x: expected shape \(n, 3\), got \(\)"),
        (lambda m: m.condition([1, 1], [0.0, 0.0]), r"features = \[1, 1\]"),
        (lambda m: m.condition([0, 1, 2], [0.0] * 3), "features: all of them are given"),
        (lambda m: m.condition([0, 1], [0.0]), "values: give one finite number for each of 2"),
        (lambda m: m.condition(0, np.nan), "values: give one finite number"),
        (lambda m: GaussianMixture([], np.zeros((0, 2)), np.zeros((0, 2, 2))), "expected shapes"),
        (lambda m: GaussianMixture(m.weights * 1.00001, m.means, m.covariances), "sum to 1"),
    ],
)
def test_impossible_requests_are_named(mixture, call, message):
    with pytest.raises(ValueError, match=message):
        call(mixture)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda d: st.tuples(
            arrays(float, (3, d), elements=st.floats(-1e3, 1e3)),
            arrays(float, (3, d, d), elements=st.floats(-5, 5)),
            arrays(float, 3, elements=st.floats(1e-9, 1)),
        )
    ),
    st.sampled_from(sorted(FORMS)),
)
def test_round_trip(components, form):
    means, factors, weights = components
    d = means.shape[1]
    covariances = factors @ factors.transpose(0, 2, 1) + np.eye(d)
    vectors = pack(means, covariances, weights, form=form)
    assert vectors.shape == (3, d + d * (d + 1) // 2 + 1)
    back = unpack(vectors, form=form)
    np.testing.assert_array_equal(back[0], means)
    np.testing.assert_allclose(back[1], covariances, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back[2], weights, rtol=1e-13)
    triangles = lower_triangles(vectors, d, form=form)
    np.testing.assert_allclose(triangles, np.linalg.cholesky(covariances), rtol=1e-10, atol=1e-12)


def test_a_component_of_four_features_is_fifteen_named_numbers():
    names = parameter_names(["log_pt", "eta", "d0", "dz"])
    assert len(names) == len(set(names)) == 15
    factor = np.tril(np.arange(1.0, 17.0).reshape(4, 4))
    vector = pack(np.zeros((1, 4)), (factor @ factor.T)[None], [0.25])[0]
    named = dict(zip(names, vector, strict=True))
    assert named["L dz,eta"] == pytest.approx(factor[3, 1])
    assert named["weight"] == 0.25


def test_any_signs_of_the_entries_give_a_covariance():
    vectors = np.random.default_rng(1).normal(size=(100, 15))
    _, covariances, _ = unpack(vectors)
    assert np.linalg.eigvalsh(covariances).min() > -1e-12


@pytest.mark.parametrize("form", ["log-cholesky", "log"])
def test_logarithms_are_one_to_one(form):
    vectors = np.random.default_rng(1).normal(size=(100, 15))
    parts = unpack(vectors, form=form)
    np.testing.assert_allclose(pack(*parts, form=form), vectors, rtol=1e-8, atol=1e-8)
    # The signs of the diagonal are lost without the logarithm.
    assert abs(pack(*unpack(vectors)) - vectors).max() > 1
    # Every vector has positive weights only if their logarithm is what it holds.
    assert (parts[2] > 0).all() == (form == "log")


def test_names_tell_the_logarithms():
    names = ["mean x", "mean y", "log L x,x", "L y,x", "log L y,y", "weight"]
    assert parameter_names(["x", "y"], form="log-cholesky") == names
    assert parameter_names(["x", "y"], form="log") == [*names[:-1], "log weight"]
    for form in FORMS:
        written = [name.startswith("log ") for name in parameter_names("wxyz", form=form)]
        assert log_entries(4, form=form).tolist() == written
    component = pack([[0.0]], [[[4.0]]], [0.5], form="log")
    np.testing.assert_allclose(component, [[0.0, np.log(2), np.log(0.5)]])


def test_the_culprit_is_named():
    covariances = np.tile(np.eye(2), (3, 1, 1))
    covariances[2, 1, 1] = -1.0
    with pytest.raises(ValueError, match="component 2 is not positive definite"):
        pack(np.zeros((3, 2)), covariances, np.ones(3))
    with pytest.raises(ValueError, match="expected shapes"):
        pack(np.zeros((3, 2)), covariances[:2], np.ones(3))
    for call in (
        lambda **form: pack(*unpack([[0.0, 1, 1]]), **form),
        lambda **form: parameter_names(["x"], **form),
    ):
        with pytest.raises(ValueError, match="'qr': choose one of cholesky, log-cholesky, log"):
            call(form="qr")
    with pytest.raises(ValueError, match="component 1 has 0, without a logarithm"):
        pack(np.zeros((2, 1)), np.ones((2, 1, 1)), [1.0, 0.0], form="log")
    with pytest.raises(ValueError, match=r"shape \(1, 7\) is not"):
        unpack(np.zeros((1, 7)))
