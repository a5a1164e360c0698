import pytest

from hepgmm import Analysis
from hepgmm.cache import code_fingerprint
from hepgmm.stages import STAGES, Stage


def test_the_fingerprint_is_blind_to_comments_and_docstrings(tmp_path, monkeypatch):
    monkeypatch.setattr("hepgmm.cache.__file__", str(tmp_path / "cache.py"))
    versions = {
        "plain": "def f(x):\n    return x + 1\n",
        "documented": '"""Module."""\n\n\ndef f(x):\n    """Add."""\n    # one\n    return x + 1\n',
        "changed": "def f(x):\n    return x + 2\n",
    }
    for name, text in versions.items():
        (tmp_path / f"{name}.py").write_text(text)
    fingerprints = {name: code_fingerprint.__wrapped__(name) for name in versions}
    assert fingerprints["plain"] == fingerprints["documented"]
    assert fingerprints["plain"] != fingerprints["changed"]


def test_a_subpackage_is_fingerprinted_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("hepgmm.cache.__file__", str(tmp_path / "cache.py"))
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.py").write_text("x = 1\n")
    before = code_fingerprint.__wrapped__("part")
    (tmp_path / "part" / "b.py").write_text("y = 1\n")
    assert code_fingerprint.__wrapped__("part") != before


def test_stages_only_name_parameters_code_and_stages_that_exist():
    parameters = Analysis("quick").parameters
    for stage in STAGES.values():
        stage.inputs(parameters)
        assert all(code_fingerprint(name) for name in stage.code)
        assert all(name in STAGES for name in stage.needs)


def test_every_parameter_decides_some_stage():
    parameters = Analysis("quick").parameters
    read = {name for stage in STAGES.values() for name in stage.inputs(parameters)}
    every = {f"{g}.{key}" for g, v in parameters.items() if isinstance(v, dict) for key in v}
    assert every == read


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ({"training": {"epochs_mlp": 31}}, {"mlp", "scores"}),
        ({"training": {"epochs_transformer": 9}}, {"transformer", "scores"}),
        ({"overlay": {"mu": 61}}, {"datasets", "mlp", "transformer", "scores"}),
        ({"data": {"n_minbias": 301}}, set(STAGES) - {"minbias-test", "qcd", "llp"}),
        (
            {"mixture": {"synthetic_events": 999}},
            {n for n in STAGES if n.startswith("synth")} | {"minbias-test"},
        ),
        ({"seed": 2}, set(STAGES)),
    ],
)
def test_a_change_recomputes_what_depends_on_it_and_nothing_else(change, recomputed):
    before, after = Analysis("quick"), Analysis("quick", **change)
    assert {stage for stage in STAGES if before.key(stage) != after.key(stage)} == recomputed


def test_a_whole_group_is_read_with_a_star():
    stage = Stage(".npz", keys=("overlay.*",))
    assert stage.inputs({"overlay": {"mu": 60, "sigma_z": 53}}) == {
        "overlay.mu": 60,
        "overlay.sigma_z": 53,
    }
