"""One large mixture: laws of EM, equivariance, searches, merging, bad input."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp
from sklearn.mixture import GaussianMixture as Estimator

from hepgmm.mixture import large_kernels as kernels
from hepgmm.mixture.em import e_step, m_step
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.mixture.large import PointSet, fit_one, shares_of, strides
from hepgmm.mixture.large_kernels import merge, seed_labels
from hepgmm.mixture.small import fit_many

FLOORS = np.array([1e-6, 1e-4, 1e-2, 1e-6, 1.0])
TRUTH = GaussianMixture(
    [0.5, 0.3, 0.2],
    [[0.0, 0.0], [12.0, 0.0], [0.0, 15.0]],
    [np.eye(2), [[2.0, 1.0], [1.0, 1.0]], 0.5 * np.eye(2)],
)


def places_and_clouds(n=400, seed=0):
    """Five features: two thirds of the points at zero in the third, half at one in the fourth."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 5)) * [1.0, 3.0, 50.0, 0.1, 10.0]
    points[rng.random(n) < 2 / 3, 2] = 0.0
    points[rng.random(n) < 1 / 2, 3] = 1.0
    points[:, 0] += 4 * (points[:, 3] == 1.0)
    return points


def responsibilities_of(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.3), size=n)


def climb_from(points, floors, responsibilities, steps):
    """Log-likelihoods after 1, 2, … steps from some responsibilities, and the mixture."""
    own = PointSet(points, np.broadcast_to(floors, points.shape[1:]))
    state, _ = own.maximised(shares_of(responsibilities))
    values = []
    for _ in range(steps):
        values.append(own.climb(state, 0).log_likelihood)
        fit = own.climb(state, 1, -np.inf)
        previous, state = state, fit.state
    return np.array(values), own.mixture(fit._replace(state=previous)), own


def reference(points, floors, responsibilities, steps):
    """The same by the readable steps, and the mixture as plain arrays."""
    values = []
    for _ in range(steps):
        parameters = m_step(points, responsibilities, floors)
        responsibilities, log_likelihood = e_step(points, *parameters)
        values.append(log_likelihood)
    return np.array(values), parameters


@pytest.mark.parametrize(("n", "k"), [(400, 1), (400, 6), (9, 3), (128, 2), (129, 4)])
def test_steps_are_those_of_the_readable_twin(n, k):
    points, begin = places_and_clouds(n), responsibilities_of(n, k)
    values, mixture, _ = climb_from(points, FLOORS, begin, 6)
    expected, (weights, means, covariances) = reference(points, FLOORS, begin, 6)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(mixture.weights, weights, rtol=1e-8)
    np.testing.assert_allclose(mixture.means, means, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(mixture.covariances, covariances, rtol=1e-6, atol=1e-9)


def test_steps_are_those_of_scikit_learn_without_floors():
    rng = np.random.default_rng(7)
    points = rng.normal(size=(500, 5)) + 4 * rng.integers(0, 3, size=(500, 1))
    begin = responsibilities_of(500, 3)
    _, first, _ = climb_from(points, 1e-12, begin, 1)
    theirs = Estimator(
        3,
        weights_init=first.weights,
        means_init=first.means,
        precisions_init=np.linalg.inv(first.covariances),
        reg_covar=0,
        tol=0,
    )
    for steps in (1, 20):
        theirs.set_params(max_iter=steps)
        with pytest.warns(match="did not converge"):
            theirs.fit(points)
        values, mine, _ = climb_from(points, 1e-12, begin, steps + 1)
        np.testing.assert_allclose(mine.weights, theirs.weights_, rtol=1e-8)
        np.testing.assert_allclose(mine.means, theirs.means_, rtol=1e-8)
        np.testing.assert_allclose(mine.covariances, theirs.covariances_, rtol=1e-8, atol=1e-10)
        assert values[-1] / 500 == pytest.approx(theirs.score(points), rel=1e-8)


def test_components_left_out_of_a_point_change_no_digit():
    points = places_and_clouds(1000)
    own = PointSet(points, FLOORS)
    state = own.start(12, np.random.default_rng(1))
    shares, terms = kernels.room(12, 1000, 5)
    kernels.factorise(*state, own.floor, terms)
    best = np.zeros(1000, dtype=np.int64)
    reached = kernels.expectation(own.blocks, terms, best, shares, own.unit)
    away = own.points[:, None] - state.means
    white = np.einsum("kij,nkj->nki", terms.whiteners, away)
    log_prob = terms.log_norms - 0.5 * (white**2).sum(axis=2)
    total = logsumexp(log_prob, axis=1)
    dense = np.exp(log_prob - total[:, None])
    found = np.zeros_like(dense)
    for k in range(12):
        found[shares.index[k, : shares.count[k]], k] = shares.value[k, : shares.count[k]]
    assert 0 < shares.count.sum() < 0.6 * dense.size
    np.testing.assert_allclose(found, dense, rtol=1e-9, atol=1e-19)
    np.testing.assert_array_equal(best, dense.argmax(axis=1))
    assert reached == pytest.approx(total.sum(), rel=1e-13)
    # A good guess of the best component saves time and changes nothing.
    assert kernels.expectation(own.blocks, terms, best, shares, own.unit) == reached


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 300), st.integers(1, 8), st.integers(0, 10**6), st.integers(-12, 3))
def test_no_step_lowers_the_likelihood(n, k, seed, power):
    points = places_and_clouds(n, seed)
    begin = responsibilities_of(n, min(k, n), seed)
    values, _, own = climb_from(points, 10.0**power, begin, 25)
    # Double precision knows eigenvalues to eps times the largest, here in units of the floor.
    condition = (own.points**2).max() / own.floor
    slack = 1e-12 * np.abs(values).max() + 0.5 * np.sqrt(n) * np.finfo(float).eps * condition
    assert (np.diff(values) >= -slack).all()


def test_climb_ends_where_the_growth_falls_below_the_tolerance():
    points = places_and_clouds(500)
    own = PointSet(points, FLOORS)
    begin = own.start(6, np.random.default_rng(0))
    fit = own.climb(begin, 200, 1e-3)
    assert fit.converged and fit.iterations > 2
    last, before = (own.climb(begin, fit.iterations - back, 1e-3) for back in (1, 2))
    assert not last.converged and last.iterations == fit.iterations - 1
    assert (
        fit.log_likelihood - last.log_likelihood
        < 0.5
        <= last.log_likelihood - before.log_likelihood
    )
    assert not own.mixture(last).converged


def test_floors_bound_every_direction_and_are_counted():
    points = places_and_clouds(600)
    scan = fit_one(points, [4], floors=FLOORS, seed=1)
    roots = np.sqrt(FLOORS)
    values = np.linalg.eigvalsh(scan.mixture.covariances / np.outer(roots, roots))
    assert (values > 1 - 1e-9).all()
    np.testing.assert_array_equal(scan.floored, (values < 1 + 1e-6).sum(axis=1))
    assert scan.floored.max() >= 1
    np.testing.assert_array_equal(scan.floors, FLOORS)
    free = fit_one(np.random.default_rng(1).normal(size=(300, 3)), [1], seed=1)
    assert not free.floored.any()


@pytest.mark.parametrize("search", ["coarse", "exhaustive"])
@pytest.mark.parametrize("criterion", ["bic", "aic"])
def test_report_is_that_of_the_mixture(search, criterion):
    points = places_and_clouds()
    scan = fit_one(points, range(1, 13), floors=FLOORS, criterion=criterion, search=search, seed=1)
    assert scan.candidates.tolist() == list(range(1, 13))
    assert {a.shape for a in scan[2:6]} == {(12, 3)}
    fitted = np.isfinite(scan.criterion)
    np.testing.assert_array_equal(fitted, np.isfinite(scan.log_likelihood))
    np.testing.assert_array_equal(fitted, scan.iterations > 0)
    assert (fitted.all(axis=1) == fitted.any(axis=1)).all()
    np.testing.assert_array_equal(scan.converged, fitted)
    assert scan.mixture.converged
    best = getattr(scan.mixture, criterion)(points)
    assert np.nanmin(scan.criterion) == pytest.approx(best, rel=1e-9)
    column = np.flatnonzero(scan.candidates == scan.mixture.n_components)[0]
    assert scan.criterion[column].min() == np.nanmin(scan.criterion)
    near = fitted[max(column - 1, 0) : column + 2]
    assert near.all() and (search == "coarse" or fitted.all())
    n_components, lowest, spread = scan.best()
    assert n_components.tolist() == scan.candidates[fitted.all(axis=1)].tolist()
    np.testing.assert_array_equal(lowest, scan.criterion[fitted.all(axis=1)].min(axis=1))
    assert np.isfinite(spread).all() and spread[0] == pytest.approx(0, abs=1e-6)


def test_bic_of_one_gaussian_is_the_closed_form():
    points = places_and_clouds()
    mean, covariance = points.mean(axis=0), np.cov(points.T, bias=True)
    closed = GaussianMixture([1.0], mean[None], covariance[None]).bic(points)
    assert fit_one(points, 1, seed=1).criterion[0] == pytest.approx(closed, rel=1e-9)


def test_known_mixture_is_recovered():
    n = 3000
    scan = fit_one(TRUTH.sample(n, seed=4), range(1, 31), floors=1e-3, seed=2)
    mixture = scan.mixture
    assert mixture.n_components == 3 and mixture.converged
    order = np.argsort(-mixture.weights)
    errors = np.sqrt(TRUTH.weights * (1 - TRUTH.weights) / n)
    assert (np.abs(mixture.weights[order] - TRUTH.weights) < 4 * errors).all()
    spread = np.sqrt(np.diagonal(TRUTH.covariances, axis1=1, axis2=2))
    errors = spread / np.sqrt(n * TRUTH.weights)[:, None]
    assert (np.abs(mixture.means[order] - TRUTH.means) < 4 * errors).all()


def test_coarse_search_finds_the_exhaustive_optimum_with_fewer_fits():
    rng = np.random.default_rng(3)
    corners = np.array([[i, j, k] for i in (0, 9) for j in (0, 9) for k in (0, 9)])
    points = (corners + rng.normal(size=(60, 8, 3))).reshape(-1, 3)
    coarse, full = (
        fit_one(points, range(1, 41), n_init=2, floors=1e-2, search=search, seed=1)
        for search in ("coarse", "exhaustive")
    )
    assert coarse.mixture.n_components == full.mixture.n_components == 8
    assert np.nanmin(coarse.criterion) == pytest.approx(full.criterion.min(), abs=1)
    assert np.isfinite(coarse.criterion).sum() < np.isfinite(full.criterion).sum() / 2


def test_strides_go_from_the_largest_candidate_to_the_smallest():
    assert (strides(np.arange(1, 101)) + np.ones(7)).tolist() == [100, 50, 25, 12, 6, 3, 1]
    for candidates in ([1], [7], [2, 3], [1, 90, 91, 100], list(range(3, 60))):
        columns = strides(np.array(candidates))
        assert columns[0] == len(candidates) - 1 and columns[-1] == 0
        assert (np.diff(columns) < 0).all()


def test_shift_scale_and_order_change_nothing():
    points = places_and_clouds(300)
    scan = fit_one(points, range(1, 9), floors=FLOORS, seed=3)
    shuffled = fit_one(
        np.random.default_rng(5).permutation(points), range(1, 9), floors=FLOORS, seed=3
    )
    np.testing.assert_array_equal(shuffled.criterion, scan.criterion)
    np.testing.assert_array_equal(shuffled.mixture.means, scan.mixture.means)
    factor = np.array([2.0, 0.25, 8.0, 1.0, 0.5])
    moved = fit_one(points * factor + 64.0, range(1, 9), floors=FLOORS * factor**2, seed=3)
    assert moved.mixture.n_components == scan.mixture.n_components
    np.testing.assert_allclose(
        moved.mixture.means, scan.mixture.means * factor + 64.0, rtol=1e-6, atol=1e-6
    )
    jacobian = 2 * 300 * np.log(factor).sum()
    np.testing.assert_allclose(moved.criterion, scan.criterion + jacobian, rtol=1e-6)


def test_em_steps_are_equivariant_under_rotation():
    points, begin = places_and_clouds(300), responsibilities_of(300, 3)
    rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    plain, mixture, _ = climb_from(points, 1e-2, begin, 10)
    turned, other, _ = climb_from(points @ rotation.T, 1e-2, begin, 10)
    np.testing.assert_allclose(turned, plain, rtol=1e-9)
    expected = rotation @ mixture.covariances @ rotation.T
    np.testing.assert_allclose(other.covariances, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("search", ["coarse", "exhaustive"])
def test_workers_change_nothing_and_the_seed_does(search):
    points = places_and_clouds(300)
    one, two, other = (
        fit_one(points, [2, 5, 9], floors=FLOORS, search=search, seed=seed, workers=workers)
        for seed, workers in ((1, 1), (1, 2), ([3, 4], 2))
    )
    for mine, theirs in zip(two[1:], one[1:], strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(two.mixture.covariances, one.mixture.covariances)
    assert (other.criterion[-1] != one.criterion[-1]).any()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((20, 3)),
        np.repeat(np.random.default_rng(1).normal(size=(2, 3)), 10, axis=0),
        np.arange(20.0)[:, None] * [1.0, 2.0, 3.0],
        np.random.default_rng(2).normal(size=(20, 3)) * [1.0, 1.0, 0.0],
        np.random.default_rng(3).normal(size=(20, 3)) * [1e-12, 1.0, 1e12],
        np.random.default_rng(4).normal(size=(200, 3)) * 1e12,
        np.random.default_rng(5).normal(size=(20, 3)) * 1e-12,
        np.random.default_rng(6).normal(size=(20, 3)).astype(np.float32),
        np.random.default_rng(7).normal(size=(2, 3)),
        places_and_clouds(200),
    ],
    ids=[
        "one place",
        "two places",
        "a line",
        "constant",
        "scales",
        "far",
        "near",
        "float32",
        "two",
        "deltas",
    ],
)
@pytest.mark.parametrize("search", ["coarse", "exhaustive"])
def test_degenerate_sets_have_finite_fits(points, search):
    scan = fit_one(points, range(1, 31), n_init=2, search=search, seed=1)
    assert scan.candidates.tolist() == list(range(1, min(30, len(points)) + 1))
    assert np.isfinite(scan.best()[1]).all()
    assert scan.mixture.weights.sum() == pytest.approx(1)
    assert (scan.floors >= 1e-6).all() and np.ptp(scan.floors) == 0
    reached = np.nanmin(scan.criterion)
    assert scan.mixture.bic(points.astype(np.float64)) == pytest.approx(reached, rel=1e-5)


def test_features_of_very_different_scales_with_their_own_floors():
    scales = np.array([1e-12, 1.0, 1e12])
    points = np.random.default_rng(8).normal(size=(300, 3)) + 5 * (np.arange(300) % 2)[:, None]
    plain = fit_one(points, range(1, 7), floors=1e-6, seed=1)
    scaled = fit_one(points * scales, range(1, 7), floors=1e-6 * scales**2, seed=1)
    np.testing.assert_allclose(scaled.floors, 1e-6 * scales**2, rtol=1e-12)
    np.testing.assert_allclose(scaled.mixture.means, plain.mixture.means * scales, rtol=1e-6)


def test_whole_numbers_are_fitted_with_the_variance_of_rounding():
    counts = np.random.default_rng(9).negative_binomial(3, 0.1, size=2000)[:, None]
    scan = fit_one(counts, range(1, 11), floors=1 / 12, seed=1)
    assert scan.mixture.covariances.min() >= 1 / 12 * (1 - 1e-9)
    assert 1 < scan.mixture.n_components < 10
    assert scan.mixture.weights @ scan.mixture.means[:, 0] == pytest.approx(counts.mean())


def test_progress_bar_only_when_asked(capfd):
    fit_one(places_and_clouds(50), [1], seed=1)
    assert capfd.readouterr().err == ""
    fit_one(places_and_clouds(50), [1], seed=1, progress=True)
    assert "3fit" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros(5)}, r"points: expected shape \(n, d\), got \(5,\)"),
        ({"n_components": [0, 1]}, "n_components: give positive whole numbers"),
        ({"n_components": []}, "n_components: give positive whole numbers"),
        ({"n_components": [1.5]}, "n_components: give positive whole numbers"),
        ({"n_init": 0}, "n_init = 0: give a whole number of at least 1"),
        ({"workers": 0}, "workers = 0: give a whole number of at least 1"),
        ({"floors": 0.0}, "floors = 0.0: give positive numbers"),
        ({"floors": [1.0, 2.0]}, "floors: give one number or one for each of the 1 features"),
        ({"floors": float("nan")}, "floors = nan"),
        ({"criterion": "dic"}, "criterion = 'dic': choose one of bic, aic"),
        ({"search": "fine"}, "search = 'fine': choose one of coarse, exhaustive"),
        ({"points": [[1.0]]}, "points: got 1, but at least 2 are needed"),
        ({"n_components": [7]}, "points: got 6, but at least 7 are needed"),
        ({"points": [[0.0], [1], [2], [3], [np.inf], [5]]}, "points: row 4 holds a NaN"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"points": np.arange(6.0)[:, None], "n_components": [1]}
    with pytest.raises(ValueError, match=message):
        fit_one(**arguments | change, seed=1)


def test_directions_at_the_floor_are_counted_at_any_scale():
    rng = np.random.default_rng(1)
    plane = np.linalg.qr(rng.normal(size=(4, 4)))[0][:, :2]
    for scale in (1.0, 1e2, 1e4):
        points = scale * rng.normal(size=(300, 2)) @ plane.T
        scan = fit_one(points, 1, floors=1e-6, seed=1)
        assert scan.floored.tolist() == [2]
        assert fit_many(points, [0, 300], 1, floors=1e-6, seed=1).floored.tolist() == [2]


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
