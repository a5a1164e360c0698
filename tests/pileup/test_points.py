"""Tracks as points and clouds, and back: what is undone, what stays exact, what is finite."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepgmm.events import make_events, to_columns
from hepgmm.pileup.points import cloud_columns, expand, read_clouds, track_features

displacement = st.floats(-9e4, 9e4, width=32)


@given(
    pt=st.floats(2.0**-19, 6000, width=32),
    eta=st.floats(-20, 20, width=32),
    d0=displacement,
    dz=displacement,
)
def test_expanding_undoes_the_features(pt, eta, d0, dz):
    track = {"pt": pt, "eta": eta, "d0": d0, "dz": dz}
    events = make_events({**{name: [x] for name, x in track.items()}, "phi": [0.0]}, [1])
    columns = expand(track_features(events, features="asinh")[0])
    for name, value in track.items():
        assert columns[name][0] == pytest.approx(value, rel=1e-12, abs=1e-300)


def test_exact_zeros_stay_exact(toy_minbias):
    columns, _ = to_columns(toy_minbias)
    points, _ = track_features(toy_minbias, features="asinh")
    expanded = expand(points.astype(np.float32))
    for name in ("d0", "dz"):
        np.testing.assert_array_equal(expanded[name] == 0, columns[name] == 0)
    assert all(values.dtype == np.float32 for values in expanded.values())


@pytest.mark.parametrize(("dtype", "rounding"), [(np.float32, 3e-6), (np.float64, 1e-13)])
def test_nothing_overflows(dtype, rounding):
    columns = expand(np.array([[1e4, 1.0, 1e4, -1e4], [-1e4, 1.0, -1e4, 1e4]], dtype=dtype))
    np.testing.assert_allclose(columns["pt"], [6500, 1e-6], rtol=rounding)
    # Rounding misses a limit from inside.
    assert dtype(1e-6) <= columns["pt"].min() and columns["pt"].max() <= 6500
    largest = 0.01 * np.sinh(16.8)
    assert largest < 1e5
    np.testing.assert_allclose(columns["d0"], [largest, -largest], rtol=rounding)
    np.testing.assert_allclose(columns["dz"], [-largest, largest], rtol=rounding)


def test_clouds_are_undone(toy_minbias):
    kept, _ = to_columns(toy_minbias)
    clouds = read_clouds(toy_minbias)
    again = cloud_columns(clouds, limits=clouds.range, pt_limits=(1e-6, 6500.0))
    for name, values in kept.items():
        np.testing.assert_allclose(again[name], values, rtol=1e-5)
    np.testing.assert_array_equal(again["d0"] == 0, kept["d0"] == 0)
    np.testing.assert_array_equal(clouds.displaced, (kept["d0"] != 0) | (kept["dz"] != 0))
    np.testing.assert_array_equal(clouds.counts, ak.num(toy_minbias))


def test_a_track_without_pt_is_refused():
    columns = {name: np.ones(4) for name in ("eta", "phi", "d0", "dz")} | {"pt": [1, 1, 0, 1]}
    events = make_events(columns, [2, 1, 1])
    with pytest.raises(ValueError, match="pt of event 1 is 0 GeV, which has no logarithm"):
        track_features(events)
