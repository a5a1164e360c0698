"""Overlay laws, the reconstructed vertex, splits."""

import sys

import awkward as ak
import numpy as np
import pytest

from hepgmm.crossings import overlay, reconstruct_vertex, split_events
from hepgmm.events import FEATURES, make_events, to_columns
from hepgmm.io.parquet import load_tracks, save_tracks


def sample(seed, n_events, mean, *, scale=1.0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, n_events)
    n = counts.sum()
    displaced = rng.random(n) < 0.1
    return make_events(
        {
            "pt": scale * rng.exponential(1.0, n),
            "eta": rng.normal(0, 2, n),
            "phi": rng.uniform(-np.pi, np.pi, n),
            "d0": np.where(displaced, rng.normal(0, 5, n), 0.0),
            "dz": np.where(displaced, rng.normal(0, 5, n), 0.0),
        },
        counts,
    )


class Generator:
    """A generator of pileup events that remembers what it was asked for."""

    def sample(self, n_events, *, seed):
        self.events = sample(seed, n_events, 5)
        return self.events


@pytest.fixture(scope="module")
def hard():
    return sample(1, 200, 12, scale=5.0)


@pytest.fixture(scope="module")
def pool():
    return sample(2, 300, 6)


def test_without_pileup_and_smearing_the_hard_event_remains(hard, pool):
    events = overlay(hard, pool, mu=0, seed=1, sigma_z=0.0)
    assert events.to_list() == hard.to_list()
    shifted = overlay(hard, Generator(), mu=0, seed=1)
    for name in ("pt", "eta", "phi", "d0"):
        assert shifted[name].to_list() == hard[name].to_list()


def test_hard_events_move_by_one_vertex_each_of_the_right_spread(pool):
    hard = sample(5, 4000, 3)
    events = overlay(hard, pool, mu=0, seed=2, sigma_z=53.0)
    filled = ak.num(events) > 0
    shift = (events.dz - hard.dz)[filled]
    vertex = ak.to_numpy(shift[:, 0])
    assert ak.all(abs(shift - vertex) < 1e-4)
    n = len(vertex)
    assert abs(vertex.mean()) < 4 * 53 / np.sqrt(n)
    assert abs(vertex.std() - 53) < 4 * 53 / np.sqrt(2 * n)


def test_number_of_pileup_events_is_poisson(pool):
    one_track = make_events({name: [1.0] for name in FEATURES}, [1])
    events = overlay(ak.concatenate([one_track] * 3000), one_track, mu=60, seed=3)
    n = ak.to_numpy(ak.num(events)) - 1
    assert abs(n.mean() - 60) < 4 * np.sqrt(60 / len(n))
    assert abs(n.var() / 60 - 1) < 4 * np.sqrt(2 / len(n))


def test_every_track_is_one_of_the_sources(hard, pool):
    generator = Generator()
    events, truth = overlay(hard, generator, mu=20, seed=4, return_truth=True)
    assert events.pt[truth == 0].to_list() == hard.pt.to_list()
    # A generator's events are all used, each once, in their order.
    assert ak.flatten(events.pt[truth > 0]).to_list() == ak.flatten(generator.events.pt).to_list()
    assert ak.flatten(events.d0[truth > 0]).to_list() == ak.flatten(generator.events.d0).to_list()
    # Real events are drawn whole, with replacement.
    events, truth = overlay(hard, pool, mu=20, seed=4, return_truth=True)
    known = {tuple(event) for event in pool.pt.to_list()}
    for event, origin in zip(events.pt.to_list()[:50], truth.to_list()[:50], strict=True):
        for number in range(1, max(origin, default=0) + 1):
            tracks = tuple(pt for pt, o in zip(event, origin, strict=True) if o == number)
            assert tracks == () or tracks in known


def test_pileup_events_are_rotated_and_shifted_as_a_whole(hard, pool):
    # pT carries the number of the event in the pool.
    columns, offsets = to_columns(pool)
    numbers = np.repeat(np.arange(len(pool)), np.diff(offsets))
    marked = make_events(columns | {"pt": numbers}, np.diff(offsets))
    events, truth = overlay(hard, marked, mu=15, seed=5, return_truth=True)
    turns, shifts = [], []
    for event, origin in zip(events.to_list()[:60], truth.to_list()[:60], strict=True):
        for number in set(origin) - {0}:
            tracks = [t for t, o in zip(event, origin, strict=True) if o == number]
            source = pool[int(tracks[0]["pt"])].to_list()
            assert [t["eta"] for t in tracks] == [t["eta"] for t in source]
            assert [t["d0"] for t in tracks] == [t["d0"] for t in source]
            both = list(zip(tracks, source, strict=True))
            turn = np.array([t["phi"] - s["phi"] for t, s in both]) % (2 * np.pi)
            shift = np.array([t["dz"] - s["dz"] for t, s in both])
            assert np.ptp(np.cos(turn)) < 1e-5
            assert np.ptp(shift) < 1e-4
            turns.append(turn[0])
            shifts.append(shift[0])
    assert ak.all(abs(events.phi) <= np.pi + 1e-6)
    n = len(turns)
    assert n > 600
    # Uniform azimuth: both components of the mean direction are 0 ± 1/√(2n).
    assert abs(np.mean(np.cos(turns))) < 4 / np.sqrt(2 * n)
    assert abs(np.mean(np.sin(turns))) < 4 / np.sqrt(2 * n)
    assert abs(np.std(shifts) - 53) < 4 * 53 / np.sqrt(2 * n)


def test_dz_references_differ_by_the_vertex_they_name(hard, pool):
    kind = {r: overlay(hard, pool, seed=6, mu=5, dz_reference=r) for r in ("origin", "hard")}
    vertex = reconstruct_vertex(kind["origin"])
    kind["reconstructed"] = overlay(hard, pool, seed=6, mu=5, dz_reference="reconstructed")
    for name in ("pt", "eta", "phi", "d0"):
        for other in ("hard", "reconstructed"):
            assert kind[other][name].to_list() == kind["origin"][name].to_list()
    n_hard = ak.num(hard)
    first = ak.local_index(kind["hard"]) < n_hard
    # Relative to its own vertex the hard event is where it was generated.
    assert kind["hard"].dz[first].to_list() == hard.dz.to_list()
    step = kind["origin"].dz - kind["hard"].dz
    assert ak.all(abs(step - ak.firsts(step)) < 1e-4)
    expected = np.repeat(vertex, ak.num(kind["origin"]))
    difference = ak.flatten(kind["origin"].dz - kind["reconstructed"].dz)
    np.testing.assert_allclose(difference, expected, atol=1e-4)


def test_overlay_is_a_function_of_its_seed(hard, pool):
    events = overlay(hard, pool, mu=3, seed=7)
    assert overlay(hard, pool, mu=3, seed=7).to_list() == events.to_list()
    assert overlay(hard, pool, mu=3, seed=8).to_list() != events.to_list()
    child = np.random.SeedSequence(7).spawn(1)[0]
    again = np.random.SeedSequence(7).spawn(1)[0]
    assert (
        overlay(hard, pool, mu=3, seed=child).to_list()
        == overlay(hard, pool, mu=3, seed=again).to_list()
    )


def test_overlay_refuses_bad_input(hard, pool):
    with pytest.raises(ValueError, match="dz_reference = 'beam': choose one of origin, hard"):
        overlay(hard, pool, seed=1, dz_reference="beam")
    for mu in (-1, np.nan, np.inf):
        with pytest.raises(ValueError, match=f"mu = {mu}"):
            overlay(hard, pool, seed=1, mu=mu)
    for sigma_z in (-1, np.nan):
        with pytest.raises(ValueError, match=f"sigma_z = {sigma_z}"):
            overlay(hard, pool, seed=1, sigma_z=sigma_z)
    with pytest.raises(ValueError, match="pileup events: 0 events"):
        overlay(hard, pool[:0], seed=1)
    with pytest.raises(ValueError, match="hard events: 0 events"):
        overlay(hard[:0], pool, seed=1)
    with pytest.raises(ValueError, match="pileup events: expected an awkward array"):
        overlay(hard, "pool.parquet", seed=1)


def slow_vertex(event, window=1.0):
    """Try a window around every prompt track."""
    prompt = [t for t in event if t["pt"] > 0.5 and abs(t["eta"]) < 4.5 and abs(t["d0"]) < 0.1]
    best, where = 0.0, 0.0
    for centre in prompt:
        near = [t for t in prompt if abs(t["dz"] - centre["dz"]) <= window]
        score = sum(t["pt"] ** 2 for t in near)
        if score > best * (1 + 1e-9):
            best, where = score, sum(t["pt"] ** 2 * t["dz"] for t in near) / score
    return where


def test_vertex_agrees_with_its_slow_twin(hard, pool):
    events = overlay(hard[:40], pool, mu=15, seed=9)
    slow = [slow_vertex(event) for event in events.to_list()]
    np.testing.assert_allclose(reconstruct_vertex(events), slow, atol=1e-6)


def test_vertex_finds_the_hard_collision_and_follows_a_shift(hard, pool):
    events = overlay(hard, pool, mu=10, seed=10)
    reference = overlay(hard, pool, mu=10, seed=10, dz_reference="hard")
    true = ak.to_numpy(ak.firsts(events.dz - reference.dz))
    vertices = reconstruct_vertex(events)
    # The hard tracks have five times the pT: nearly always they win.
    assert np.mean(np.abs(vertices - true) < 1.0) > 0.95
    columns, offsets = to_columns(events)
    shifted = make_events(columns | {"dz": columns["dz"] + 25.0}, np.diff(offsets))
    np.testing.assert_allclose(reconstruct_vertex(shifted), vertices + 25.0, atol=1e-3)


def test_vertex_of_an_event_without_prompt_tracks_is_the_centre():
    columns = {name: [1.0, 1.0, 1.0] for name in FEATURES} | {"d0": [5.0, 0.0, 5.0]}
    events = make_events(columns, [1, 1, 1])
    assert reconstruct_vertex(events).tolist() == [0.0, 1.0, 0.0]
    assert reconstruct_vertex(events[:1]).tolist() == [0.0]
    with pytest.raises(ValueError, match="window = 0 mm"):
        reconstruct_vertex(events, window=0)


def test_splits_are_disjoint_complete_and_seeded():
    parts = split_events(1001, fractions=[0.65, 0.15, 0.2], seed=1)
    assert [len(part) for part in parts] == [651, 150, 200]
    assert sorted(np.concatenate(parts)) == list(range(1001))
    again = split_events(1001, fractions=[0.65, 0.15, 0.2], seed=1)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))
    other = split_events(1001, fractions=[0.65, 0.15, 0.2], seed=2)
    assert not np.array_equal(parts[0], other[0])
    assert [len(part) for part in split_events(10, fractions=[0.1, 0.1], seed=1)] == [1, 1]
    for fractions in ([0.7, 0.4], [-0.1, 0.5], [np.nan], 0.5):
        with pytest.raises(ValueError, match="fractions = "):
            split_events(10, fractions=fractions, seed=1)


def test_a_long_sample_is_overlaid_in_chunks_of_their_own_seeds(hard, pool, monkeypatch):
    monkeypatch.setattr(sys.modules[overlay.__module__], "CHUNK", 80)
    events, truth = overlay(hard, pool, mu=5, seed=7, return_truth=True)
    assert events.pt[truth == 0].to_list() == hard.pt.to_list()
    for chunk, seed in enumerate(np.random.SeedSequence(7).spawn(3)):
        part = slice(80 * chunk, 80 * chunk + 80)
        assert overlay(hard[part], pool, mu=5, seed=seed).to_list() == events[part].to_list()


def test_the_file_of_an_overlay_says_how_it_was_made(hard, pool, tmp_path):
    columns, offsets = to_columns(hard)
    known = make_events(columns, np.diff(offsets), provenance={"process": "qcd"})
    path = tmp_path / "overlay.parquet"
    save_tracks(path, overlay(known, pool, mu=5, seed=7, dz_reference="reconstructed"))
    provenance = load_tracks(path).attrs["provenance"]
    assert provenance["hard"] == {"process": "qcd"}
    assert provenance["dz_reference"] == "reconstructed"
    assert (provenance["mu"], provenance["seed"]) == (5.0, "7")
    generated = overlay(hard, Generator(), mu=5, seed=7)
    assert generated.attrs["provenance"]["pileup"] == "Generator"
