"""Many small mixtures: laws of EM, equivariance, singular components, bad input."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as Estimator

from hepgmm.mixture import small_kernels
from hepgmm.mixture.em import e_step, m_step
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.mixture.small import find_singular, fit_many

FLOORS = (1e-6, 1e-4, 1e-2)
RNG = np.random.default_rng(7)


def prompt_and_displaced(n=80, seed=0):
    """Points with three features like tracks: two thirds of them exactly at zero in the last."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)) * [1.0, 3.0, 50.0]
    points[rng.random(n) < 2 / 3, 2] = 0.0
    return points


class Kernel:
    """The compiled steps on one set, next to the readable ones."""

    def __init__(self, points, responsibilities, floors):
        self.points, self.n, self.k = points, len(points), responsibilities.shape[1]
        self.scales = tuple(np.sqrt(floors).tolist())
        self.space = small_kernels.workspace(self.n, self.k, points.shape[1])
        self.floor = small_kernels.load(points, self.space, self.scales)
        self.space.shares[:] = 0.0
        self.space.shares[:, : self.n] = responsibilities.T
        self.space.scale[:] = 1.0

    def step(self):
        """Return the log-likelihood after one M step and the E step that measures it."""
        small_kernels.maximisation(self.space, self.n, self.k, self.floor, self.scales)
        reached = small_kernels.expectation(self.space, self.n, self.k, self.scales)
        return reached - self.n * np.log(self.scales).sum()

    def mixture(self):
        scales = np.array(self.scales)
        return GaussianMixture(
            self.space.weights,
            self.space.means * scales + self.points.mean(axis=0),
            self.space.covariances * np.outer(scales, scales),
        )


def start(n, k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(k, 0.3), size=n)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 6, 9])
@pytest.mark.parametrize(("n", "k"), [(80, 1), (80, 4), (5, 3), (16, 2), (333, 10)])
def test_steps_are_those_of_the_readable_twin(n, k, d):
    points = np.hstack([prompt_and_displaced(n, seed) for seed in range(3)])[:, :d]
    responsibilities, floors = start(n, k), (FLOORS * 3)[:d]
    kernel = Kernel(points, responsibilities, floors)
    for _ in range(5):
        reached = kernel.step()
        expected = m_step(points, responsibilities, np.array(floors))
        responsibilities, log_likelihood = e_step(points, *expected)
        mixture = kernel.mixture()
        np.testing.assert_allclose(mixture.weights, expected[0], rtol=1e-9)
        np.testing.assert_allclose(mixture.means, expected[1], rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(mixture.covariances, expected[2], rtol=1e-6, atol=1e-9)
        assert reached == pytest.approx(log_likelihood, rel=1e-9, abs=1e-8)


def test_steps_are_those_of_scikit_learn_without_floors():
    points = RNG.normal(size=(200, 4)) + 4 * RNG.integers(0, 2, size=(200, 1))
    kernel = Kernel(points, start(200, 2), np.full(4, 1e-12))
    kernel.step()
    begin = kernel.mixture()
    theirs = Estimator(
        2,
        weights_init=begin.weights,
        means_init=begin.means,
        precisions_init=np.linalg.inv(begin.covariances),
        reg_covar=0,
        tol=0,
        max_iter=30,
    )
    with pytest.warns(match="did not converge"):
        theirs.fit(points)
    for _ in range(30):
        reached = kernel.step()
    np.testing.assert_allclose(kernel.mixture().means, theirs.means_, rtol=1e-8)
    np.testing.assert_allclose(kernel.mixture().covariances, theirs.covariances_, rtol=1e-8)
    assert reached / 200 == pytest.approx(theirs.score(points), rel=1e-8)


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 120), st.integers(1, 8), st.integers(0, 10**6), st.integers(-12, 3))
def test_no_step_lowers_the_likelihood(n, k, seed, power):
    points = prompt_and_displaced(n, seed)
    kernel = Kernel(points, start(n, min(k, n), seed), np.full(3, 10.0**power))
    values = [kernel.step() for _ in range(25)]
    # Double precision knows eigenvalues to eps times the largest, here in units of the floor.
    condition = (kernel.space.x**2).max() / kernel.floor
    slack = 1e-12 * np.abs(values).max() + 0.5 * np.sqrt(n) * np.finfo(float).eps * condition
    assert (np.diff(values) >= -slack).all()


def test_floor_bounds_every_direction_and_is_counted():
    points = prompt_and_displaced(300)
    fits = fit_many(points, [0, 300], [3], floors=FLOORS, n_init=3, seed=1)
    roots = np.sqrt(FLOORS)
    values = np.linalg.eigvalsh(fits.covariances / np.outer(roots, roots))
    assert (values > 1 - 1e-9).all()
    np.testing.assert_array_equal(fits.floored, (values < 1 + 1e-6).sum(axis=1))
    assert fits.floored.max() >= 1
    free = fit_many(RNG.normal(size=(300, 3)), [0, 300], [1], floors=FLOORS, seed=1)
    assert not free.floored.any()


def test_log_likelihood_and_bic_are_those_of_the_mixture():
    points, offsets = np.concatenate([prompt_and_displaced(60, s) for s in (1, 2)]), [0, 60, 120]
    fits = fit_many(points, offsets, range(1, 6), floors=FLOORS, n_init=4, seed=1)
    for i in range(2):
        own, members = slice(*fits.offsets[i : i + 2]), points[offsets[i] : offsets[i + 1]]
        mixture = GaussianMixture(fits.weights[own], fits.means[own], fits.covariances[own])
        column = list(fits.candidates).index(fits.n_components[i])
        assert fits.criterion[i, column] == np.nanmin(fits.criterion[i])
        assert fits.log_likelihood[i, column] == pytest.approx(mixture.log_prob(members).sum())
        assert fits.criterion[i, column] == pytest.approx(mixture.bic(members))
        aic = fit_many(
            members, [0, 60], [int(fits.n_components[i])], floors=FLOORS, seed=1, criterion="aic"
        )
        own = GaussianMixture(aic.weights, aic.means, aic.covariances)
        assert aic.criterion[0, 0] == pytest.approx(own.aic(members))


def test_bic_of_one_gaussian_is_its_entropy():
    n = 20_000
    points = np.random.default_rng(3).multivariate_normal([0, 0], [[2.0, 1.0], [1.0, 3.0]], n)
    bic = fit_many(points, [0, n], [1], seed=1).criterion[0, 0]
    # The largest likelihood is -n times the entropy of the Gaussian with the sample's covariance.
    entropy = 0.5 * np.log(np.linalg.det(2 * np.pi * np.e * np.cov(points.T, bias=True)))
    assert bic == pytest.approx(2 * n * entropy + 5 * np.log(n), rel=1e-12)


def test_shift_scale_and_order_change_nothing():
    points, offsets = prompt_and_displaced(150), np.array([0, 40, 90, 150])
    kwargs = {"n_components": range(1, 5), "n_init": 4, "seed": 3}
    fits = fit_many(points, offsets, floors=FLOORS, **kwargs)
    factor = np.array([2.0, 0.25, 8.0])
    moved = fit_many(points * factor + 64.0, offsets, floors=FLOORS * factor**2, **kwargs)
    np.testing.assert_array_equal(moved.n_components, fits.n_components)
    np.testing.assert_allclose(moved.means, fits.means * factor + 64.0, rtol=1e-7, atol=1e-7)
    shuffled = np.concatenate([RNG.permutation(points[a:b]) for a, b in pairwise(offsets)])
    again = fit_many(shuffled, offsets, floors=FLOORS, **kwargs)
    for mine, theirs in zip(again, fits, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    swapped = fit_many(
        np.concatenate([points[90:], points[:40], points[40:90]]),
        [0, 60, 100, 150],
        floors=FLOORS,
        **kwargs,
    )
    np.testing.assert_array_equal(swapped.criterion, fits.criterion[[2, 0, 1]])


@pytest.mark.parametrize("kind", ["grid", "few places"])
def test_order_changes_nothing_where_sums_tie(kind):
    grid = np.stack(np.meshgrid(*[np.arange(5.0)] * 2, [0.0, 1.0]), axis=-1).reshape(-1, 3)
    points = grid if kind == "grid" else RNG.permutation(np.repeat(grid[:4], 10, axis=0))
    offsets = [0, len(points)]
    one = fit_many(points, offsets, range(1, 5), floors=1.0, n_init=4, seed=1)
    for _ in range(5):
        two = fit_many(RNG.permutation(points), offsets, range(1, 5), floors=1.0, n_init=4, seed=1)
        for mine, theirs in zip(two, one, strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_one_em_step_is_equivariant_under_rotation():
    points, responsibilities = prompt_and_displaced(90), start(90, 3)
    rotation = np.linalg.qr(RNG.normal(size=(3, 3)))[0]
    plain = Kernel(points, responsibilities, np.full(3, 1e-2))
    turned = Kernel(points @ rotation.T, responsibilities, np.full(3, 1e-2))
    for _ in range(10):
        assert plain.step() == pytest.approx(turned.step(), rel=1e-9)
    np.testing.assert_allclose(
        turned.mixture().covariances,
        rotation @ plain.mixture().covariances @ rotation.T,
        atol=1e-6,
    )


def test_neither_workers_nor_batches_change_a_fit(monkeypatch):
    points, offsets = prompt_and_displaced(400), np.arange(0, 401, 40)
    one = fit_many(points, offsets, range(1, 4), n_init=4, seed=1)
    monkeypatch.setattr("hepgmm.mixture.small.BATCH", 3)
    two = fit_many(points, offsets, range(1, 4), n_init=4, seed=1, workers=2)
    for mine, theirs in zip(two, one, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_candidates_beyond_every_event_take_no_room():
    points = prompt_and_displaced(40)
    fits = fit_many(points, [0, 20, 40], range(1, 10**5, 5 * 10**3), seed=1)
    assert np.isnan(fits.criterion[:, 1:]).all() and fits.n_components.tolist() == [1, 1]


def test_more_starts_never_do_worse():
    points, offsets = prompt_and_displaced(400), np.arange(0, 401, 40)
    one = fit_many(points, offsets, range(1, 6), seed=1)
    five = fit_many(points, offsets, range(1, 6), seed=1, n_init=5)
    assert (five.log_likelihood >= one.log_likelihood).all()
    assert (five.log_likelihood > one.log_likelihood + 1).any()


@pytest.mark.parametrize("seed", range(8))
def test_ten_starts_see_past_the_farthest_tracks(seed):
    rng = np.random.default_rng(seed)
    points, displaced = rng.normal(size=(80, 3)), rng.random(80) < 0.3
    points[:, 2] = np.where(displaced, 100 * rng.standard_t(2, size=80), 1e-3 * points[:, 2])
    known = Kernel(points, np.column_stack([displaced, ~displaced]).astype(float), np.full(3, 1e-6))
    reached = max(known.step() for _ in range(100))
    fits = fit_many(points, [0, 80], 2, n_init=10, seed=seed)
    assert fits.log_likelihood[0, 0] > reached - 0.1


def test_giving_up_keeps_most_of_what_further_starts_gain(monkeypatch):
    points, offsets = prompt_and_displaced(4000), np.arange(0, 4001, 80)
    kwargs = {"n_components": range(1, 7), "seed": 1}
    one = fit_many(points, offsets, **kwargs).log_likelihood
    three = fit_many(points, offsets, n_init=3, **kwargs).log_likelihood
    monkeypatch.setattr("hepgmm.mixture.small.HOPE", np.inf)
    patient = fit_many(points, offsets, n_init=3, **kwargs).log_likelihood
    assert (patient >= three).all() and (three >= one).all()
    assert (three - one).sum() > 0.7 * (patient - one).sum()


def test_a_line_far_out_keeps_its_correlation():
    points = np.arange(20.0)[:, None] * [1e60, 2e60]
    fits = fit_many(points, [0, 20], 1, floors=1.0, seed=1)
    np.testing.assert_allclose(fits.covariances[0], np.cov(points.T, bias=True), rtol=1e-9)
    assert fits.floored.tolist() == [1]


def test_a_fit_does_not_depend_on_the_other_candidates():
    points, offsets = prompt_and_displaced(100), [0, 40, 100]
    alone = fit_many(points, offsets, 3, n_init=4, seed=1)
    among = fit_many(points, offsets, range(1, 6), n_init=4, seed=1)
    np.testing.assert_array_equal(alone.log_likelihood[:, 0], among.log_likelihood[:, 2])


def test_many_features_far_above_their_floors():
    points = np.random.default_rng(1).normal(size=(60, 25)) * 1e12
    fits = fit_many(points, [0, 60], [1, 2], seed=1)
    assert np.isfinite(fits.criterion).all()
    one = fits.log_likelihood[0, 0]
    scaled = fit_many(points / 1e12, [0, 60], 1, floors=1e-6, seed=1).log_likelihood[0, 0]
    assert one == pytest.approx(scaled - 60 * 25 * np.log(1e12), rel=1e-9)


def test_known_mixture_is_recovered():
    truth = GaussianMixture(
        [0.5, 0.3, 0.2],
        [[0.0, 0.0], [12.0, 0.0], [0.0, 15.0]],
        [np.eye(2), [[2.0, 1.0], [1.0, 1.0]], 0.5 * np.eye(2)],
    )
    n = 3000
    fits = fit_many(truth.sample(n, seed=4), [0, n], range(1, 6), n_init=3, seed=2)
    assert fits.n_components[0] == 3 and fits.converged.all()
    order = np.argsort(-fits.weights)
    errors = np.sqrt(truth.weights * (1 - truth.weights) / n)
    assert (np.abs(fits.weights[order] - truth.weights) < 4 * errors).all()
    spread = np.sqrt(np.diagonal(truth.covariances, axis1=1, axis2=2))
    errors = spread / np.sqrt(n * truth.weights)[:, None]
    assert (np.abs(fits.means[order] - truth.means) < 4 * errors).all()


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((20, 3)),
        np.repeat(RNG.normal(size=(2, 3)), 10, axis=0),
        np.arange(20.0)[:, None] * [1.0, 2.0, 3.0],
        RNG.normal(size=(20, 3)) * [1.0, 1.0, 0.0],
        RNG.normal(size=(20, 3)) * [1e-12, 1.0, 1e12],
        RNG.normal(size=(20, 3)) * 1e12,
        RNG.normal(size=(20, 3)).astype(np.float32),
        RNG.normal(size=(2, 3)),
    ],
    ids=["one place", "two places", "a line", "constant", "scales", "far", "float32", "two"],
)
def test_degenerate_sets_have_finite_fits(points):
    fits = fit_many(points, [0, len(points)], range(1, 6), n_init=4, seed=1)
    tried = min(5, len(points))
    assert np.isfinite(fits.criterion[0, :tried]).all()
    assert np.isnan(fits.criterion[0, tried:]).all()
    np.linalg.cholesky(fits.covariances)
    assert fits.weights.sum() == pytest.approx(1)
    assert (fits.floors >= 1e-6).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros(5)}, r"points: expected shape \(n, d\), got \(5,\)"),
        ({"offsets": [0, 3, 9]}, "offsets: they must rise from 0 to the number of points, 6"),
        ({"offsets": [0, 4, 3, 6]}, "offsets: they must rise"),
        ({"offsets": np.array([0, 4, 3, 6], dtype=np.uint64)}, "offsets: they must rise"),
        ({"offsets": [0.0, 6.0]}, "offsets: expected one dimension of integers"),
        ({"points": "track", "offsets": [0, 1]}, "points: expected numbers in one array"),
        ({"points": np.full((6, 1), 1e200)}, r"points: row 0 holds 1e\+200, too large for a floor"),
        ({"n_components": 2.0}, "n_components: give positive whole numbers"),
        ({"n_init": 1.5}, "n_init = 1.5: give a whole number of at least 1"),
        ({"floors": ["x"]}, "floors: expected numbers in one array"),
        ({"n_components": [0, 1]}, "n_components: give positive whole numbers"),
        ({"n_init": 0}, "n_init = 0: give a whole number of at least 1"),
        ({"workers": 0}, "workers = 0: give a whole number of at least 1"),
        ({"floors": 0.0}, "floors = 0.0: give positive numbers"),
        ({"floors": [1.0, 2.0]}, "floors: give one number or one for each of the 1 features"),
        ({"floors": float("nan")}, "floors = nan"),
        ({"criterion": "dic"}, "criterion = 'dic': choose one of bic, aic"),
        ({"offsets": [0, 5, 6]}, "event 1 has 1, but at least 2 are needed"),
        ({"n_components": [4]}, "event 0 has 3, but at least 4 are needed"),
        ({"points": [[0.0], [1], [2], [3], [np.inf], [5]]}, "event 1 holds a NaN"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"points": np.arange(6.0)[:, None], "offsets": [0, 3, 6], "n_components": [1]}
    with pytest.raises(ValueError, match=message):
        fit_many(**arguments | change, seed=1)


CLOUD_RNG = np.random.default_rng(5)
#: Event 0 is a cloud; event 1 a cloud and, far off, six points on a line.
CLOUD = CLOUD_RNG.normal(size=(2, 60, 3))
LINE = 50.0 + np.arange(6)[:, None] * np.array([1.0, 2.0, 0.0])
POINTS = np.concatenate([CLOUD[0], CLOUD[1], LINE])
OFFSETS = [0, 60, 126]


def test_event_component_eigenvalue_and_floor():
    floors = np.array([1e-4, 1e-4, 1e-2])
    fits = fit_many(POINTS, OFFSETS, [2], floors=floors, n_init=5, seed=1)
    found = find_singular(POINTS, OFFSETS, fits)
    assert found.event.tolist() == [1]
    line = fits.offsets[1] + found.component[0]
    np.testing.assert_allclose(fits.means[line], LINE.mean(axis=0), rtol=1e-9)
    assert found.tracks[0] == pytest.approx(6.0)
    assert found.eigenvalue[0] == pytest.approx(0.0, abs=1e-12)
    # The direction is across the line; its floor lies between those of the features.
    direction = found.direction[0]
    assert direction @ direction == pytest.approx(1.0)
    assert direction @ [1.0, 2.0, 0.0] == pytest.approx(0.0, abs=1e-9)
    assert floors[0] * (1 - 1e-9) <= found.floor[0] <= floors[2] * (1 + 1e-9)
    # In units of the floors, it is a direction of variance one of the fitted covariance.
    white, scales = direction * np.sqrt(floors), np.sqrt(floors)
    matrix = fits.covariances[line] / np.outer(scales, scales)
    np.testing.assert_allclose(matrix @ white, white, rtol=1e-6, atol=1e-9)
    assert "event 1, component" in str(found)
    assert "floor 0.0" in str(found)


def test_the_eigenvalue_is_that_of_the_points():
    points = CLOUD_RNG.normal(size=(200, 2)) * [1.0, 1e-3]
    fits = fit_many(points, [0, 200], [1], floors=1e-4, seed=1)
    found = find_singular(points, [0, 200], fits)
    smallest = np.linalg.eigvalsh(np.cov(points.T, bias=True))[0]
    assert found.eigenvalue[0] == pytest.approx(smallest, rel=1e-9)
    assert found.floor[0] == pytest.approx(1e-4)


def test_components_without_points():
    points = np.repeat([[0.0, 0.0], [3.0, 4.0]], 5, axis=0)
    fits = fit_many(points, [0, 10], [5], seed=1)
    found = find_singular(points, [0, 10], fits)
    assert len(found.event) == 5
    assert sorted(found.tracks.round(6))[-2:] == [5.0, 5.0]
    assert (found.eigenvalue == 0).all()


def test_nothing_to_report():
    fits = fit_many(CLOUD[0], [0, 60], [1], seed=1)
    found = find_singular(CLOUD[0], [0, 60], fits)
    assert len(found.event) == 0
    assert found.direction.shape == (0, 3)
    assert str(found) == "0 components whose smallest eigenvalue is below the floor"
    with pytest.raises(ValueError, match="fits: they are of 1 events, offsets of 2"):
        find_singular(POINTS, OFFSETS, fits)
