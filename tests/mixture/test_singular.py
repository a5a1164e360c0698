"""Components that would be singular: who they are, and what was done to them."""

import numpy as np
import pytest

from hepgmm.mixture.small import find_singular, fit_many

RNG = np.random.default_rng(5)
#: Event 0 is a cloud; event 1 a cloud and, far off, six points on a line.
CLOUD = RNG.normal(size=(2, 60, 3))
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
    points = RNG.normal(size=(200, 2)) * [1.0, 1e-3]
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
