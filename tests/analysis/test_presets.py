import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hepgmm.analysis.presets import (
    SCHEMA,
    Rule,
    load_preset,
    preset_files,
)


def write(folder, values):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.mark.parametrize("name", ["quick", "standard", "paper"])
def test_shipped_presets_name_themselves_and_hold_every_key(name):
    values = yaml.safe_load(preset_files()[name].read_text())
    assert values["preset"] == name
    assert {group: set(values[group]) for group in SCHEMA} == {
        group: set(rules) for group, rules in SCHEMA.items()
    }
    assert load_preset(name)["preset"] == name


def test_the_paper_preset_has_the_sizes_of_the_paper():
    paper = load_preset("paper")
    assert paper["data"]["n_qcd"] == 200_000
    assert paper["data"]["n_llp_per_mass"] == 100_000
    assert paper["training"]["epochs_transformer"] == 500
    assert paper["training"]["batch_size"] == 2048


def test_overrides_change_only_their_key():
    before, after = load_preset("quick"), load_preset("quick", overlay={"mu": 140})
    assert after["overlay"].pop("mu") == 140
    before["overlay"].pop("mu")
    assert before == after


def test_a_file_takes_the_keys_it_leaves_out_from_quick(tmp_path):
    path = write(tmp_path, {"overlay": {"mu": 20}})
    expected = copy.deepcopy(load_preset("quick"))
    expected["preset"] = "mine"
    expected["overlay"]["mu"] = 20
    assert load_preset(path) == expected


def test_a_copy_that_keeps_the_name_of_a_shipped_preset_is_refused(tmp_path):
    path = write(tmp_path, {"preset": "quick", "overlay": {"mu": 20}})
    with pytest.raises(ValueError, match="'quick' is the name of a preset of the package"):
        load_preset(path)


def test_a_table_of_inputs_of_ones_own_is_read_into_the_preset(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text(
        "rows:\n- {name: a, of: eta, scale: 2}\n- {name: b, of: d0, transform: asinh}\n"
    )
    preset = load_preset("quick", training={"features": str(path)})
    table = preset["training"]["features"]
    assert [row["of"] for row in table["rows"]] == ["eta", "d0"]
    assert load_preset("quick", training={"features": table}) == preset
    path.write_text("rows:\n- {name: a, of: eta}\n")
    assert load_preset("quick", training={"features": str(path)}) != preset
    assert (
        load_preset(write(tmp_path, {"training": {"features": "inputs.yaml"}}))["training"][
            "features"
        ]
        == load_preset("quick", training={"features": str(path)})["training"]["features"]
    )
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(ValueError, match=r"training\.features: .*folder\.yaml"):
        load_preset("quick", training={"features": str(tmp_path / "folder.yaml")})
    with pytest.raises(FileNotFoundError, match=r"training\.features: .*gone\.yaml: no such file"):
        load_preset("quick", training={"features": str(tmp_path / "gone.yaml")})


def test_the_seed_argument_wins():
    assert load_preset("quick", seed=7)["seed"] == 7


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        ({"overlay": {"muu": 60}}, "'muu'; allowed: mu, pileup"),
        ({"overly": {"mu": 60}}, "'overly'; allowed: data, mixture"),
        ({"overlay": {"mu": -1}}, "overlay.mu: -1 is not allowed; allowed: number from 0"),
        ({"overlay": {"mu": float("nan")}}, "overlay.mu: nan"),
        ({"overlay": {"mu": "sixty"}}, "override: overlay.mu: 'sixty'"),
        ({"overlay": {"mu": "1e3"}}, "overlay.mu: '1e3'"),
        ({"overlay": {"mu": "nan"}}, "overlay.mu: 'nan'"),
        ({"overlay": {"mu": True}}, "overlay.mu: True"),
        ({"overlay": {"pileup": "gan"}}, "allowed: hgmm, hgmm_clipped, hgmm_scaled, shared, real"),
        ({"overlay": 60}, "overlay must hold keys and values"),
        ({"data": {"n_minbias": 100.5}}, "data.n_minbias: 100.5"),
        ({"data": {"llp_masses": []}}, "data.llp_masses: []"),
        (
            {"training": {"classifiers": ["gnn"]}},
            "training.classifiers: no 'gnn'; there are pt_cut",
        ),
        ({"training": {"classifiers": ["mlp", "mlp"]}}, "classifiers: 'mlp' twice"),
        ({"training": {"classifiers": ["mlp"]}}, "classifiers: give at least two"),
        ({"training": {"classifiers": "mlp"}}, "'mlp' is not a list of texts"),
        ({"training": {"features": "cooked"}}, "training.features: features='cooked' is unknown"),
        ({"training": {"features": {"rows": []}}}, "training.features: features: a table has"),
        ({"data": {"llp_masses": [100, -5]}}, "data.llp_masses: -5"),
        ({"data": {"llp_masses": [100, 100]}}, "quick: data.llp_masses: 100, 100 GeV are not dist"),
        ({"data": {"llp_masses": [100, 100.00001]}}, "data.llp_masses: 100, 100 GeV are not"),
        ({"seed": -1}, "override: seed: -1 is not allowed"),
        ({"data": {"n_qcd": 1501}}, "data.n_qcd: 1501 does not balance the 1500 signal events"),
        ({"training": {"test_fraction": 0.95}}, "training.test_fraction: 0.95"),
    ],
)
def test_bad_values_are_named_with_the_allowed_ones(overrides, culprit):
    with pytest.raises(ValueError) as error:
        load_preset("quick", **overrides)
    assert culprit in str(error.value)
    assert "\n" not in str(error.value)


def test_numbers_that_yaml_takes_for_text_are_numbers(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 2.0\nmixture: {clip_eigenvalues: 1e-5}\ndata: {n_minbias: 1e3}\n")
    assert yaml.safe_load(path.read_text())["mixture"]["clip_eigenvalues"] == "1e-5"
    loaded = load_preset(path)
    assert loaded["mixture"]["clip_eigenvalues"] == 1e-5
    for value, expected in ((loaded["seed"], 2), (loaded["data"]["n_minbias"], 1000)):
        assert value == expected and type(value) is int


@pytest.mark.parametrize("name", [5, [1], "../../x", "a/b", ".hidden", "", "a b", "x\n"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path, name):
    path = write(tmp_path, {"preset": name})
    with pytest.raises(ValueError) as error:
        load_preset(path)
    assert str(error.value).startswith(f"{path}: preset: {name!r} cannot name the files")
    assert "\n" not in str(error.value)


def test_a_name_may_hold_letters_digits_and_three_signs(tmp_path):
    assert load_preset(write(tmp_path, {"preset": "High-mu_140.v2"}))["preset"] == "High-mu_140.v2"


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        ({"seed": 1.5}, "seed: 1.5 is not allowed"),
        ({"overlay": {"mu": -1}}, "overlay.mu: -1 is not allowed"),
        ({"data": {"n_qcd": 1501}}, "data.n_qcd: 1501 does not balance"),
        ({"data": {"llp_masses": [7, 7]}}, "data.llp_masses: 7 is not allowed"),
        (
            {"data": {"n_qcd": 20, "n_llp_per_mass": 10}, "training": {"test_fraction": 0.01}},
            "training.test_fraction, training.validation_fraction: fewer than 4 events",
        ),
    ],
)
def test_bad_values_name_their_file(tmp_path, values, culprit):
    path = write(tmp_path, values)
    with pytest.raises(ValueError) as error:
        load_preset(path)
    assert str(error.value).startswith(f"{path}: {culprit}")


def test_an_unknown_preset_lists_those_there_are():
    with pytest.raises(FileNotFoundError, match="'slow'; there are paper, quick, standard"):
        load_preset("slow")


@pytest.mark.parametrize(
    ("content", "culprit"),
    [
        (b"- 1\n- 2\n", "holds groups"),
        (b"a: [", "not YAML"),
        (b"preset: caf\xe9", "not YAML in UTF-8"),
        (b"a: 2020-13-45", "not YAML"),
    ],
)
def test_a_file_that_is_no_preset_is_named(tmp_path, content, culprit):
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=culprit) as error:
        load_preset(path)
    assert str(error.value).startswith(f"{path}: ")


@given(st.floats(0, 500))
def test_every_number_within_the_bounds_is_kept(mu):
    assert Rule("mean", float, 0, 500).check("overlay.mu", mu) == mu


@given(st.floats().filter(lambda x: not 0 <= x <= 500))
def test_every_number_outside_the_bounds_is_refused(mu):
    with pytest.raises(ValueError, match=r"overlay\.mu"):
        Rule("mean", float, 0, 500).check("overlay.mu", mu)
