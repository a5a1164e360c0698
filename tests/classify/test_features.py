"""Inputs of networks: tables of transforms, read and checked, and what they make of tracks."""

import math

import numpy as np
import pytest
import torch
import yaml

from hepgmm.classify.features import TRANSFORMS, TrackFeatures, load_table, table_names
from hepgmm.crossings.samples import COLUMNS


@pytest.fixture
def tracks(toy):
    sample = toy(50, seed=1)
    return torch.from_numpy(sample.X), torch.from_numpy(sample.mask)


@pytest.fixture
def five(tracks):
    """The same tracks without the column of absolute pT."""
    X, mask = tracks
    return X[..., :5], mask


def turned(X, angle):
    """Tracks with angle (n,) or (n, max_tracks) added to φ, back in (-π, π]."""
    X = X.clone()
    phi = X[..., 2] + (angle[:, None] if angle.ndim == 1 else angle)
    X[..., 2] = torch.atan2(phi.sin(), phi.cos())
    return X


@pytest.mark.parametrize("kind", table_names())
def test_inverse_gives_the_tracks_back(kind, tracks):
    X, mask = tracks
    features = TrackFeatures(kind).fit(X, mask)
    found = features.inverse(features(X, mask))
    expected = dict(zip(COLUMNS, X.unbind(-1), strict=True))
    first = {}
    for row in features.rows:
        first.setdefault(row.of, row)
    assert set(found) == set(first)
    for name, row in first.items():
        value = expected[name]
        if row.origin:  # toy tracks are sorted by pT
            value = value - value[:, :1]
        if name == "phi":
            torch.testing.assert_close(turn(found[name])[mask], turn(value)[mask])
        else:
            torch.testing.assert_close(found[name][mask], value[mask], rtol=1e-4, atol=1e-5)


def turn(phi):
    """Cosine and sine, the same for φ and φ + 2π."""
    return torch.stack([phi.cos(), phi.sin()], -1)


def test_asinh_inputs_do_not_depend_on_the_orientation_of_the_event(tracks):
    X, mask = tracks
    features = TrackFeatures("asinh")
    angles = torch.linspace(-3, 3, len(X))
    torch.testing.assert_close(features(turned(X, angles), mask), features(X, mask))
    each_track_by_another = turned(X, angles[:, None] * X[..., 0])
    assert not torch.allclose(features(each_track_by_another, mask), features(X, mask))


def test_hardest_track_is_the_origin_of_the_angles_in_any_order_of_tracks_and_padding(tracks):
    X, mask = (values.flip(1) for values in tracks)
    X = torch.where(mask[..., None], X, 1e9)
    inputs = TrackFeatures("asinh")(X, mask)
    assert torch.equal(inputs[:, -1, 1:3], torch.zeros(len(X), 2))
    torch.testing.assert_close(inputs.flip(1), TrackFeatures("asinh")(*tracks))


@pytest.mark.parametrize("kind", table_names())
def test_extreme_tracks_have_finite_inputs_and_gradients(kind, tracks):
    features = TrackFeatures(kind).fit(*tracks)
    X = torch.tensor([[[0.0, 10.0, 3.0, 1e5, -1e6, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 1e4]]])
    X.requires_grad_()
    inputs = features(X, torch.tensor([[True, True]]))
    inputs.sum().backward()
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(X.grad).all()


def test_asinh_inputs_are_those_of_the_table():
    hardest, x = [0.8, 1.0, -2.0, 0.0, 0.0], [0.2, -2.0, 2.5, 0.7, -120.0]
    delta = 4.5 - 2 * np.pi
    expected = [np.log(0.2) + 5, -1.5, delta / np.pi, np.arcsinh(7.0) / 4, np.arcsinh(-2.4)]
    inputs = TrackFeatures("asinh")(torch.tensor([[x, hardest]]), torch.tensor([[True, True]]))
    np.testing.assert_allclose(inputs[0, 0], expected, rtol=1e-6)


def test_scaled_inputs_have_zero_mean_and_unit_variance_over_tracks(tracks):
    X, mask = tracks
    inputs = TrackFeatures("scaled").fit(X, mask)(X, mask)[mask]
    torch.testing.assert_close(inputs.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)


def test_a_constant_feature_is_only_shifted():
    X, mask = torch.full((3, 2, 5), 7.0), torch.ones(3, 2, dtype=torch.bool)
    assert torch.equal(TrackFeatures("scaled").fit(X, mask)(X, mask), torch.zeros(3, 2, 5))


@pytest.mark.parametrize("kind", table_names())
def test_padding_becomes_zero_whatever_it_held(kind, tracks):
    X, mask = tracks
    X = torch.where(mask[..., None], X, torch.nan)
    inputs = TrackFeatures(kind).fit(X, mask)(X, mask)
    assert torch.equal(inputs[~mask], torch.zeros_like(inputs[~mask]))
    assert torch.isfinite(inputs).all()


def test_several_rows_of_one_parameter_are_computed_each_its_own_way(tracks):
    X, mask = tracks
    full = TrackFeatures("full")
    inputs = dict(zip([row.name for row in full.rows], full(X, mask).unbind(-1), strict=True))
    dz, phi = X[..., 4], X[..., 2] - X[:, :1, 2]
    expected = {
        "log_pt": X[..., 5].log(),
        "eta": X[..., 1] / 2,
        "sin_delta_phi": phi.sin(),
        "cos_delta_phi": phi.cos(),
        "dz_fine": torch.asinh(dz) / 4,
        "delta_dz": torch.asinh(dz - dz[:, :1]) / 4,
    }
    for name, value in expected.items():
        torch.testing.assert_close(inputs[name][mask], value[mask], msg=name)


def test_a_missing_column_is_named(five):
    with pytest.raises(ValueError, match="5 columns; the features need pt too"):
        TrackFeatures("full")(*five)


ROW = {"name": "eta", "of": "eta"}


def test_every_table_of_the_package_is_allowed_and_has_every_transform():
    rows = [row for name in table_names() for row in load_table(name).rows]
    assert {row.transform for row in rows} == set(TRANSFORMS)
    assert load_table("scaled").rows == load_table("raw").rows
    assert load_table("scaled").normalise and not load_table("raw").normalise


def test_a_file_of_your_own_is_the_table_in_it(tmp_path):
    path = tmp_path / "mine.yaml"
    table = {"rows": [ROW, {"name": "turn", "of": "phi", "from": "hardest", "scale": "pi"}]}
    path.write_text(yaml.safe_dump(table))
    read = load_table(path)
    assert read == load_table(str(path)) == load_table(table)
    assert read.rows[1].origin == "hardest" and read.rows[1].scale == math.pi
    assert [row.formula for row in read.rows] == ["η", "Δφ(hardest) / π"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("log", "features='log' is unknown; choose one of raw, scaled, asinh, full, or a YAML"),
        ({"rows": []}, "features: a table has a list of rows"),
        ({"rows": [ROW], "scale": 2}, "features: a table has a list of rows"),
        ({"rows": ["eta"]}, "features: row 1: 'eta' is not a mapping"),
        ({"rows": [ROW, {"name": "x"}]}, "row 2: .* name and of are needed"),
        ({"rows": [ROW | {"unti": "mm"}]}, "row 1: .* the keys are name, of, from, transform"),
        ({"rows": [ROW | {"of": "theta"}]}, "of: 'theta' is unknown; choose one of pt_relative"),
        ({"rows": [ROW | {"from": "jet"}]}, "from: 'jet' is unknown; choose one of hardest"),
        ({"rows": [ROW | {"transform": "tanh"}]}, "transform: 'tanh' is unknown; .* asinh"),
        ({"rows": [ROW | {"scale": 0}]}, "scale: 0 is not a number that can be used"),
        ({"rows": [ROW | {"over": "two"}]}, "over: 'two' is not a number"),
        ({"rows": [ROW | {"shift": math.nan}]}, "shift: nan is not a number"),
        ({"rows": 5}, "a table has a list of rows"),
        ({"rows": [ROW], "normalise": "no"}, "normalise: 'no' is neither true nor false"),
        ({"rows": [ROW | {"from": "hardest", "transform": "log"}]}, "no logarithm of a difference"),
        ({"rows": [ROW, ROW]}, "two rows have the name 'eta'"),
    ],
)
def test_bad_tables_are_named(table, message):
    with pytest.raises(ValueError, match=message):
        load_table(table)


def test_bad_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.yaml: no such file"):
        load_table(tmp_path / "none.yaml")
    path = tmp_path / "broken.yaml"
    path.write_text("rows: [")
    with pytest.raises(ValueError, match=r"broken\.yaml: not a YAML file"):
        load_table(path)
    path.write_text("rows: [{name: eta, of: etta}]")
    with pytest.raises(ValueError, match=r"broken\.yaml: row 1: of: 'etta' is unknown"):
        load_table(path)
