"""The figures are there, finite and of the right kind; how large they are is no test."""

import json
import math

import numpy as np
import pytest

from hepgmm import plots
from hepgmm.cli import main
from hepgmm.measure import speed
from hepgmm.measure.speed import (
    FLOOR,
    PARTS,
    benchmark_mixture,
    compare_criteria,
    lowest_bics,
    overlay_speed,
    reference_fits,
)
from hepgmm.mixture import GaussianMixture
from hepgmm.mixture.em import MAX_ITERATIONS, TOLERANCE


@pytest.fixture(scope="module")
def figures():
    lines = []
    figures = benchmark_mixture(12, largest=3, repeats=2, seed=1, progress=lines.append)
    assert lines[0] == "collisions" and len(lines) == 5
    return figures


def test_one_part_is_measured_again_and_the_rest_kept(tmp_path, figures, capsys):
    path = tmp_path / "figures.json"
    path.write_text(json.dumps(figures))
    command = f"benchmark mixture -n 12 --repeats 2 --seed 1 --only curves -o {path}".split()
    assert main(command) == 0
    again = json.loads(path.read_text())
    assert set(again) == set(figures) == {"seed", "repeats", "versions", "machine", *PARTS}
    assert again["curves"] != figures["curves"]
    assert again["fit_one"] == figures["fit_one"]
    assert path.with_suffix(".svg").exists()
    path.write_text(json.dumps(figures | {"machine": {"cores": 0}}))
    assert main(command) == 2
    assert "figures.json: measured elsewhere" in capsys.readouterr().err


def leaves(entry):
    if isinstance(entry, dict) and set(entry) != {"value", "error"}:
        for part in entry.values():
            yield from leaves(part)
    elif isinstance(entry, dict):
        yield entry


def test_every_measurement_has_its_error(figures):
    measured = list(leaves(figures))
    assert len(measured) > 20
    for figure in measured:
        assert math.isfinite(figure["value"]) and 0 <= figure["error"] < math.inf
    assert json.loads(json.dumps(figures)) == figures


def test_quality_counts_events(figures):
    assert figures["fit_many"]["events"] == 12
    for quality in figures["fit_many"]["quality"].values():
        assert min(quality["worse"], quality["better"]) >= 0
        assert quality["worse"] + quality["better"] <= 12
    chosen = figures["fit_one"]["chosen_K"]
    assert all(len(k) == 2 and max(k) <= 3 for k in chosen.values())
    # Threads change the time, not the outcome.
    assert chosen["coarse"] == chosen["coarse, 2 threads"]
    assert chosen["exhaustive"] == chosen["exhaustive, 2 threads"]


def test_curves_are_drawn(figures):
    figure = plots.cost_panels(figures["curves"])
    assert [axes.get_xlabel() for axes in figure.axes] == list(figures["curves"])
    for axes, curve in zip(figure.axes, figures["curves"].values(), strict=True):
        labels = [container.get_label() for container in axes.containers]
        assert labels == ["hepgmm", "scikit-learn"]
        drawn = axes.containers[0].lines[0].get_ydata()
        np.testing.assert_array_equal(drawn, [cost["value"] for cost in curve["hepgmm"]])


def test_the_reference_is_scored_on_its_own_event():
    points = np.random.default_rng(1).normal(size=(50, 2))
    models = reference_fits(points, [0, 20, 50], [1, 2])
    bics, k = lowest_bics(models, points, [0, 20, 50])
    by_hand = [
        min(GaussianMixture.from_sklearn(model).bic(part) for model in row)
        for row, part in zip(models, (points[:20], points[20:]), strict=True)
    ]
    np.testing.assert_allclose(bics, by_hand, rtol=1e-12)
    assert set(k) <= {1, 2}
    options = {"tol": TOLERANCE, "max_iter": MAX_ITERATIONS, "reg_covar": FLOOR, "n_init": 1}
    for row in models:
        for model in row:
            assert options.items() <= model.get_params().items()


def test_every_turn_begins_with_another_task():
    order = []
    speed.in_turns({name: (lambda name=name: order.append(name)) for name in "abc"}, 3)
    assert "".join(order) == "abcbcacab"


def test_ratios_are_taken_turn_by_turn():
    # A machine that is three times slower in the second turn: the ratio is 2 in both.
    assert speed.ratio(np.array([2.0, 6.0]), np.array([1.0, 3.0])) == {"value": 2.0, "error": 0.0}


def test_overlay_is_timed_with_every_pileup():
    figures = overlay_speed(n_hard=20, n_pileup=60, mu=5, repeats=2)
    assert set(figures["per_second"]) == set(figures["peak_mb"]) == {"real", "hgmm", "shared"}
    for rate in figures["per_second"].values():
        assert rate["value"] > 0
    assert min(figures["peak_mb"].values()) > 0


def test_criteria_that_differ_by_less_than_one_are_the_same():
    criteria = compare_criteria(np.array([-3.0, 0.5, 2.0, 0.0]), np.zeros(4))
    assert criteria == {"median": 0.25, "worse": 1, "better": 1}
