"""The table of generators: figures are there, kept and resumed; transfer losses are paired."""

import json
import math
import sys

import awkward as ak
import numpy as np
import pytest

from hepgmm import plots
from hepgmm.cli import main
from hepgmm.events import make_events
from hepgmm.measure.generators import (
    MIN_TRACKS,
    Collisions,
    average,
    measure_fidelity,
    transfer_loss,
)
from hepgmm.measure.tables import as_text, fidelity_rows, fidelity_table, size_table
from hepgmm.pileup.base import GENERATORS, load_generator, make_generator

NAMES = ("oversampling_rotated", "shared")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Options of a measurement of two generators that takes seconds."""
    return {
        "path": tmp_path_factory.mktemp("fidelity") / "figures.json",
        "n_training": 200,
        "n_test": 200,
        "n_hard": 80,
        "n_pool": 100,
        "names": NAMES,
        "sizes": {200: 1},
        "repeats": 2,
        "seed": 1,
        "transformer": False,
    }


@pytest.fixture(scope="module")
def figures(small, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEPGMM_CACHE", str(tmp_path_factory.mktemp("cache")))
        steps = []
        figures = measure_fidelity(**small, progress=steps.append)
        assert any("shared: transfer" in step for step in steps)
        again = measure_fidelity(**small, progress=lambda step: pytest.fail(step))
        assert again["generators"] == figures["generators"]
    return figures


def test_every_generator_has_every_figure(figures):
    assert set(figures["generators"]) == set(NAMES)
    for entry in figures["generators"].values():
        assert entry["per_second"]["value"] > 0
        assert set(entry["transfer"]) == {"trees", "mlp"}
        for figure in [*entry["figures"].values(), *entry["transfer"].values()]:
            assert math.isfinite(figure["value"]) and 0 <= figure["error"] < math.inf
    copies, moved = (figures["generators"][name]["figures"] for name in NAMES)
    assert copies["nearest"]["value"] < 0.2 < moved["nearest"]["value"]
    assert copies["auc_events_unsplit"]["value"] > copies["auc_events"]["value"] + 0.1


def test_the_file_is_what_was_returned(small, figures):
    assert json.loads(small["path"].read_text()) == json.loads(json.dumps(figures))


def test_a_file_of_other_measurements_is_not_mixed_in(small, figures):
    with pytest.raises(ValueError, match="of other seed; name another file"):
        measure_fidelity(**small | {"seed": 2}, progress=lambda step: pytest.fail(step))


def test_tables_have_a_line_for_each_generator(figures):
    table = fidelity_table(figures)
    titles = [GENERATORS[name].title for name in NAMES]
    assert list(table.index) == ["real against real", *titles]
    assert (table.loc[titles, ["AUC, events", "nearest", "ΔAUC, trees"]] != "–").all(axis=None)
    assert (table["AUC, transformer"] == "–").all()
    lines = as_text(fidelity_rows(figures)).splitlines()
    assert len(lines) == 4 and len({*map(len, lines)}) == 1
    assert all(heading in lines[0] for heading in table)
    sizes = size_table(figures, "auc_events")
    assert list(sizes.index) == ["200 events"] and set(sizes.columns) == set(titles)


def test_the_command_shows_its_table_without_pandas(figures, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("hepgmm.measure.generators.measure_fidelity", lambda *_, **__: figures)
    assert main(["fidelity", "-o", f"{tmp_path}/f.json"]) == 0
    shown = capsys.readouterr().out
    assert all(GENERATORS[name].title in shown for name in NAMES) and "AUC, events" in shown


def test_losses_are_paired():
    rng = np.random.default_rng(1)
    common = rng.normal(0.8, 0.1, 5)
    noise = rng.normal(0, 0.001, 5)
    loss = transfer_loss({"trees": common - 0.02 + noise}, {"trees": common})["trees"]
    assert loss["value"] == pytest.approx(-0.02 + noise.mean())
    assert loss["error"] == pytest.approx(noise.std(ddof=1) / np.sqrt(5))


def test_average_has_the_error_of_the_test_and_of_the_samples():
    rows = [{"value": v, "error": 0.02, "floor": 0.5} for v in (0.5, 0.7, 0.6, 0.6)]
    mean = average(rows, 0.2)
    assert mean["value"] == pytest.approx(0.6) and mean["floor"] == 0.5
    assert mean["error"] == pytest.approx(np.sqrt(0.2 * 0.02**2 + 0.02 / 3 / 4))
    assert mean["samples"] == [0.5, 0.7, 0.6, 0.6] and mean["errors"] == [0.02] * 4
    assert average(rows[:1], 0.2)["error"] == pytest.approx(0.02)


def test_kinds_of_collisions_differ_and_are_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("HEPGMM_CACHE", str(tmp_path))
    collisions = Collisions(3, progress=lambda step: None)
    training, test = (collisions.pileup(kind, 40) for kind in ("training", "test"))
    assert ak.all(ak.num(training) >= MIN_TRACKS)
    assert not np.array_equal(ak.flatten(training.pt)[:20], ak.flatten(test.pt)[:20])
    again = Collisions(3, progress=lambda step: pytest.fail(step))
    assert ak.array_equal(training, again.pileup("training", 40))
    hard, mass = collisions.hard("train_hard", 8)
    assert len(hard) == 8 and mass.tolist() == [0] * 4 + [100] * 2 + [500] * 2


@pytest.mark.parametrize("name", GENERATORS)
def test_every_name_makes_a_generator_that_is_not_fitted(name):
    with pytest.raises(ValueError, match="not fitted"):
        make_generator(name).sample(1, seed=1)


def test_unknown_generators_are_told(tmp_path, capsys):
    with pytest.raises(ValueError, match="unknown generator 'gan'; there are oversampling"):
        make_generator("gan")
    assert main(["fidelity", "--only", "gan", "-o", f"{tmp_path}/f.json"]) == 2
    assert "--only: no gan" in capsys.readouterr().err


def test_load_finds_the_kind_in_the_file(tmp_path):
    rng = np.random.default_rng(1)
    columns = {name: rng.exponential(size=400) for name in ("pt", "eta", "phi", "d0", "dz")}
    events = make_events(columns, [20] * 20)
    for name in ("independent", "shared"):
        model = make_generator(name).fit(events)
        model.save(tmp_path / f"{name}.npz")
        loaded = load_generator(tmp_path / f"{name}.npz")
        assert type(loaded) is type(model)
        assert ak.array_equal(loaded.sample(5, seed=1), model.sample(5, seed=1))


def test_figures_of_generators_are_drawn(figures):
    rows = {entry["title"]: entry["figures"] for entry in figures["generators"].values()}
    figure = plots.auc_ladder(rows, {"auc_events": "events", "auc_tracks": "tracks"}, title="toy")
    drawn = [container.get_label() for container in figure.axes[0].containers]
    assert drawn == ["events", "tracks"]
    plots.finish(figure, "Two AUCs of two generators.")
    events = make_toy()
    figure = plots.event_panels(events, events, name="copy", title="toy")
    assert len(figure.axes) == 4
    plots.finish(figure, "Four histograms.")
    figure = plots.azimuth({"toy": events}, title="toy", bins=4)
    plots.finish(figure, "One curve.")
    figure = plots.near_side_map({"toy": events}, title="toy", seed=1, bins=(2, 3))
    plots.finish(figure, "One map.")


def make_toy():
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(1, 3, 600) for name in ("pt", "eta", "phi", "d0", "dz")}
    return make_events(columns, [12] * 50)
