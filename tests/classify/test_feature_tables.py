"""Tables of inputs: read from YAML, checked row by row."""

import math

import pytest
import yaml

from hepgmm.classify.features import TRANSFORMS, load_table, table_names

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
