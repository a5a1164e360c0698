import ast
import threading
from pathlib import Path

import pytest

import hepgmm
from hepgmm import Analysis
from hepgmm.cache import code_fingerprint
from hepgmm.classify.registry import RUNGS, classifier_class
from hepgmm.presets import SCHEMA
from hepgmm.stages import STAGES, Stage, rung_code

PACKAGE = Path(hepgmm.__file__).parent
# what is made of the events with pileup
OVERLAID = {"datasets", *RUNGS, "scores", "figures"}


def imports(name):
    """Modules of the package that a module imports, and those that they import, as paths."""
    names, found = [name], set()
    while names:
        path = names.pop()
        tree = ast.parse((PACKAGE / f"{path}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("hepgmm."):
                other = node.module.removeprefix("hepgmm.").replace(".", "/")
                if other not in found and (PACKAGE / f"{other}.py").exists():
                    found.add(other)
                    names.append(other)
    return found


def test_the_key_of_a_generator_covers_all_code_that_makes_its_events():
    """But for what checks events and files, and does not change what is made."""
    checks = {"tracks", "io_utils", "cache", "pileup/archive"}
    covered = STAGES["shared"].code
    for module in imports("pileup/shared") - checks:
        assert any(module == name or module.startswith(f"{name}/") for name in covered), module


def test_the_key_of_a_rung_covers_all_code_that_trains_it():
    """But for what checks and keeps files, and finds rungs by their names."""
    others = {"io_utils", "classify/storage", "classify/registry"}
    modules = {"pt_cut": "classify/cuts", "trees": "classify/trees", "mlp": "classify/rungs"}
    for rung, own in modules.items():
        # that networks are stored as fitted rungs are does not change a training
        fitted = {"cuts", "trees", "summaries"} if rung == "mlp" else set()
        found = {own, *imports(own)} - others - {f"classify/{name}" for name in fitted}
        assert found <= set(rung_code(rung)), rung
        assert found <= set(rung_code("one_of_my_own"))


def test_a_change_of_the_trees_leaves_networks_as_they_are():
    for name in RUNGS:
        own = hasattr(classifier_class(name), "architecture")
        assert ("classify/summaries" in rung_code(name)) != own
        assert ("classify/training" in rung_code(name)) == own


def test_a_second_process_waits_for_the_file_that_a_first_one_makes(tmp_path, monkeypatch):
    """Two threads stand for the processes; the lock is one of the file system."""
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path))
    first, second = (Analysis("quick", progress=False) for _ in range(2))
    waiting, made = threading.Event(), []

    def make(path):
        made.append(path.name)
        thread.start()
        assert waiting.wait(60)
        path.write_text("events")

    def ask():
        second._get("minbias", lambda path: made.append("twice"), Path.read_text)

    thread = threading.Thread(target=ask)
    monkeypatch.setattr("hepgmm.cache.print", lambda *_, **__: waiting.set(), raising=False)
    assert first._get("minbias", make, Path.read_text) == "events"
    thread.join(60)
    assert made == [first.path("minbias").name]
    assert second._kept == first._kept


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
        assert all(code_fingerprint(name) for name in stage.code)
        for pileup in SCHEMA["overlay"]["pileup"].choices:
            chosen = stage.chosen(parameters | {"overlay": {"pileup": pileup}})
            chosen.inputs(parameters)
            assert all(name in STAGES for name in chosen.needs)


def test_every_parameter_decides_some_stage():
    parameters = Analysis("quick").parameters
    read = {name for stage in STAGES.values() for name in stage.inputs(parameters)}
    every = {f"{g}.{key}" for g, v in parameters.items() if isinstance(v, dict) for key in v}
    assert every == read


@pytest.mark.parametrize(
    ("change", "recomputed"),
    [
        ({"training": {"epochs_mlp": 31}}, {"mlp", "scores", "figures"}),
        ({"training": {"epochs_transformer": 9}}, {"transformer", "scores", "figures"}),
        ({"training": {"batch_size": 64}}, {*RUNGS, "scores", "figures"} - {"pt_cut", "trees"}),
        ({"training": {"classifiers": ["mlp", "trees"]}}, {"scores", "figures"}),
        ({"overlay": {"mu": 61}}, OVERLAID),
        (
            {"mixture": {"clip_eigenvalues": 0.1}},
            {"synthetic-clipped", "synthetic-scaled", "figures"},
        ),
        (
            {"data": {"n_minbias": 301}},
            set(STAGES) - {"minbias-test", "minbias-pool", "qcd", "llp"},
        ),
        ({"data": {"n_pool": 301}}, {"minbias-pool"}),
        (
            {"mixture": {"synthetic_events": 999}},
            {n for n in STAGES if n.startswith("synth")} | {"minbias-test", "figures"},
        ),
        ({"seed": 2}, set(STAGES)),
    ],
)
def test_a_change_recomputes_what_depends_on_it_and_nothing_else(change, recomputed):
    before, after = Analysis("quick"), Analysis("quick", **change)
    assert {stage for stage in STAGES if before.key(stage) != after.key(stage)} == recomputed


@pytest.mark.parametrize(
    ("pileup", "change", "recomputed"),
    [
        ("real", {"clip_eigenvalues": 0.1}, set()),
        ("hgmm", {"clip_eigenvalues": 0.1}, set()),
        ("hgmm_clipped", {"clip_eigenvalues": 0.1}, OVERLAID),
        ("real", {"n_init": 2}, {"figures"}),
        ("hgmm_scaled", {"n_init": 2}, OVERLAID),
    ],
)
def test_samples_depend_on_the_pileup_that_is_in_them(pileup, change, recomputed):
    chosen = {"overlay": {"pileup": pileup}}
    before, after = Analysis("quick", **chosen), Analysis("quick", **chosen, mixture=change)
    changed = {stage for stage in OVERLAID if before.key(stage) != after.key(stage)}
    assert changed == recomputed | {"figures"}


def test_code_that_is_edited_during_a_run_does_not_name_its_outcome(monkeypatch):
    analysis = Analysis("quick")
    before = analysis.path("scores")
    monkeypatch.setattr("hepgmm.stage_cache.code_fingerprint", lambda name: "edited since")
    assert analysis.path("scores") == before
    assert Analysis("quick").path("scores") != before


def test_a_whole_group_is_read_with_a_star():
    stage = Stage(".npz", keys=("overlay.*",))
    assert stage.inputs({"overlay": {"mu": 60, "sigma_z": 53}}) == {
        "overlay.mu": 60,
        "overlay.sigma_z": 53,
    }
