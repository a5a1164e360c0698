"""Tracker volume and vertex smearing."""

import numpy as np
import pytest

from hepgmm.collide import draw_vertices, in_tracker


def test_tracker_volume_is_an_open_cylinder():
    x = [0.0, 1149.9, 1150.0, 813.0, 814.0, 0.0, 0.0, 0.0]
    y = [0.0, 0.0, 0.0, 813.0, 814.0, 0.0, 0.0, 0.0]
    z = [0.0, 0.0, 0.0, 0.0, 0.0, 3509.9, 3510.0, -3510.0]
    assert in_tracker(x, y, z).tolist() == [True, True, False, True, False, True, False, False]


def test_vertices_have_the_asked_spread():
    z = draw_vertices(20_000, seed=1)
    assert abs(z.mean()) < 4 * 53 / np.sqrt(len(z))
    assert abs(z.std() - 53) < 4 * 53 / np.sqrt(2 * len(z))
    assert np.array_equal(z, draw_vertices(20_000, seed=1))
    assert not np.array_equal(z, draw_vertices(20_000, seed=2))
    with pytest.raises(ValueError, match="sigma_z = -1 mm"):
        draw_vertices(3, seed=1, sigma_z=-1)
