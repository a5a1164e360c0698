"""The ladder: every rung has every figure, trainings are kept, errors hold both of their parts."""

import json
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import auc as area_under
from sklearn.metrics import roc_curve as sklearn_roc

from hepgmm.classify.ladder import CLASSIFIERS, register
from hepgmm.classify.metrics import auc, auc_difference, difference, roc_band
from hepgmm.cli import main
from hepgmm.crossings.samples import Sample
from hepgmm.ladder import climb, ladder_table, rung_figures
from hepgmm.statistics import format_measurement

NAMES = ("pt_cut", "trees", "coin")


def sample(n, seed):
    """Signal has more displaced tracks; half of it is of another mass."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    X = np.stack([rng.random((n, 6)) for _ in range(6)], axis=-1)
    X[..., 3] *= np.where(rng.random((n, 1)) < 0.6, 1 + 9 * y[:, None], 1)
    mass = np.where(y, rng.choice([100.0, 500.0], n), 0.0)
    return Sample(X, np.ones((n, 6), dtype=bool), y, mass)


class Analysis:
    """Stands for the analysis of a preset."""

    made: list = []  # noqa: RUF012

    def __init__(self, preset, *, seed=None, workers=None, progress=True, overlay=None, **groups):
        self.name, self.cache = preset, self.folder
        self.parameters = {"preset": preset, "seed": seed or 3, "overlay": overlay}

    def key(self, stage):
        return f"{stage}-{self.parameters['overlay']}"

    def datasets(self):
        return {"train": sample(400, 1), "validation": sample(100, 2), "test": sample(300, 3)}


@pytest.fixture
def coin(tmp_path, monkeypatch):
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

    Analysis.folder = tmp_path
    for module in ("suite", "settings"):
        monkeypatch.setattr(f"hepgmm.ladder.{module}.Analysis", Analysis)
    yield Coin
    del CLASSIFIERS["coin"]


def test_every_rung_has_every_figure_and_trainings_are_kept(coin, tmp_path):
    path, steps = tmp_path / "ladder.json", []
    options = {"names": NAMES, "settings": ("origin", "hard"), "trainings": 2}
    figures = climb(path, **options, n_bootstrap=20, progress=steps.append)
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
    again = climb(path, **options, n_bootstrap=20, progress=lambda step: pytest.fail(step))
    assert again == figures
    table = ladder_table(figures, "origin")
    assert list(table.index) == ["Best cut on one pT", "Boosted trees", "A coin"]
    assert table.loc["Boosted trees", "above the trees"] == "–"
    assert len(steps) == 2 * 2 * 3


def test_seconds_of_a_training_leave_out_the_making_of_its_events(coin, tmp_path, monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr("hepgmm.ladder.trainings.time.perf_counter", lambda: clock["now"])
    made = Analysis.datasets

    def datasets(self):
        clock["now"] += 1000.0
        return made(self)

    monkeypatch.setattr(Analysis, "datasets", datasets)
    options = {"names": ["coin"], "settings": ["origin"], "trainings": 1, "n_bootstrap": 5}
    figures = climb(tmp_path / "ladder.json", **options, progress=lambda step: None)
    assert clock["now"] >= 1000
    assert figures["settings"]["origin"]["rungs"]["coin"]["seconds"] == 0
    kept = [np.load(path)["seconds"] for path in tmp_path.glob("rung-*.npz")]
    assert kept == [0, 0]


def test_the_command_draws_every_setting(coin, tmp_path, monkeypatch, capsys):
    path = tmp_path / "ladder.json"
    monkeypatch.setattr("hepgmm.ladder.climb", partial(climb, n_bootstrap=5))
    command = "ladder --trainings 1 --settings origin hard --only pt_cut trees --seed 7 -o"
    assert main([*command.split(), str(path)]) == 0
    assert {each.name for each in tmp_path.glob("*.svg")} == {
        "ladder_origin.svg",
        "ladder_hard.svg",
    }
    assert json.loads(path.read_text())["parameters"]["seed"] == 7
    assert "Best cut on one pT" in capsys.readouterr().out


def test_figures_of_other_events_are_not_kept(coin, tmp_path, monkeypatch):
    path = tmp_path / "ladder.json"
    options = {"settings": ["origin"], "trainings": 1, "n_bootstrap": 5}
    climb(path, names=NAMES, **options, progress=lambda step: None)
    monkeypatch.setattr(Analysis, "key", lambda self, stage: "other events")
    figures = climb(path, names=["trees"], **options, progress=lambda step: None)
    assert set(figures["settings"]["origin"]["rungs"]) == {"trees"}


def test_runs_of_other_settings_are_not_mixed(coin, tmp_path):
    path = tmp_path / "ladder.json"
    options = {"names": ["pt_cut"], "settings": ["hard"], "trainings": 1, "n_bootstrap": 5}
    climb(path, **options, progress=lambda step: None)
    for other, named in (({"seed": 4}, "parameters"), ({"training": {"epochs": 2}}, "training")):
        with pytest.raises(ValueError, match=f"of other {named}; name another file"):
            climb(path, **options, **other, progress=lambda step: None)


def test_another_class_under_the_same_name_is_trained_again(coin, tmp_path):
    options = {"names": ["coin"], "settings": ["hard"], "trainings": 1, "n_bootstrap": 5}
    climb(tmp_path / "a.json", **options, progress=lambda step: None)
    del CLASSIFIERS["coin"]

    @register("coin", title="Another coin")
    class Coin:
        def fit(self, training, validation=None, *, seed, progress=False):
            return self

        def predict_proba(self, X, mask):
            return np.linspace(0, 1, len(X))

    steps = []
    climb(tmp_path / "b.json", **options, progress=steps.append)
    assert steps == ["hard: coin, 1"]


def test_a_rejection_of_few_events_is_a_lower_limit():
    """No background passes: 95% of the samples of 3.0 expected events have one or more."""
    test = sample(3000, 6)
    figures = rung_figures(test.y[None].astype(float), test, n_bootstrap=5, seed=1)
    n_background = (test.y == 0).sum()
    assert figures["rejection_50"] == {"above": pytest.approx(n_background / -np.log(0.05))}
    assert format_measurement(figures["rejection_50"]).startswith("> ")


def test_errors_hold_the_test_events_and_the_trainings():
    test, rng = sample(2000, 4), np.random.default_rng(5)
    good = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2), 0, 1)
    same = rung_figures(np.stack([good, good]), test, seed=1)
    alone = rung_figures(good[None], test, seed=1)
    assert alone["auc"]["trainings"] is None and same["auc"]["trainings"] == 0
    for name in ("value", "error"):
        assert same["auc"][name] == pytest.approx(alone["auc"][name])
    assert same["auc"]["value"] == pytest.approx(auc(good, test.y))
    coins = np.stack([good, rng.random(2000)])
    figure = rung_figures(coins, test, seed=1)["auc"]
    areas = [auc(row, test.y) for row in coins]
    assert figure["value"] == pytest.approx(np.mean(areas))
    assert figure["trainings"] == pytest.approx(np.std(areas, ddof=1))
    assert figure["error"] > np.std(areas, ddof=1) / np.sqrt(2)


def test_a_roc_band_is_the_curve_and_its_error():
    test, rng = sample(3000, 8), np.random.default_rng(9)
    scores = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2, (2, 3000)), 0, 1)
    band = roc_band(scores, test, n_bootstrap=100, seed=1)
    efficiency, rate = np.array(band["efficiency"]), np.array(band["rate"])
    assert (np.diff(rate) >= 0).all() and (np.diff(efficiency) > 0).all()
    for row in scores:
        false, true, _ = sklearn_roc(test.y, row)
        expected = np.interp(efficiency, true, false)
        # Two trainings that differ by their noise only.
        assert np.abs(rate - expected).max() < 0.05
    background = (test.y == 0).sum()
    middle = len(rate) // 2
    counted = np.sqrt(rate[middle] * (1 - rate[middle]) / background)
    # Two trainings, each with independent noise of its own, and the spread of the signal.
    assert 0.4 * counted < band["error"][middle] < 2.5 * counted
    areas = [auc(row, test.y) for row in scores]
    assert area_under(efficiency, 1 - rate) == pytest.approx(np.mean(areas), abs=0.01)


def test_difference_of_single_trainings_is_the_paired_one():
    test, rng = sample(1000, 6), np.random.default_rng(7)
    one = np.clip(rng.normal(0.4 + 0.2 * test.y, 0.2), 0, 1)
    other = np.clip(one + rng.normal(0, 0.05, 1000), 0, 1)
    found = difference(one[None], other[None], test, n_bootstrap=500, seed=1)
    expected = auc_difference(one, other, test.y, seed=1)
    assert found["value"] == pytest.approx(expected["value"])
    assert found["error"] == pytest.approx(expected["error"], rel=0.15)
    assert difference(one[None], one[None], test, seed=1)["error"] == 0
    both = difference(np.stack([one, other]), one, test, seed=1)
    assert both["value"] == pytest.approx(-expected["value"] / 2)
    assert both["trainings"] == pytest.approx(abs(expected["value"]) / np.sqrt(2))
    with pytest.raises(ValueError, match="others: 2 trainings; give 1 or 3"):
        difference(np.stack([one] * 3), np.stack([one] * 2), test, seed=1)


def test_bad_input_is_told(coin, tmp_path, capsys):
    with pytest.raises(ValueError, match="names: no gnn; there are pt_cut"):
        climb(tmp_path / "x.json", names=["gnn"])
    with pytest.raises(ValueError, match="settings: no beam; there are origin"):
        climb(tmp_path / "x.json", settings=["beam"])
    with pytest.raises(ValueError, match="trainings = 0"):
        climb(tmp_path / "x.json", trainings=0)
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(ValueError, match="not a file of settings and their figures"):
        climb(tmp_path / "x.json", names=NAMES)
    assert main(["ladder", "--only", "gnn", "-o", f"{tmp_path}/y.json"]) == 2
    assert "no gnn" in capsys.readouterr().err
