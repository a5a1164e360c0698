"""Events: layout, files, bad input, acceptance, selection."""

import json

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hepgmm.crossings.overlay import select
from hepgmm.events import (
    FEATURES,
    UNITS,
    accept,
    check_events,
    flatten,
    make_events,
    to_columns,
)
from hepgmm.io.parquet import load_tracks, save_tracks


def random_events(seed, n_events, mean):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean, n_events)
    n = counts.sum()
    columns = {
        "pt": rng.exponential(1.0, n),
        "eta": rng.normal(0, 3, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": rng.standard_cauchy(n),
        "dz": rng.standard_cauchy(n),
    }
    return make_events(columns, counts, provenance={"process": "random", "seed": seed})


@st.composite
def events_strategy(draw):
    counts = draw(st.lists(st.integers(0, 6), min_size=1, max_size=6))
    n = sum(counts)
    # Few distinct pT values, so that ties are common; some below any threshold.
    pt = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 2.0, 7.0])))
    eta = draw(hnp.arrays(np.float32, n, elements=st.sampled_from([-4.5, -4.25, 0.0, 1.0, 5.0])))
    number = np.arange(n, dtype=np.float32)
    return make_events({"pt": pt, "eta": eta, "phi": number, "d0": -number, "dz": number}, counts)


def slow_select(events, *, pt_min, abs_eta_max, max_tracks):
    """The selection, one track after the other."""
    rows, index = [], []
    for number, event in enumerate(events.to_list()):
        good = [t for t in event if t["pt"] > pt_min and abs(t["eta"]) < abs_eta_max]
        if not good:
            continue
        total = sum(t["pt"] for t in good)
        good.sort(key=lambda t: -t["pt"])
        row = [[t["pt"] / total, t["eta"], t["phi"], t["d0"], t["dz"]] for t in good[:max_tracks]]
        rows.append(row)
        index.append(number)
    X = np.zeros((len(rows), max_tracks, 5), dtype=np.float32)
    mask = np.zeros((len(rows), max_tracks), dtype=bool)
    for i, row in enumerate(rows):
        X[i, : len(row)] = row
        mask[i, : len(row)] = True
    return X, mask, index


def test_layout_is_float32_lists_of_tracks():
    events = random_events(0, 4, 3)
    assert str(events.type) == (
        "4 * var * Track[pt: float32, eta: float32, phi: float32, d0: float32, dz: float32]"
    )
    assert set(UNITS) == set(FEATURES) == set(events.fields)


@settings(max_examples=25, deadline=None)
@given(events=events_strategy())
def test_columns_and_events_undo_each_other(events):
    columns, offsets = to_columns(events)
    assert make_events(columns, np.diff(offsets)).to_list() == events.to_list()
    points, same_offsets = flatten(events)
    assert points.dtype == np.float64
    assert np.array_equal(offsets, same_offsets)
    for position, name in enumerate(FEATURES):
        assert np.array_equal(points[:, position], columns[name])


def test_flatten_reads_sliced_and_reordered_events():
    events = random_events(1, 50, 4)
    part = events[::-3][events[::-3].pt > 0.7]
    points, offsets = flatten(part)
    expected = [[track[name] for name in FEATURES] for event in part.to_list() for track in event]
    assert np.array_equal(points, expected)
    assert np.array_equal(np.diff(offsets), [len(event) for event in part.to_list()])


def test_make_events_names_a_missing_or_short_column():
    columns = {name: [1.0, 2.0] for name in FEATURES}
    with pytest.raises(ValueError, match="column 'pt' has 2 values, but the counts add up to 3"):
        make_events(columns, [1, 2])
    del columns["d0"]
    with pytest.raises(ValueError, match="no column 'd0'"):
        make_events(columns, [2])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("feature", FEATURES)
def test_check_names_field_and_event_of_a_value_that_is_not_finite(feature, value):
    columns = {name: np.ones(5) for name in FEATURES}
    columns[feature][3] = value
    with pytest.raises(ValueError, match=rf"^data: {feature} of event 2 is {value}; "):
        check_events(make_events(columns, [2, 0, 3]), name="data")


def test_check_refuses_negative_pt_missing_fields_and_small_samples():
    columns = {name: np.ones(3) for name in FEATURES}
    columns["pt"][2] = -0.5
    with pytest.raises(ValueError, match=r"^events: pt of event 1 is -0.5 GeV"):
        check_events(make_events(columns, [2, 1]))
    good = random_events(2, 3, 4)
    with pytest.raises(ValueError, match="no field d0, dz"):
        check_events(good[["pt", "eta", "phi"]])
    with pytest.raises(ValueError, match="3 events, but at least 4 are needed"):
        check_events(good, min_events=4)
    with pytest.raises(ValueError, match="0 events"):
        check_events(good[:0])
    with pytest.raises(ValueError, match="missing values"):
        check_events(ak.mask(good, good.pt > 1))
    for bad in ([1, 2], np.ones((2, 5)), ak.Array([1.0]), good[0]):
        with pytest.raises(ValueError, match="expected an awkward array of lists of tracks"):
            check_events(bad)


@settings(max_examples=10, deadline=None)
@given(events=events_strategy())
def test_parquet_round_trip(tmp_path_factory, events):
    path = tmp_path_factory.mktemp("parquet") / "events.parquet"
    save_tracks(path, events)
    back = load_tracks(path)
    assert back.to_list() == events.to_list()
    assert back.type == events.type


def test_parquet_keeps_units_and_provenance(tmp_path):
    path = tmp_path / "events.parquet"
    events = random_events(3, 10, 5)
    save_tracks(path, events)
    assert load_tracks(path).attrs["provenance"] == {"process": "random", "seed": 3}
    schema = pq.read_schema(path)
    about = json.loads(schema.metadata[b"hepgmm"])
    assert about["units"] == UNITS
    assert schema.field("d0").metadata == {b"unit": b"mm"}
    assert [file.name for file in tmp_path.iterdir()] == ["events.parquet"]


def test_parquet_is_read_by_others_and_written_by_others(tmp_path):
    events = random_events(4, 6, 3)
    save_tracks(tmp_path / "ours.parquet", events)
    theirs = ak.from_parquet(tmp_path / "ours.parquet")
    assert theirs.pt.to_list() == events.pt.to_list()
    ak.to_parquet(theirs, tmp_path / "theirs.parquet")
    back = load_tracks(tmp_path / "theirs.parquet")
    assert back.to_list() == events.to_list()
    assert "provenance" not in back.attrs


def test_a_truth_of_other_tracks_is_refused(tmp_path):
    events, path = random_events(1, 5, 4), tmp_path / "events.parquet"
    truth = ak.local_index(events.pt)
    for act in (
        lambda other: save_tracks(path, events, truth=other),
        lambda other: select(events, truth=other),
    ):
        with pytest.raises(ValueError, match=r"truth.* other numbers of tracks than the events"):
            act(truth[:, 1:])
    assert not path.exists()
    save_tracks(path, events, truth=truth)
    table = pq.read_table(path)
    other, some = truth[:, 1:], ak.concatenate([truth[:-1], [[None] * len(truth[-1])]])
    for column, message in (
        (other, "collision and pt have different numbers of tracks"),
        (some, "collision must hold one list of integers an event"),
        (truth * 0.5, "collision must hold one list of integers an event"),
        (truth[:, 0], "collision must hold one list of integers an event"),
    ):
        column = ak.to_arrow(column, extensionarray=False)
        pq.write_table(table.set_column(5, "collision", column), path)
        with pytest.raises(ValueError, match=rf"events\.parquet: {message}"):
            load_tracks(path, return_truth=True)


def test_truth_comes_back_where_there_is_some(tmp_path):
    events, path = random_events(1, 5, 4), tmp_path / "events.parquet"
    truth = ak.values_astype(ak.local_index(events.pt), np.int32)
    save_tracks(path, events, truth=truth)
    again, found = load_tracks(path, return_truth=True)
    assert ak.array_equal(found, truth) and ak.array_equal(again.pt, load_tracks(path).pt)
    save_tracks(path, events)
    assert load_tracks(path, return_truth=True)[1] is None


def test_bad_files_get_one_line_that_names_them(tmp_path):
    path = tmp_path / "events.parquet"
    with pytest.raises(FileNotFoundError, match=r"events.parquet: no such file"):
        load_tracks(path)
    save_tracks(path, random_events(5, 200, 8))
    whole = path.read_bytes()
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"events.parquet: not a whole parquet file"):
            load_tracks(path)
    pq.write_table(pa.table({"pt": [[1.0]], "eta": [[1.0]]}), path)
    with pytest.raises(ValueError, match=r"events.parquet: no column phi, d0, dz"):
        load_tracks(path)
    for value in (1.0, ["a"], [[1.0]], None):
        pq.write_table(pa.table({name: [value, value] for name in FEATURES}), path)
        with pytest.raises(ValueError, match=r"events.parquet: pt must hold one list of numbers"):
            load_tracks(path)
    pq.write_table(pa.table({name: [[1.0, None]] for name in FEATURES}), path)
    with pytest.raises(ValueError, match=r"events.parquet: pt of event 0 is nan"):
        load_tracks(path)
    ragged = {name: [[1.0]] for name in FEATURES} | {"dz": [[1.0, 2.0]]}
    pq.write_table(pa.table(ragged), path)
    with pytest.raises(ValueError, match=r"events.parquet: dz and pt have different numbers"):
        load_tracks(path)
    pq.write_table(pa.table({name: [[-1.0]] for name in FEATURES}), path)
    with pytest.raises(ValueError, match=r"events.parquet: pt of event 0 is -1.0 GeV"):
        load_tracks(path)
    save_tracks(path, random_events(5, 1, 8)[:0])
    with pytest.raises(ValueError, match=r"events.parquet: 0 events"):
        load_tracks(path)


@pytest.mark.parametrize(
    "metadata", [b"[1]", b"{bad", b"\xff", b"null", b'{"provenance": 5}', b'{"provenance": [1]}']
)
def test_broken_metadata_is_named(tmp_path, metadata):
    path = tmp_path / "events.parquet"
    save_tracks(path, random_events(5, 3, 8))
    pq.write_table(pq.read_table(path).replace_schema_metadata({b"hepgmm": metadata}), path)
    with pytest.raises(ValueError, match=r"events.parquet: its hepgmm metadata is damaged"):
        load_tracks(path)


def test_a_refused_save_leaves_the_old_file(tmp_path):
    path = tmp_path / "events.parquet"
    save_tracks(path, random_events(6, 5, 4))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="pt of event 0 is nan"):
        save_tracks(path, make_events({name: [np.nan] for name in FEATURES}, [1]))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["events.parquet"]


@settings(max_examples=25, deadline=None)
@given(events=events_strategy())
def test_accept_is_strict_and_keeps_empty_events(events):
    accepted = accept(events)
    assert accepted.to_list() == [
        [track for track in event if track["pt"] > 0.5 and abs(track["eta"]) < 4.5]
        for event in events.to_list()
    ]


@settings(max_examples=60, deadline=None)
@given(events=events_strategy(), max_tracks=st.integers(1, 7))
def test_select_agrees_with_its_slow_twin(events, max_tracks):
    cuts = {"pt_min": 0.5, "abs_eta_max": 4.5, "max_tracks": max_tracks}
    X, mask, index = select(events, **cuts, return_index=True)
    slow_X, slow_mask, slow_index = slow_select(events, **cuts)
    assert X.dtype == np.float32
    assert mask.dtype == bool
    assert np.array_equal(index, slow_index)
    assert np.array_equal(mask, slow_mask)
    np.testing.assert_allclose(X, slow_X, rtol=1e-7)


def test_select_laws():
    events = random_events(7, 300, 60)
    X, mask, index = select(events, return_index=True, max_tracks=500)
    accepted = accept(events)[index]
    np.testing.assert_allclose(X[..., 0].sum(axis=1), 1.0, rtol=1e-6)
    assert np.array_equal(mask.sum(axis=1), ak.num(accepted))
    assert (np.diff(X[..., 0], axis=1) <= 0).all()
    assert not X[~mask].any()
    # A shorter padding keeps the hardest tracks, still relative to all the accepted ones.
    short, short_mask = select(events, max_tracks=20)
    assert np.array_equal(short, X[:, :20])
    assert np.array_equal(short_mask, mask[:, :20])
    # The order of the tracks in the file has no say.
    shuffled = events[ak.argsort(events.phi)]
    assert np.array_equal(select(shuffled, max_tracks=500)[0], X)


def test_select_without_any_accepted_track():
    events = make_events({name: [0.1] for name in FEATURES}, [1])
    X, mask = select(events)
    assert X.shape == (0, 80, 5)
    assert mask.shape == (0, 80)
    with pytest.raises(ValueError, match="max_tracks = 0"):
        select(events, max_tracks=0)
