import threading
from pathlib import Path

import pytest

from hepgmm import Analysis
from hepgmm.analysis.presets import SCHEMA
from hepgmm.analysis.stages import STAGES, Stage
from hepgmm.classify.ladder import RUNGS
from hepgmm.io.cache import _module, code_fingerprint, import_closure

# what is made of the events with pileup
OVERLAID = {"datasets", *RUNGS, "scores", "figures"}


def test_code_is_the_closure_of_imports():
    """Also of those within functions; but not what moves bytes or divides work."""
    closure = import_closure("classify.ladder")
    assert {
        "classify.networks",
        "classify.learning",
        "training",
        "events",
        "crossings.samples",
    } <= {*closure}
    assert not {"cores", "io.cache", "io.atomic", "plots", "pileup.base"} & {*closure}
    assert "mixture.sampling" in import_closure("pileup.shared")
    assert not [name for name in closure if name.startswith("mixture")]


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
        second._stage("minbias", lambda path: made.append("twice"), Path.read_text)

    thread = threading.Thread(target=ask)
    monkeypatch.setattr("hepgmm.io.cache.print", lambda *_, **__: waiting.set(), raising=False)
    assert first._stage("minbias", make, Path.read_text) == "events"
    thread.join(60)
    assert made == [first.path("minbias").name]
    assert second._kept == first._kept


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Function that writes modules of a package in the place of hepgmm and fingerprints one."""
    monkeypatch.setattr("hepgmm.io.cache.__file__", str(tmp_path / "io" / "cache.py"))

    def fingerprint(name, **texts):
        for module, text in texts.items():
            (tmp_path / f"{module}.py").write_text(text)
        _module.cache_clear()
        return code_fingerprint.__wrapped__(name)

    yield fingerprint
    _module.cache_clear()


def test_the_fingerprint_is_blind_to_comments_and_docstrings(package):
    plain = package("a", a="def f(x):\n    return x + 1\n")
    documented = '"""Module."""\n\n\ndef f(x):\n    """Add."""\n    # one\n    return x + 1\n'
    assert package("a", a=documented) == plain
    assert package("a", a="def f(x):\n    return x + 2\n") != plain


def test_the_fingerprint_covers_what_is_imported_within_functions_too(package):
    text = "def f():\n    from hepgmm.b import g\n\n    return g()\n"
    before = package("a", a=text, b="from hepgmm.c import g\n", c="g = int\n", d="x = 1\n")
    assert package("a", d="x = 2\n") == before
    assert package("a", c="g = float\n") != before


def test_a_table_beside_a_module_is_part_of_its_fingerprint(package, tmp_path):
    before = package("a", a="x = 1\n")
    (tmp_path / "a.yaml").write_text("x: 1\n")
    assert package("a") != before


def test_stages_only_name_parameters_code_and_stages_that_exist():
    parameters = Analysis("quick").parameters
    for stage in STAGES.values():
        assert code_fingerprint(*stage.code)
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
        ({"training": {"epochs_mlp": 31}}, {"mlp", "figures"}),
        ({"training": {"epochs_transformer": 9}}, {"transformer", "figures"}),
        ({"training": {"batch_size": 64}}, {*RUNGS, "figures"} - {"pt_cut", "trees"}),
        ({"training": {"classifiers": ["mlp", "trees"]}}, {"figures"}),
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


def test_scores_are_of_one_rung_and_its_test_events():
    before = Analysis("quick")
    for change, others in (
        ({"training": {"epochs_mlp": 31}}, {"mlp"}),
        ({"training": {"classifiers": ["mlp", "trees"]}}, set()),
        ({"overlay": {"mu": 61}}, set(RUNGS)),
    ):
        after = Analysis("quick", **change)
        assert {r for r in RUNGS if before.scores_path(r) != after.scores_path(r)} == others
    assert before.scores_path("mlp", 1) != before.scores_path("mlp")


def test_code_that_is_edited_during_a_run_does_not_name_its_outcome(monkeypatch):
    analysis = Analysis("quick")
    before = analysis.path("scores")
    monkeypatch.setattr("hepgmm.analysis.stages.code_fingerprint", lambda *_: "edited since")
    assert analysis.path("scores") == before
    assert Analysis("quick").path("scores") != before


def test_a_whole_group_is_read_with_a_star():
    stage = Stage(".npz", keys=("overlay.*",))
    assert stage.inputs({"overlay": {"mu": 60, "sigma_z": 53}}) == {
        "overlay.mu": 60,
        "overlay.sigma_z": 53,
    }
