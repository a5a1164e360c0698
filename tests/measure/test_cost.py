"""What a preset costs: in proportion to what was measured, and to events times epochs."""

import pytest

from hepgmm.analysis.figures import load_results
from hepgmm.analysis.presets import load_preset
from hepgmm.cli import main
from hepgmm.measure.cost import plan, training_flops


def test_a_measured_preset_costs_what_it_cost():
    measured = load_results("standard")
    costs = plan(measured["parameters"], measured)
    rungs = measured["parameters"]["training"]["classifiers"]
    for stage in ("qcd", "hgmm", "datasets", *rungs, "scores"):
        assert costs[stage] == pytest.approx(measured["seconds"][stage])
    masses = [s for name, s in measured["seconds"].items() if name.startswith("llp")]
    assert costs["llp"] == pytest.approx(sum(masses))


def test_costs_grow_with_events_and_epochs():
    measured = load_results("standard")
    more = load_preset(
        "standard",
        data={"n_qcd": 64_000, "n_llp_per_mass": 32_000},
        training={"epochs_transformer": 36},
        overlay={"mu": 30},
    )
    once, twice = plan(measured["parameters"], measured), plan(more, measured)
    factors = {"qcd": 2, "llp": 2, "transformer": 6, "mlp": 2, "deepsets": 2, "minbias": 1}
    for stage, factor in factors.items():
        assert twice[stage] == pytest.approx(factor * once[stage])
    assert twice["datasets"] == pytest.approx(once["datasets"])
    assert sum(twice.values()) == pytest.approx(2 * twice["total"] + twice["transformer on a GPU"])


def test_operations_are_those_of_the_matrix_products():
    """Forward 2 n m k for each product, backward twice that (but for the first layer's input)."""
    preset = load_preset("standard", training={"epochs_transformer": 1})
    tracks, width, hidden, blocks = 80, 32, 128, 6
    block = 2 * tracks * (4 * width**2 + 2 * width * hidden) + 4 * tracks**2 * width
    first = 2 * tracks * 5 * width
    decoder = 2 * (3 * width**2 + width)
    events = 64_000 * 0.8 * 0.85
    expected = events * (3 * (blocks * block + decoder) + 2 * first)
    assert training_flops(preset) == pytest.approx(expected, rel=1e-6)


def test_bad_input_is_named(capsys):
    measured = load_results("standard")
    with pytest.raises(ValueError, match="tflops = 0"):
        plan(measured["parameters"], measured, tflops=0)
    seconds = {name: s for name, s in measured["seconds"].items() if name != "mlp"}
    with pytest.raises(ValueError, match="no seconds of mlp"):
        plan(measured["parameters"], measured | {"seconds": seconds})
    assert main(["plan", "--preset", "paper"]) == 0
    assert "transformer on a GPU" in capsys.readouterr().out
