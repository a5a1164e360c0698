import json

import numpy as np
import pytest

from hepgmm import Analysis, load_preset
from hepgmm.classify import (
    CLASSIFIERS,
    DeepSets,
    NetworkClassifier,
    register,
)

SMALL = {
    "data": {"n_minbias": 60, "n_qcd": 60, "n_llp_per_mass": 30},
    "mixture": {"max_event_components": 3, "high_level_max": 4, "synthetic_events": 40},
    "overlay": {"mu": 5},
    "training": {
        "epochs_mlp": 2,
        "epochs_transformer": 1,
        "batch_size": 32,
        "validation_fraction": 0.25,
    },
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def results(cache):
    """Figures of one whole small run, from collisions to ROC."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hepgmm.analysis.figures.results_folder", lambda: cache / "results")
        analysis = Analysis("quick", **SMALL, cache=cache, progress=False)
        figures = analysis.results()
        assert json.loads((cache / "results" / f"{analysis.name}.json").read_text()) == figures
        assert (cache / "results" / f"{analysis.name}_roc.svg").stat().st_size > 1000
    return figures


def measurements(value):
    """Every {"value", "error"} pair in nested figures."""
    if isinstance(value, dict):
        if set(value) == {"value", "error"}:
            yield value
        else:
            for item in value.values():
                yield from measurements(item)


def test_every_classifier_has_every_metric_with_an_error(results):
    assert list(results["classifiers"]) == load_preset("quick")["training"]["classifiers"]
    for figures in results["classifiers"].values():
        assert set(figures["per_mass"]) == {"100", "500"}
        for metric in ("auc", "accuracy", "recall", "precision"):
            assert 0 <= figures[metric]["value"] <= 1
            assert figures[metric]["error"] >= 0
    assert "transformer - mlp" in results["differences"]


def test_every_measurement_is_finite(results):
    pairs = list(measurements(results))
    assert len(pairs) > 40
    assert np.isfinite([[pair["value"], pair["error"]] for pair in pairs]).all()


def test_provenance_is_kept(results):
    assert results["parameters"]["overlay"]["mu"] == 5
    assert results["versions"]["pythia8mc"].startswith("8.")
    assert {"minbias", "qcd", "llp-100", "llp-500", "hgmm", "mlp", "transformer"} <= set(
        results["seconds"]
    )
    assert sum(results["events"].values()) == 120


def test_a_second_analysis_only_reads_the_cache(cache, results, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr("hepgmm.collide.generate", fail)
    monkeypatch.setattr("hepgmm.pileup.hierarchical.HierarchicalGMM.fit", fail)
    monkeypatch.setattr("hepgmm.crossings.samples.split_hard_events", fail)
    again = Analysis("quick", **SMALL, cache=cache, progress=False)
    scores, test = again.scores(), again.datasets()["test"]
    assert {len(score) for score in scores.values()} == {len(test)}


def test_the_name_tells_a_changed_preset_from_a_shipped_one():
    assert Analysis("quick").name == "quick"
    changed = Analysis("quick", overlay={"mu": 140})
    assert changed.name.startswith("quick-")
    assert changed.label == "quick preset, modified"
    assert changed.name != Analysis("quick", overlay={"mu": 20}).name


def test_unknown_masses_cures_and_networks_are_named(cache):
    analysis = Analysis("quick", cache=cache)
    with pytest.raises(ValueError, match="mass: 300 GeV is not in"):
        analysis.llp(300)
    with pytest.raises(ValueError, match="cure: 'aspirin'"):
        analysis.hgmm("aspirin")
    with pytest.raises(ValueError, match="unknown classifier 'gnn'; there are pt_cut, trees"):
        analysis.trained("gnn")


@pytest.fixture
def own_rung():
    @register("small_sets", title="Small DeepSets")
    class SmallSets(NetworkClassifier):
        architecture = DeepSets
        options = {"width": 4, "features": "asinh"}  # noqa: RUF012
        training = {"epochs": 3}  # noqa: RUF012

    yield SmallSets
    del CLASSIFIERS["small_sets"]


def test_a_rung_of_ones_own_is_trained_by_its_name_and_read_back(cache, results, own_rung):
    chosen = {**SMALL["training"], "classifiers": ["trees", "small_sets"]}
    options = SMALL | {"training": chosen, "cache": cache, "progress": False}
    analysis = Analysis("quick", **options)
    scores, rung = analysis.scores(), analysis.trained("small_sets")
    assert list(scores) == ["trees", "small_sets"]
    assert [epoch["epoch"] for epoch in rung.history] == [1, 2, 3]
    assert rung.history[rung.best_epoch - 1]["val_loss"] == min(e["val_loss"] for e in rung.history)
    again = Analysis("quick", **options).trained("small_sets")
    test = analysis.datasets()["test"]
    np.testing.assert_array_equal(again.predict_proba(test.X, test.mask), scores["small_sets"])
    assert again.history == rung.history


def test_a_rung_with_the_name_of_a_stage_is_refused():
    @register("scores", title="Mine")
    class Mine:
        pass

    try:
        with pytest.raises(ValueError, match="'scores' is a stage; name the rung otherwise"):
            Analysis("quick", training={"classifiers": ["trees", "scores"]})
    finally:
        del CLASSIFIERS["scores"]


def test_fresh_pileup_is_laid_over_the_training_events_alone(cache, results, monkeypatch):
    changed = SMALL | {"training": SMALL["training"] | {"batch_size": 16}}
    analysis = Analysis("quick", **changed, cache=cache, progress=False)
    asked = {}

    class Enough(Exception):
        pass

    def train(model, training, validation, *, fresh=None, **options):
        asked["fresh"], asked["training"] = fresh, training
        raise Enough

    monkeypatch.setattr("hepgmm.classify.learning.train", train)
    for name, expected in (("deepsets", False), ("pooled_transformer", True)):
        with pytest.raises(Enough):
            analysis.trained(name)
        assert (asked["fresh"] is not None) == expected
    first, second = asked["training"], asked["fresh"](1)
    assert len(first) == len(second) and (first.y == second.y).all()
    assert not np.array_equal(first.X, second.X)
    assert not list(cache.glob(f"*{analysis.key('deepsets')}.safetensors"))


def test_a_history_that_is_gone_is_named(cache, results, tmp_path):
    analysis = Analysis("quick", **SMALL, cache=cache, progress=False)
    history = analysis.path("mlp").with_suffix("") / "history.parquet"
    rung = analysis.trained("mlp")
    assert rung.training["epochs"] == 2 and rung.options["features"] == "asinh"
    kept = history.rename(tmp_path / "history.parquet")
    again = Analysis("quick", **SMALL, cache=cache, progress=False)
    with pytest.raises(
        FileNotFoundError, match=r"the history of mlp-.*\.safetensors is gone; remove"
    ):
        again.trained("mlp")
    kept.rename(history)
