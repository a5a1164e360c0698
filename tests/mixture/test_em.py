"""Readable expectation-maximisation: its steps are those of the fast fits; shared checks."""

import numpy as np
import pytest

from hepgmm.mixture import small_kernels
from hepgmm.mixture.em import check_candidates, seed_responsibilities, start_streams, watch
from hepgmm.mixture.small import fit_many

RNG = np.random.default_rng(6)
POINTS = np.concatenate([RNG.normal(m, 0.5, (40, 2)) for m in (0.0, 6.0)])


def test_it_climbs_to_a_fixed_point_of_em():
    climb = watch(POINTS, 2, floors=1e-6, seed=1)
    assert (np.diff(climb.log_likelihood) > -1e-9).all()
    for mixture, reached in zip(climb.mixtures, climb.log_likelihood, strict=True):
        assert mixture.log_prob(POINTS).sum() == pytest.approx(reached, abs=1e-8)
    assert [mixture.converged for mixture in climb.mixtures[-2:]] == [False, True]
    fits = fit_many(POINTS, [0, 80], [2], floors=1e-6, n_init=5, seed=1)
    assert climb.log_likelihood[-1] == pytest.approx(fits.log_likelihood[0, 0], abs=80e-3)


def test_every_step_is_the_textbook_one():
    climb = watch(POINTS, 3, floors=1e-9, seed=2)
    before, after = climb.mixtures[:2]
    shares = before.responsibilities(POINTS)
    totals = shares.sum(axis=0)
    means = shares.T @ POINTS / totals[:, None]
    np.testing.assert_allclose(after.weights, totals / len(POINTS), rtol=1e-9)
    np.testing.assert_allclose(after.means, means, rtol=1e-9, atol=1e-9)
    for k, mean in enumerate(means):
        moments = (shares[:, k, None] * (POINTS - mean)).T @ (POINTS - mean) / totals[k]
        np.testing.assert_allclose(after.covariances[k], moments, rtol=1e-7, atol=1e-9)


def test_bad_input():
    with pytest.raises(ValueError, match="points: got 2, but at least 3 are needed"):
        watch(POINTS[:2], 3, seed=1)
    with pytest.raises(ValueError, match=r"n_components = \[2, 3\]: give one number"):
        watch(POINTS, [2, 3], seed=1)
    with pytest.raises(ValueError, match=r"floors = 0\.0"):
        watch(POINTS, 3, floors=0.0, seed=1)


@pytest.mark.parametrize("floor", [1e-6, 1.0])
def test_every_step_is_that_of_the_fast_fit(floor):
    floors, (n, d) = np.full(2, floor), POINTS.shape
    climb = watch(POINTS, 3, floors=floor, seed=3)
    scales, space = (floor**0.5,) * d, small_kernels.workspace(n, 3, d)
    raised = small_kernels.load(POINTS, space, scales)
    space.shares[:] = 0.0
    rng = np.random.default_rng(3)
    space.shares[:, :n] = seed_responsibilities(POINTS, 3, floors, rng).T
    space.scale[:] = 1.0
    for mixture, reached in zip(climb.mixtures, climb.log_likelihood, strict=True):
        fast = small_kernels.one_step(space, n, 3, raised, scales) - n * d * np.log(floor) / 2
        assert fast == pytest.approx(reached, rel=1e-9)
        np.testing.assert_allclose(space.weights, mixture.weights, rtol=1e-9)


def test_one_component_ends_where_the_fast_fit_does():
    fits, climb = fit_many(POINTS, [0, 80], 1, seed=1), watch(POINTS, 1, seed=1)
    assert climb.log_likelihood[-1] == pytest.approx(fits.log_likelihood[0, 0], rel=1e-9)
    np.testing.assert_allclose(climb.mixtures[-1].covariances, fits.covariances, rtol=1e-9)


def test_candidates_rise_and_starts_depend_on_their_number_alone():
    assert check_candidates([3, 1, 2, 1]).tolist() == [1, 2, 3]
    assert check_candidates(4).tolist() == [4]
    few, many = start_streams(1, [3], 1), start_streams(1, [2, 3], 5)
    assert few[0][0].generate_state(1) == many[1][0].generate_state(1)
