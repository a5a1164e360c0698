"""The loop of ladder and studies: trainings are kept, figures have errors, files are not mixed."""

import json
import shutil
import sys
from functools import partial

import numpy as np
import pytest

from hepgmm.analysis.figures import environment
from hepgmm.classify.ladder import CLASSIFIERS, classifier_class, register
from hepgmm.cli import main
from hepgmm.crossings.samples import Sample
from hepgmm.measure.plans import STUDIES
from hepgmm.measure.run import measure_ladder, measure_studies
from hepgmm.measure.tables import ladder_table
from hepgmm.measure.variants import Variant
from hepgmm.plots.measure import study_panel

SMALL = {
    "data": {"n_minbias": 40, "n_qcd": 120, "n_llp_per_mass": 60, "llp_masses": [100.0, 500.0]},
    "training": {"test_fraction": 0.4},
    "overlay": {"pileup": "real", "mu": 2},
}
NAMES = ("pt_cut", "trees", "coin")


def sample(n, seed):
    """Signal has more displaced tracks; half of it is of another mass."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.stack([rng.random((n, 6)) for _ in range(6)], axis=-1)
    X[..., 3] *= np.where(rng.random((n, 1)) < 0.6, 1 + 9 * y[:, None], 1)
    mass = np.where(y, rng.choice([100.0, 500.0], n), 0.0)
    return Sample(X, np.ones((n, 6), dtype=bool), y, mass)


def datasets(variant):
    """Stands for the samples of a preset."""
    return {"train": sample(400, 1), "validation": sample(100, 2), "test": sample(300, 3)}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def coin(cache, monkeypatch):
    """A rung that guesses, and counts how often it was fitted."""

    @register("coin", title="A coin")
    class Coin:
        fits = 0

        def fit(self, training, validation=None, *, seed, progress=False):
            type(self).fits += 1
            self.seed = seed
            return self

        def predict_proba(self, X, mask):
            return np.random.default_rng(self.seed).random(len(X))

    monkeypatch.setattr(Variant, "datasets", datasets)
    yield Coin
    del CLASSIFIERS["coin"]


def test_every_rung_has_every_figure_and_trainings_are_kept(coin, tmp_path):
    path, steps = tmp_path / "ladder.json", []
    options = {"names": NAMES, "settings": ("origin", "hard"), "trainings": 2}
    figures = measure_ladder(path, **options, n_bootstrap=20, progress=steps.append)
    assert json.loads(path.read_text()) == json.loads(json.dumps(figures))
    assert figures["settings"]["hard"]["events"] == {"train": 400, "validation": 100, "test": 300}
    assert coin.fits == 4
    for label in ("origin", "hard"):
        rungs = figures["settings"][label]["rungs"]
        assert set(rungs) == set(NAMES)
        for rung in rungs.values():
            assert {"auc", "accuracy", "auc_100", "auc_500"} <= set(rung["figures"])
            assert rung["trainings"] == 2
            assert {len(column) for column in rung["calibration"].values()} == {10}
    assert abs(rungs["coin"]["figures"]["auc"]["value"] - 0.5) < 0.1
    assert rungs["trees"]["above_trees"] == {"value": 0.0, "error": 0.0, "trainings": 0.0}
    assert rungs["coin"]["above_trees"]["value"] < -4 * rungs["coin"]["above_trees"]["error"]
    again = measure_ladder(path, **options, n_bootstrap=20, progress=lambda step: pytest.fail(step))
    assert again == figures
    table = ladder_table(figures, "origin")
    assert list(table.index) == ["Best cut on one pT", "Boosted trees", "A coin"]
    assert table.loc["Boosted trees", "above the trees"] == "–"
    assert len(steps) == 2 * 2 * 3


def test_seconds_of_a_training_leave_out_the_making_of_its_events(coin, tmp_path, monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr("hepgmm.analysis.analysis.time.perf_counter", lambda: clock["now"])

    def slow_datasets(variant):
        clock["now"] += 1000.0
        return datasets(variant)

    monkeypatch.setattr(Variant, "datasets", slow_datasets)
    options = {"names": ["coin"], "settings": ["origin"], "trainings": 1, "n_bootstrap": 5}
    figures = measure_ladder(tmp_path / "ladder.json", **options, progress=lambda step: None)
    assert clock["now"] >= 1000
    assert figures["settings"]["origin"]["rungs"]["coin"]["seconds"] == 0
    kept = [path for name in ("trees", "coin") for path in tmp_path.rglob(f"{name}-*.seconds")]
    assert [float(path.read_text()) for path in kept] == [0, 0]


def test_the_command_draws_every_setting(coin, tmp_path, monkeypatch, capsys):
    path = tmp_path / "ladder.json"
    monkeypatch.setattr("hepgmm.measure.measure_ladder", partial(measure_ladder, n_bootstrap=5))
    command = "ladder --trainings 1 --settings origin hard --only pt_cut trees --seed 7 -o"
    assert main([*command.split(), str(path)]) == 0
    assert {each.name for each in tmp_path.glob("*.svg")} == {
        "ladder_origin.svg",
        "ladder_hard.svg",
    }
    assert json.loads(path.read_text())["parameters"]["seed"] == 7
    assert "Best cut on one pT" in capsys.readouterr().out
    figures = json.loads(path.read_text())
    monkeypatch.setattr("hepgmm.measure.measure_ladder", lambda *_, **__: figures)
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main([*command.split(), str(path)]) == 0
    assert "Best cut on one pT" in capsys.readouterr().out


def test_figures_of_other_events_are_not_kept(coin, tmp_path, monkeypatch):
    path = tmp_path / "ladder.json"
    options = {"settings": ["origin"], "trainings": 1, "n_bootstrap": 5}
    measure_ladder(path, names=NAMES, **options, progress=lambda step: None)
    monkeypatch.setattr(Variant, "_changes", lambda self, stage: {"events": "others"})
    figures = measure_ladder(path, names=["trees"], **options, progress=lambda step: None)
    assert set(figures["settings"]["origin"]["rungs"]) == {"trees"}


def test_runs_of_other_settings_are_not_mixed(coin, tmp_path):
    path = tmp_path / "ladder.json"
    options = {"names": ["pt_cut"], "settings": ["hard"], "trainings": 1, "n_bootstrap": 5}
    measure_ladder(path, **options, progress=lambda step: None)
    for other, named in (({"seed": 4}, "parameters"), ({"training": {"epochs": 2}}, "training")):
        with pytest.raises(ValueError, match=f"of other {named}; name another file"):
            measure_ladder(path, **options, **other, progress=lambda step: None)


def test_another_class_under_the_same_name_is_trained_again(coin, tmp_path):
    options = {"names": ["coin"], "settings": ["hard"], "trainings": 1, "n_bootstrap": 5}
    measure_ladder(tmp_path / "a.json", **options, progress=lambda step: None)
    del CLASSIFIERS["coin"]

    @register("coin", title="Another coin")
    class Coin:
        def fit(self, training, validation=None, *, seed, progress=False):
            return self

        def predict_proba(self, X, mask):
            return np.linspace(0, 1, len(X))

    steps = []
    measure_ladder(tmp_path / "b.json", **options, progress=steps.append)
    assert steps == ["hard: coin, 1"]


def test_bad_input_of_the_ladder_is_told(coin, tmp_path, capsys):
    with pytest.raises(ValueError, match="names: no gnn; there are pt_cut"):
        measure_ladder(tmp_path / "x.json", names=["gnn"])
    with pytest.raises(ValueError, match="settings: no beam; there are origin"):
        measure_ladder(tmp_path / "x.json", settings=["beam"])
    with pytest.raises(ValueError, match="trainings = 0"):
        measure_ladder(tmp_path / "x.json", trainings=0)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="not a file of settings and their figures"):
        measure_ladder(tmp_path / "x.json", names=NAMES)
    assert main(["ladder", "--only", "gnn", "-o", f"{tmp_path}/y.json"]) == 2
    assert "no gnn" in capsys.readouterr().err


def test_measured_once_and_read_from_then_on(cache, monkeypatch):
    options = {"preset": "quick", "events": SMALL, "n_bootstrap": 5, "workers": 1}
    options |= {"names": ("pt_cut", "deepsets"), "training": {"epochs": 1, "batch_size": 16}}
    options |= {"studies": ("inputs", "fresh")}
    steps, path = [], cache / "studies.json"
    figures = measure_studies(path, **options, progress=steps.append)
    assert json.loads(path.read_text()) == json.loads(json.dumps(figures))
    rows = figures["studies"]["inputs"]["settings"]
    assert [row["value"] for row in rows] == ["nothing", "d0", "dz", "d0 and dz", "phi"]
    for row in rows:
        assert row["events"]["test"] == 96
        for rung in row["rungs"].values():
            assert 0 <= rung["figures"]["auc"]["value"] <= 1 and rung["figures"]["auc"]["error"] > 0
    assert "difference" not in rows[0]["rungs"]["deepsets"]
    assert rows[1]["rungs"]["pt_cut"]["difference"] == {"value": 0, "error": 0, "trainings": None}
    for row in rows:
        cut, network = (row["rungs"][name] for name in ("pt_cut", "deepsets"))
        areas = network["figures"]["auc"]["value"], cut["figures"]["auc"]["value"]
        assert network["above_pt_cut"]["value"] == pytest.approx(areas[0] - areas[1], abs=1e-12)
        assert "above_pt_cut" not in cut
    fresh = figures["studies"]["fresh"]["settings"][1]["rungs"]
    assert list(fresh) == ["pt_cut", "deepsets", "pooled_transformer"]
    assert fresh["pooled_transformer"]["figures"]["auc"]["trainings"] > 0
    assert len([step for step in steps if step == "pooled_transformer, 3"]) == 2
    # The cut sees neither of them; the settings share hard events and pileup.
    cuts = [row["rungs"]["pt_cut"]["figures"] for row in rows]
    assert all(cut == cuts[0] for cut in cuts)
    again = []
    assert measure_studies(path, **options, progress=again.append)["studies"] == figures["studies"]
    assert [step for step in again if ", 1" in step] == []
    # Scores that are kept are read within a second, which is not what the study took.
    slow = json.loads(path.read_text())
    for study in slow["studies"].values():
        study |= {"seconds": 1e6, "code": "of an earlier version"}
    path.write_text(json.dumps(slow))
    read = measure_studies(path, **options, progress=print)["studies"]
    assert [study["seconds"] for study in read.values()] == [1e6, 1e6]
    assert len([step for step in steps if step == "deepsets, 1"]) == 7
    with pytest.raises(ValueError, match="of other training; name another file"):
        measure_studies(path, **options | {"training": None}, progress=print)
    monkeypatch.setattr("hepgmm.measure.measure_studies", lambda path, **_: figures)
    assert main(["studies", "-p", "quick", "-o", str(path)]) == 0
    assert (cache / "studies_inputs.svg").exists() and (cache / "studies_fresh.svg").exists()
    figure = study_panel(STUDIES["inputs"], rows, label="quick preset")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Best cut on one pT",
        "DeepSets",
    ]


def test_side_by_side_leaves_only_ones_own_rungs_to_this_process(cache, monkeypatch):
    class Hardest(classifier_class("pt_cut")):
        pass

    monkeypatch.setitem(CLASSIFIERS, "hardest", Hardest)
    options = {"preset": "quick", "events": SMALL, "n_bootstrap": 5, "studies": ["dz"]}
    options |= {"training": {"epochs": 1, "batch_size": 32}}
    names, steps = ("pt_cut", "deepsets", "hardest"), []
    path = cache / "studies.json"
    figures = measure_studies(path, **options, names=names, workers=2, progress=steps.append)
    assert steps.count("hardest, 1") == 3 and "deepsets, 1" not in steps
    assert {f"dz: the centre, {what}" for what in ("events", "deepsets", "pt_cut")} <= set(steps)
    for row in figures["studies"]["dz"]["settings"]:
        assert row["rungs"]["hardest"]["above_pt_cut"]["value"] == 0
    alone = measure_studies(cache / "alone.json", **options, names=names, workers=1)
    assert alone["studies"]["dz"]["settings"] == figures["studies"]["dz"]["settings"]
    for kept in [*cache.rglob("deepsets-*"), *cache.rglob("scores-deepsets-*")]:
        kept.unlink() if kept.is_file() else shutil.rmtree(kept)
    again = measure_studies(cache / "again.json", **options, names=names, workers=1)
    for row, other in zip(*(f["studies"]["dz"]["settings"] for f in (alone, again)), strict=True):
        areas = [r["rungs"]["deepsets"]["figures"]["auc"]["value"] for r in (row, other)]
        assert areas[0] == pytest.approx(areas[1], abs=0.01)


def test_processes_do_not_share_a_graphics_processor(cache, monkeypatch):
    about = environment() | {"machine": {"accelerator": "a card"}}
    monkeypatch.setattr("hepgmm.measure.run.environment", lambda: about)
    options = {"preset": "quick", "events": SMALL, "n_bootstrap": 5, "studies": ["dz"]}
    steps = []
    measure_studies(cache / "a.json", **options, names=["pt_cut"], workers=2, progress=steps.append)
    assert steps.count("pt_cut, 1") == 3


def test_bad_input_of_studies_is_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="studies: no weather; there are mu, ctau"):
        measure_studies(tmp_path / "a.json", studies=["weather"])
    with pytest.raises(ValueError, match="names: no oracle"):
        measure_studies(tmp_path / "a.json", names=["oracle"])
    for content in ("{", "[]", "{}"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(ValueError, match=r"a\.json: not a file of studies and their figures"):
            measure_studies(tmp_path / "a.json", studies=["mu"])
    assert main(["studies", "--only", "weather", "-o", str(tmp_path / "b.json")]) == 2
    assert "no weather" in capsys.readouterr().err
