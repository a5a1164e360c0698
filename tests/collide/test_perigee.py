"""Perigee parameters against Delphes, against a propagated helix, and under symmetries."""

import numpy as np
import pytest

from hepgmm.collide import perigee
from hepgmm.collide.perigee import CURVATURE


def angle(difference):
    """An angular difference in [-π, π)."""
    return (difference + np.pi) % (2 * np.pi) - np.pi


@pytest.fixture
def particles():
    """Random production points and momenta of charged particles."""
    rng = np.random.default_rng(3)
    n = 2000
    radius, azimuth = 10 ** rng.uniform(-3, 3, n), rng.uniform(-np.pi, np.pi, n)
    pt, direction = 10 ** rng.uniform(-0.5, 2, n), rng.uniform(-np.pi, np.pi, n)
    return {
        "x": radius * np.cos(azimuth),
        "y": radius * np.sin(azimuth),
        "z": rng.normal(0, 300, n),
        "px": pt * np.cos(direction),
        "py": pt * np.sin(direction),
        "pz": pt * np.sinh(rng.normal(0, 2, n)),
        "charge": rng.choice([-1.0, 1.0], n),
    }


def test_agrees_with_delphes(shared_data):
    table = np.genfromtxt(
        shared_data / "delphes_perigee_reference.csv", delimiter=",", names=True, dtype=np.float64
    )
    names = ["x_mm", "y_mm", "z_mm", "px_gev", "py_gev", "pz_gev", "charge"]
    track = perigee(*(table[name] for name in names), field=2.0)
    assert len(table) == 2000
    assert (np.abs(table["delphes_d0_mm"]) > 0.1).sum() == 700
    assert np.abs(track.d0 - table["delphes_d0_mm"]).max() < 2e-4
    assert np.abs(track.dz - table["delphes_dz_mm"]).max() < 2e-4
    assert np.abs(angle(track.phi - table["delphes_phi_rad"])).max() < 1e-6


def propagate(particle, turning_angle, field):
    """Where the helix is and what its momentum is after the momentum turned by an angle."""
    pt = np.hypot(particle["px"], particle["py"])
    # A positive charge in a field along +z turns clockwise.
    radius = pt / (CURVATURE * particle["charge"] * field)
    before = np.arctan2(particle["py"], particle["px"])
    after = before - turning_angle
    return {
        "x": particle["x"] + radius * (np.sin(before) - np.sin(after)),
        "y": particle["y"] - radius * (np.cos(before) - np.cos(after)),
        "z": particle["z"] + radius * turning_angle * particle["pz"] / pt,
        "px": pt * np.cos(after),
        "py": pt * np.sin(after),
        "pz": particle["pz"],
        "charge": particle["charge"],
    }


def test_is_the_point_of_the_helix_closest_to_the_axis(particles):
    # Golden-section search over one turn for the smallest distance to the z axis.
    scan = np.linspace(-np.pi, np.pi, 721)[:, None]
    step = scan[1, 0] - scan[0, 0]
    points = propagate(particles, scan, 2.0)
    best = scan[np.argmin(np.hypot(points["x"], points["y"]), axis=0), 0]
    low, high = best - step, best + step
    shrink = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - shrink * (high - low), low + shrink * (high - low)
        at_left, at_right = (propagate(particles, a, 2.0) for a in (left, right))
        nearer = np.hypot(at_left["x"], at_left["y"]) < np.hypot(at_right["x"], at_right["y"])
        low, high = np.where(nearer, low, left), np.where(nearer, right, high)
    closest = propagate(particles, (low + high) / 2, 2.0)
    track = perigee(**particles)
    # A search for a minimum finds its place to the square root of the machine precision.
    scale = 1 + np.hypot(particles["x"], particles["y"])
    assert (np.abs(np.abs(track.d0) - np.hypot(closest["x"], closest["y"])) / scale).max() < 1e-9
    assert np.abs(angle(track.phi - np.arctan2(closest["py"], closest["px"]))).max() < 1e-5
    slope = np.abs(particles["pz"]) / np.hypot(particles["px"], particles["py"])
    radius = np.hypot(particles["px"], particles["py"]) / (CURVATURE * 2.0)
    assert (np.abs(track.dz - closest["z"]) / (1 + slope * radius)).max() < 1e-5


def test_signed_d0_and_phi_give_back_the_perigee_point(particles):
    track = perigee(**particles)
    # The perigee lies at d0 (sin φ, −cos φ); a particle started there has the same parameters.
    again = perigee(
        track.d0 * np.sin(track.phi),
        -track.d0 * np.cos(track.phi),
        track.dz,
        track.pt * np.cos(track.phi),
        track.pt * np.sin(track.phi),
        particles["pz"],
        particles["charge"],
    )
    np.testing.assert_allclose(again.d0, track.d0, rtol=0, atol=1e-9)
    np.testing.assert_allclose(again.dz, track.dz, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(angle(again.phi - track.phi), 0, atol=1e-9)


@pytest.mark.parametrize("turn", [0.3, -1.1])
def test_does_not_depend_on_where_on_the_helix_one_starts(particles, turn):
    track, moved = perigee(**particles), perigee(**propagate(particles, turn, 2.0))
    # A start that is moved across the far side of the circle belongs to the next turn.
    pt = np.hypot(particles["px"], particles["py"])
    k = CURVATURE * particles["charge"] * 2.0 / pt
    turned = np.arctan2(
        np.sin(np.arctan2(particles["py"], particles["px"]) - track.phi),
        np.cos(np.arctan2(particles["py"], particles["px"]) - track.phi),
    )
    same = np.abs(turned - turn) < np.pi - 1e-3
    assert same.mean() > 0.5
    radius = 1 / np.abs(k)
    assert (np.abs(moved.d0 - track.d0) / radius).max() < 1e-9
    assert np.abs(angle(moved.phi - track.phi)).max() < 1e-8
    slope = 1 + np.abs(particles["pz"]) / pt
    assert (np.abs(moved.dz - track.dz) / (radius * slope))[same].max() < 1e-9


def test_rotation_about_the_axis_turns_phi_only(particles):
    alpha = 0.7
    cos, sin = np.cos(alpha), np.sin(alpha)
    turned = particles | {
        "x": cos * particles["x"] - sin * particles["y"],
        "y": sin * particles["x"] + cos * particles["y"],
        "px": cos * particles["px"] - sin * particles["py"],
        "py": sin * particles["px"] + cos * particles["py"],
    }
    before, after = perigee(**particles), perigee(**turned)
    np.testing.assert_allclose(after.d0, before.d0, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(after.dz, before.dz, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(angle(after.phi - before.phi - alpha), 0, atol=1e-9)
    np.testing.assert_allclose(after.eta, before.eta)


def test_mirror_image_flips_d0(particles):
    mirrored = particles | {
        "y": -particles["y"],
        "py": -particles["py"],
        "charge": -particles["charge"],
    }
    before, after = perigee(**particles), perigee(**mirrored)
    np.testing.assert_allclose(after.d0, -before.d0)
    np.testing.assert_allclose(after.dz, before.dz)
    np.testing.assert_allclose(angle(after.phi + before.phi), 0, atol=1e-12)


def test_weak_field_becomes_a_straight_line(particles):
    line = perigee(**particles, field=0.0)
    px, py = particles["px"] / line.pt, particles["py"] / line.pt
    np.testing.assert_allclose(line.d0, particles["x"] * py - particles["y"] * px, rtol=1e-12)
    nearly = perigee(**particles, field=1e-9)
    np.testing.assert_allclose(nearly.d0, line.d0, atol=1e-5)
    np.testing.assert_allclose(nearly.dz, line.dz, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(angle(nearly.phi - line.phi), 0, atol=1e-7)


def test_prompt_tracks_keep_their_momentum():
    track = perigee(0, 0, 12.0, 0.3, -0.4, 1.2, [-1, 1])
    np.testing.assert_allclose(track.pt, 0.5)
    np.testing.assert_allclose(np.sinh(track.eta), 2.4)
    np.testing.assert_allclose(track.phi, np.arctan2(-0.4, 0.3))
    assert (track.d0 == 0).all()
    assert (track.dz == 12.0).all()
