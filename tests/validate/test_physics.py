"""Figures of physics: hand-computed events, invariances, toy decays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepgmm.events import FEATURES, make_events, to_columns
from hepgmm.validate import correlation, correlation_map, physics
from hepgmm.validate.correlations import displaced_pairs
from hepgmm.validate.physics import FIGURES


def toy(n_events, *, seed, mean_tracks=8):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean_tracks, n_events)
    n = counts.sum()
    columns = {
        "pt": rng.lognormal(0, 0.5, n),
        "eta": rng.normal(0, 2, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(rng.random(n) < 0.5, rng.normal(0, 5, n), 0.0),
        "dz": rng.normal(0, 10, n),
    }
    return make_events(columns, counts)


def changed(events, **columns):
    old, offsets = to_columns(events)
    return make_events(
        old | {name: change(old[name]) for name, change in columns.items()}, np.diff(offsets)
    )


def values(events):
    return {
        name: figure["value"] for name, figure in physics(events, seed=1, n_bootstrap=2).items()
    }


def test_figures_by_hand():
    """Two events: three tracks, one of which is soft, and two back to back."""
    columns = {
        "pt": [1.0, 2.0, 0.1, 3.0, 3.0],
        "eta": [1.0, 1.2, -1.0, 2.0, -2.0],
        "phi": [0.0, np.pi / 2, 0.0, 0.0, np.pi],
        "d0": [0.2, 0.0, 0.05, -0.3, 0.0],
        "dz": [0.0] * 5,
    }
    found = values(make_events(columns, [3, 2]))
    assert list(found) == list(FIGURES)
    assert found["recoil"] == pytest.approx((1.1**2 + 4) / 5.01 / 2)
    assert found["leading_pt"] == pytest.approx(2.5)
    assert found["multiplicity"] == 2.5
    assert found["multiplicity_spread"] == 0.5
    assert found["sum_pt"] == pytest.approx(4.55)
    assert found["displaced"] == pytest.approx(0.4)
    # forward 2 and 1, backward 0 and 1
    assert found["forward_backward"] == pytest.approx(-1)
    # the one pair that is close in η lies at π / 2, in the fourth or fifth bin: 8 / 2
    assert found["near_side"] == found["away_side"] == -4
    assert found["displaced_pairs"] == found["kaons"] == found["lambdas"] == 0


def test_independent_tracks_have_no_correlation():
    figures = physics(toy(4000, seed=2), seed=3)
    for name, expected in {"recoil": 1.0, "near_side": 0.0, "away_side": 0.0}.items():
        assert abs(figures[name]["value"] - expected) < 4 * figures[name]["error"] < 0.15
    _, value, error = correlation(toy(4000, seed=2), bins=5, delta_eta=2.0)
    assert (np.abs(value - 1) < 4 * error).all() and error.max() < 0.03
    assert value.mean() == pytest.approx(1)


def test_errors_are_what_samples_vary_by():
    samples = [physics(toy(300, seed=k), seed=k) for k in range(40)]
    for name in ("recoil", "leading_pt", "multiplicity", "displaced_pairs"):
        spread = np.std([figures[name]["value"] for figures in samples], ddof=1)
        assert 0.6 < spread / np.mean([figures[name]["error"] for figures in samples]) < 1.6


@settings(max_examples=15, deadline=None)
@given(st.floats(-3, 3), st.booleans())
def test_rotations_and_reflections_change_nothing(angle, reflect):
    events = toy(200, seed=4)
    sign = -1.0 if reflect else 1.0
    before = values(events)
    flipped = changed(events, eta=lambda eta: sign * eta, d0=lambda d0: sign * d0)
    for name, value in values(changed(flipped, phi=lambda phi: sign * phi + angle)).items():
        # a pair at the edge of a bin may move
        assert value == pytest.approx(before[name], rel=1e-4, abs=0.01), name


def test_each_change_moves_its_own_figures():
    events = toy(500, seed=5)
    before = values(events)

    def moved(**columns):
        after = values(changed(events, **columns))
        return {name for name in FIGURES if after[name] != pytest.approx(before[name], rel=1e-5)}

    assert moved(dz=lambda dz: dz + 1) == set()
    gone = moved(d0=lambda d0: 0 * d0)
    assert {"displaced", "displaced_pairs"} <= gone
    assert gone <= {"displaced", "displaced_pairs", "kaons", "lambdas"}
    assert moved(phi=lambda phi: phi / 3) >= {"recoil", "near_side", "away_side"}
    assert not moved(phi=lambda phi: phi / 3) & {"leading_pt", "sum_pt", "forward_backward"}


def test_back_to_back_and_collinear_tracks():
    rng = np.random.default_rng(6)
    phi = rng.uniform(-np.pi, np.pi, 300)
    columns = {name: np.ones(600) for name in FEATURES}
    for opening, first, last in ((0.05, 1, 0), (np.pi, 0, 1)):
        pairs = np.stack([phi, phi + opening], axis=1).ravel()
        _, value, _ = correlation(make_events(columns | {"phi": pairs}, [2] * 300), bins=4)
        assert value.tolist() == [4.0 * first, 0, 0, 4.0 * last]


def test_map_divides_out_the_shape_in_eta_but_not_the_correlation():
    rng = np.random.default_rng(7)
    events = toy(2500, seed=8)
    *edges, value, error = correlation_map(events, bins=(4, 4), seed=9)
    assert [len(some) for some in edges] == [5, 5]
    assert (np.abs(value - 1) < 4.5 * error).all() and error.max() < 0.05
    # each track gets a neighbour
    columns, offsets = to_columns(events)
    columns = {name: np.repeat(x, 2) for name, x in columns.items()}
    columns["phi"] = columns["phi"] + rng.normal(0, 0.1, len(columns["phi"]))
    twice = make_events(columns, 2 * np.diff(offsets))
    *_, value, error = correlation_map(twice, bins=(4, 4), seed=9)
    assert value[0, 0] > 1 + 10 * error[0, 0]
    assert value[3, 3] < 1


def decays(n, mass, one, two, *, seed):
    """Daughters of particles of a mass that fly at η around 0 with some GeV, one an event."""
    rng = np.random.default_rng(seed)
    momentum = np.sqrt((mass**2 - (one + two) ** 2) * (mass**2 - (one - two) ** 2)) / (2 * mass)
    cos, turn = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    sin = np.sqrt(1 - cos**2)
    direction = np.stack([cos, sin * np.cos(turn), sin * np.sin(turn)], axis=1)
    parent = rng.uniform(2, 6, n)
    energy = np.hypot(parent, mass)
    tracks = []
    for side, m in ((1, one), (-1, two)):
        p = side * momentum * direction
        along = energy / mass * p[:, 0] + parent / mass * np.hypot(momentum, m)
        tracks.append(np.stack([along, p[:, 1], p[:, 2]], axis=1))
    x, y, z = np.stack(tracks, axis=1).reshape(-1, 3).T
    pt = np.hypot(x, y)
    d0 = np.where(np.arange(2 * n) % 2, 1.0, -1.0)
    columns = {"pt": pt, "eta": np.arcsinh(z / pt), "phi": np.arctan2(y, x), "d0": d0, "dz": 0 * d0}
    return make_events(columns, [2] * n)


@pytest.mark.parametrize(
    ("name", "mass", "one", "two"),
    [("kaons", 0.49761, 0.13957, 0.13957), ("lambdas", 1.11568, 0.93827, 0.13957)],
)
def test_decays_make_a_peak_and_chance_does_not(name, mass, one, two):
    counts = displaced_pairs(decays(500, mass, one, two, seed=10))
    assert counts["pairs"].mean() > 0.9
    assert counts[name].sum() == counts["pairs"].sum()
    nearby = displaced_pairs(decays(500, mass * 1.4, one, two, seed=10))
    assert nearby[name].sum() == 0
    figure = physics(toy(5000, seed=11), seed=12)[name]
    assert abs(figure["value"]) < 4 * figure["error"] < 0.05


def test_pairs_need_opposite_signs_displacement_and_nearness():
    columns = {name: [1.0, 1.0] for name in FEATURES}
    for d0, phi, expected in (
        ([1, -1], [3.1, -3.1], 1),
        ([1, 1], [3.1, -3.1], 0),
        ([1, -0.09], [3.1, -3.1], 0),
        ([1, -1], [0, 1.01], 0),
    ):
        events = make_events(columns | {"d0": d0, "phi": phi}, [2])
        assert displaced_pairs(events)["pairs"].tolist() == [expected]


def test_bad_events_are_named():
    events = toy(20, seed=13)
    with pytest.raises(ValueError, match="1 events, but at least 2"):
        physics(events[:1], seed=1)
    with pytest.raises(ValueError, match="no pair of accepted tracks"):
        correlation(events[:, :1])
    with pytest.raises(ValueError, match="5 events, but at least 6"):
        correlation_map(events[:5], seed=1)
    with pytest.raises(ValueError, match="give at least 1 bin"):
        correlation(events, bins=0)
    with pytest.raises(ValueError, match="every value must be finite"):
        physics(changed(events, eta=lambda eta: np.nan * eta), seed=1)
