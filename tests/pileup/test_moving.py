"""Moves of tracks within a component, and the balance of an event, one kernel at a time."""

import numpy as np
import pytest
from scipy.stats import kstest

from hepgmm.pileup.shared_kernels import Draws, balance, make_templates, place


def one_component(points, mean, factor):
    """Tables of one event whose tracks all come from one component."""
    n = len(points)
    tracks = np.ones((n, 5), dtype=np.float32)
    tables = make_templates(
        tracks,
        np.array([0, n]),
        np.array([0]),
        None,
        Alone(mean, factor),
        np.zeros(n, dtype=bool),
        block_size=2,
    )
    anywhere = np.array([[-np.inf] * 4, [np.inf] * 4])
    return tables._replace(points=points, limits=anywhere)


def made_of(normals):
    """Draws of one event with these normals for its tracks."""
    n = len(normals)
    event = np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1), np.ones((1, 2))
    return Draws(*event, np.full(n, 0.5), normals)


class Alone:
    """A mixture of one component."""

    n_components = 1

    def __init__(self, mean, factor):
        self.means, self.covariances = mean[None], (factor @ factor.T)[None]

    def responsibilities(self, points):
        return np.ones((len(points), 1))


def test_displaced_tracks_move_in_their_distances_only():
    rng = np.random.default_rng(3)
    factor = np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    points = rng.normal(size=(50, 4)) @ factor.T / 2
    tables, point = one_component(points, np.zeros(4), factor), np.empty(4)
    redraw, draws = np.array([0, 0, 0.7, 0.7]), made_of(rng.normal(size=(50, 4)))
    for t in range(50):
        place(point, tables, t, 4, draws, t, redraw)
        np.testing.assert_allclose(point[:2], points[t, :2], atol=1e-12)
    assert (np.abs(point[2:] - points[-1, 2:]) > 1e-3).all()


def test_a_move_leaves_the_distribution_of_a_component_as_it_is():
    rng = np.random.default_rng(5)
    n, mean = 4000, np.array([0.5, -1.0, 2.0, 3.0])
    factor = np.tril(rng.normal(size=(4, 4)))
    factor[np.diag_indices(4)] = [0.3, 1.0, 2.0, 0.7]
    old = mean + rng.normal(size=(n, 4)) @ factor.T
    tables = one_component(old, mean, factor)
    for redraw in (np.array([0.2, 0.8, 0.5, 1.0]), np.ones(4), np.zeros(4)):
        new, point = np.empty((n, 4)), np.empty(4)
        draws = made_of(rng.normal(size=(n, 4)))
        for t in range(n):
            place(point, tables, t, 4, draws, t, redraw)
            new[t] = point
        whitened, before = ((x - mean) @ np.linalg.inv(factor).T for x in (new, old))
        for i in range(4):
            assert kstest(whitened[:, i], "norm").pvalue > 1e-3
            expected = np.sqrt(1 - redraw[i] ** 2)
            found = np.corrcoef(whitened[:, i], before[:, i])[0, 1]
            # Two tracks in a hundred stay.
            assert found == pytest.approx(expected, abs=0.06 + 4 / np.sqrt(n))


def test_tracks_in_the_tail_or_about_to_leave_the_range_stay():
    mean, factor, far = np.zeros(4), np.eye(4), np.array([[4.0, 0, 0, 0], [0.5, 0, 0, 0]])
    tables, point = one_component(far, mean, factor), np.empty(4)
    redraw, draws = np.full(4, 0.8), made_of(np.zeros((2, 4)))
    place(point, tables, 0, 4, draws, 0, redraw)
    np.testing.assert_array_equal(point, far[0])
    place(point, tables, 1, 4, draws, 1, redraw)
    np.testing.assert_allclose(point, 0.6 * far[1])
    narrow = tables._replace(limits=np.array([[0.4] * 4, [9.0] * 4]))
    place(point, narrow, 1, 4, draws, 1, redraw)
    np.testing.assert_array_equal(point, far[1])


@pytest.mark.parametrize("recoil", [0.25, 4.0])
@pytest.mark.parametrize(("n_prompt", "softer"), [(20, 1), (15, 1), (0, 1), (15, 100)])
def test_balance_lengthens_or_shortens_a_vector_sum(n_prompt, softer, recoil):
    rng = np.random.default_rng(1)
    tracks = rng.normal(size=(5, 20))
    tracks[:, 15:] /= 10
    tracks[:, :n_prompt] /= softer
    momentum = tracks[[0, 2]].copy()
    weight, total = (momentum**2).sum(axis=0), momentum.sum(axis=1)
    expected = np.sqrt(recoil * weight.sum()) * total / np.hypot(*total)
    balance(tracks, n_prompt, recoil, 1.0, 0.0)
    made = np.stack([tracks[0] * f(tracks[2]) for f in (np.cos, np.sin)])
    np.testing.assert_allclose(made.sum(axis=1), expected)
    # Prompt tracks share what is missing, or all if the prompt ones have little.
    if n_prompt and softer == 1:
        weight[n_prompt:] = 0
    share = (expected - total)[:, None] * weight / weight.sum()
    np.testing.assert_allclose(made - momentum, share, atol=1e-12)


def test_balance_of_two_opposite_tracks_is_left_alone():
    tracks = np.array([[1.0, -1.0], [0, 0], [2.0, -2.0], [0, 0], [0, 0]])
    balance(tracks, 2, 0.5, 1.0, 0.0)
    np.testing.assert_allclose(tracks[0], np.sqrt(5))
