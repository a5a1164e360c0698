"""The studies: settings change what they say, trainings are kept, figures have errors."""

import json
import shutil

import numpy as np
import pytest

from hepgmm.analysis.figures import environment
from hepgmm.analysis.presets import load_preset
from hepgmm.classify import load_model, predict
from hepgmm.classify.changes import (
    CHANGES,
    smeared,
)
from hepgmm.classify.registry import CLASSIFIERS, classifier_class
from hepgmm.cli import main
from hepgmm.collide.detector import RESOLUTION
from hepgmm.crossings.samples import COLUMNS, Sample
from hepgmm.ladder.settings import Setting, merged
from hepgmm.plots.measure import study_panel
from hepgmm.studies import STUDIES, measure_studies
from hepgmm.studies.suite import EVENTS

SMALL = {
    "data": {"n_minbias": 40, "n_qcd": 120, "n_llp_per_mass": 60, "llp_masses": [100.0, 500.0]},
    "training": {"test_fraction": 0.4},
    "overlay": {"pileup": "real", "mu": 2},
}


def sample(n=200, seed=1):
    rng = np.random.default_rng(seed)
    X = (rng.random((n, 5, 6)) + 1) / 2
    mask = np.arange(5) < rng.integers(1, 6, n)[:, None]
    y = rng.integers(0, 2, n)
    return Sample(X, mask, y, 100.0 * y)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("without_d0", {"d0"}),
        ("without_dz", {"dz"}),
        ("without_distances", {"d0", "dz"}),
        ("without_phi", {"phi"}),
        ("smeared", set()),
    ],
)
def test_changes_touch_only_what_they_say(name, lost):
    before = sample()
    after = CHANGES[name](before, seed=1)
    touched = {"d0", "dz"} if name == "smeared" else lost
    for column, parameter in enumerate(COLUMNS):
        same = np.array_equal(after.X[..., column], before.X[..., column])
        assert same == (parameter not in touched)
        assert (not after.X[..., column].any()) == (parameter in lost)
    for field in ("mask", "y", "mass"):
        np.testing.assert_array_equal(getattr(after, field), getattr(before, field))


def test_resolution_is_that_of_the_bin_of_pt():
    pt = np.array([0.7, 1.5, 3.0, 5.0, 8.0, 12.0, 40.0])
    assert len(pt) == len(RESOLUTION["card"].edges) + 1
    X = np.zeros((20_000, len(pt), 6))
    X[..., COLUMNS.index("pt")] = pt
    noisy = smeared(Sample(X, np.ones(X.shape[:2]), np.zeros(len(X))), seed=3)
    for name in ("d0", "dz"):
        widths = getattr(RESOLUTION["card"], name)
        found = noisy.X[..., COLUMNS.index(name)].std(axis=0)
        np.testing.assert_allclose(found, widths, rtol=4 / np.sqrt(2 * len(X)))
    with pytest.raises(ValueError, match="no pT in GeV"):
        smeared(Sample(X[..., :5], np.ones(X.shape[:2]), np.zeros(len(X))), seed=3)


@pytest.mark.parametrize("name", STUDIES)
def test_every_setting_is_allowed_and_differs_from_the_others(name):
    settings = []
    for point in STUDIES[name].points:
        for groups in (merged(EVENTS, point.groups), merged(EVENTS, point.test or {})):
            load_preset("standard", **groups)
        assert point.change is None or point.change in CHANGES
        settings.append((point.groups, point.test, point.change, point.events, point.fresh))
    assert all(settings.count(setting) == 1 for setting in settings)
    values = [point.value for point in STUDIES[name].points]
    numbers = all(isinstance(value, int | float) for value in values)
    assert numbers == (STUDIES[name].scale != "phrases")


def test_later_groups_win():
    assert merged({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}, "b": {"z": 4}}) == {
        "a": {"x": 3, "y": 2},
        "b": {"z": 4},
    }


def test_test_events_of_other_masses_are_none_of_training(cache):
    test = {"data": {"llp_masses": [300.0, 1000.0]}}
    setting = Setting("quick", SMALL, test=test, workers=1)
    parts = setting.samples()
    assert set(parts["test"].mass) == {0, 300, 1000}
    assert set(parts["train"].mass) == {0, 100, 500}
    assert all(hard(part) for part in parts.values())
    assert not hard(parts["test"]) & (hard(parts["train"]) | hard(parts["validation"]))
    own = Setting("quick", SMALL, workers=1).samples()
    background = own["test"].X[own["test"].y == 0]
    np.testing.assert_array_equal(parts["test"].X[parts["test"].y == 0], background)


def hard(sample):
    """Hard tracks by their pT and |d0|, which the overlay leaves as they are."""
    return {tuple(row) for row in np.abs(sample.X[sample.hard][:, [3, 5]]) if row[0] > 0}


def test_a_part_of_the_training_events_is_of_all_classes_and_leaves_the_test_alone(cache):
    whole = Setting("quick", SMALL, workers=1).samples()
    setting = Setting("quick", SMALL, part=0.5, workers=1)
    half = setting.samples()
    for name in ("train", "validation"):
        assert len(half[name]) == pytest.approx(len(whole[name]) / 2, abs=1)
        assert set(half[name].mass) == {0, 100, 500}
        # The hardest 80 tracks of an event may be others beneath other pileup.
        assert len(hard(half[name]) - hard(whole[name])) < 0.1 * len(hard(half[name]))
    np.testing.assert_array_equal(half["test"].X, whole["test"].X)
    fresh = setting.fresh_sample(3)
    assert len(fresh) == len(half["train"]) and (fresh.mass == half["train"].mass).all()
    assert len(hard(fresh) - hard(half["train"])) < 0.1 * len(hard(fresh))
    assert not np.array_equal(fresh.X, half["train"].X)


def test_a_test_that_would_be_split_otherwise_is_refused():
    fewer, smaller = {"n_qcd": 60, "n_llp_per_mass": 30}, {"test_fraction": 0.3}
    for test, named in (({"data": fewer}, "data.n_qcd"), ({"training": smaller}, "training.test")):
        with pytest.raises(ValueError, match=f"another {named}.* would split"):
            Setting("quick", SMALL, test=test)


def test_only_rungs_that_ask_for_it_have_fresh_pileup(monkeypatch):
    monkeypatch.setattr(
        "hepgmm.ladder.settings.trained_scores", lambda name, samples, *, fresh, **options: fresh
    )
    cases = (None, (False, False, True)), (True, (False, True, True)), (False, (False,) * 3)
    for fresh, expected in cases:
        setting = Setting("quick", SMALL, fresh=fresh)
        for name, given in zip(("trees", "deepsets", "vertex_transformer"), expected, strict=True):
            assert (setting.train(name) == setting.fresh_sample) == given


def test_a_network_scores_other_test_events_without_another_training(cache):
    training, steps = {"epochs": 1, "batch_size": 32}, []
    heavy = {"data": {"llp_masses": [300.0, 1000.0]}}
    for test in (None, heavy):
        setting = Setting("quick", SMALL, test=test, workers=1)
        done = setting.train("deepsets", training=training, progress=steps.append)
        model, parts = load_model(done.models[0]), setting.samples()
        expected = predict(model, parts["test"].X, parts["test"].mask)
        np.testing.assert_allclose(done.scores[0], expected, atol=1e-6)
    assert len(list(cache.rglob("rung-deepsets-*.safetensors"))) == 1
    assert len(list(cache.rglob("rung-deepsets-*.npz"))) == 2
    assert len(steps) == 2


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
    monkeypatch.setattr("hepgmm.studies.measure_studies", lambda path, **_: figures)
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
    for kept in cache.rglob("rung-deepsets-*"):
        kept.unlink() if kept.is_file() else shutil.rmtree(kept)
    again = measure_studies(cache / "again.json", **options, names=names, workers=1)
    for row, other in zip(*(f["studies"]["dz"]["settings"] for f in (alone, again)), strict=True):
        areas = [r["rungs"]["deepsets"]["figures"]["auc"]["value"] for r in (row, other)]
        assert areas[0] == pytest.approx(areas[1], abs=0.01)


def test_processes_do_not_share_a_graphics_processor(cache, monkeypatch):
    about = environment() | {"machine": {"accelerator": "a card"}}
    monkeypatch.setattr("hepgmm.studies.suite.environment", lambda: about)
    options = {"preset": "quick", "events": SMALL, "n_bootstrap": 5, "studies": ["dz"]}
    steps = []
    measure_studies(cache / "a.json", **options, names=["pt_cut"], workers=2, progress=steps.append)
    assert steps.count("pt_cut, 1") == 3


def test_bad_input_is_named(tmp_path, capsys):
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
