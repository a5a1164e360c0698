import numpy as np
import pytest

from hepgmm.events import make_events, to_columns
from hepgmm.validate import EVENT_FEATURES, TRACK_FEATURES, compare
from hepgmm.validate.correlations import DECAYS
from hepgmm.validate.physics import FIGURES


@pytest.fixture
def same(events, no_trees):
    return compare(events(400, seed=1), events(400, seed=2), seed=3)


def test_equal_samples_are_not_far(same):
    for name in ("fpd", "kpd"):
        assert abs(same[name]["value"] - same[name]["floor"]) < 5 * same[name]["error"]
    for name in (f"w1_track_{feature}" for feature in TRACK_FEATURES):
        assert same[name]["value"] < same[name]["floor"] + 4 * same[name]["error"]


def test_distance_of_a_shift_is_the_shift(events, no_trees):
    real, synthetic = events(1600, seed=1), events(1200, seed=2, eta_shift=1.0)
    shifted = compare(real, synthetic, seed=3)
    figure = shifted["w1_track_eta"]
    assert figure["value"] == pytest.approx(1.0, abs=4 * figure["error"])
    assert figure["error"] < 0.05
    assert figure["floor"] < 0.1
    assert shifted["w1_event_mean_eta"]["value"] > 1
    for name in ("fpd", "kpd"):
        assert shifted[name]["value"] > 5 * shifted[name]["error"]
        assert shifted[name]["value"] > 5 * abs(shifted[name]["floor"])


def test_floors_of_distances_belong_to_the_sizes_of_the_samples(events, no_trees):
    real, synthetic = events(200, seed=1), events(400, seed=2)
    few, many = (compare(real, synthetic[:n], seed=3, n_bootstrap=2) for n in (100, 400))
    assert few["auc_events"]["floor"] == many["auc_events"]["floor"]
    for name in (name for name in few if name.startswith("w1_")):
        expected = many[name]["floor"] * np.sqrt((1 / 200 + 1 / 100) / (1 / 200 + 1 / 400))
        assert few[name]["floor"] == pytest.approx(expected)


def test_every_figure_has_value_error_and_floor(same):
    names = ["auc_events", "auc_accepted", "auc_smeared", "auc_tracks", "fpd", "kpd"]
    names += [f"physics_{name}" for name in FIGURES if name not in DECAYS]
    names += ["w1_events", "w1_tracks"]
    names += [f"w1_event_{name}" for name in EVENT_FEATURES]
    names += [f"w1_track_{name}" for name in TRACK_FEATURES]
    # so few events may have no peak to compare with
    assert [name for name in same if name.removeprefix("physics_") not in DECAYS] == names
    for name, figure in same.items():
        physics = name.startswith("physics_")
        assert list(figure) == ["value", "error", "floor"] + ["real", "synthetic"] * physics
        assert all(np.isfinite([figure[key] for key in ("value", "error", "floor")]))
    names = [f"w1_event_{name}" for name in EVENT_FEATURES]
    assert same["w1_events"]["value"] == pytest.approx(
        np.mean([same[name]["value"] for name in names])
    )


def test_ratios_of_physics_are_ratios(same):
    for name in ("recoil", "leading_pt", "multiplicity", "sum_pt", "displaced"):
        figure = same[f"physics_{name}"]
        above, below = figure["synthetic"], figure["real"]
        assert figure["value"] == pytest.approx(above["value"] / below["value"])
        relative = np.hypot(above["error"] / above["value"], below["error"] / below["value"])
        assert figure["error"] == pytest.approx(abs(figure["value"]) * relative)
        assert abs(figure["value"] - 1) < 4 * figure["error"] < 0.5


def test_what_real_events_do_not_have_is_left_out(events, no_trees):
    prompt, other = events(100, seed=1), events(100, seed=2)
    columns, offsets = to_columns(prompt)
    prompt = make_events(columns | {"d0": 0 * columns["d0"]}, np.diff(offsets))
    assert "physics_displaced" not in compare(prompt, other, seed=3, n_bootstrap=2)
    assert compare(other, prompt, seed=3, n_bootstrap=2)["physics_displaced"]["value"] == 0


def test_one_wrong_quantity_changes_its_own_rows_alone(events, no_trees):
    real, synthetic = events(300, seed=1), events(300, seed=2)
    columns, offsets = to_columns(synthetic)
    wrong = make_events(columns | {"dz": 2 * columns["dz"]}, np.diff(offsets))
    one, two = (compare(real, some, seed=3, n_bootstrap=2) for some in (synthetic, wrong))
    changed = {name for name in one if one[name] != two[name]}
    of_dz = {"w1_track_asinh_dz", "w1_tracks", "w1_events", "fpd", "kpd"}
    assert of_dz <= changed
    assert all("dz" in name for name in changed - of_dz)


def test_copies_have_no_distance_and_same_seeds_same_figures(events, no_trees):
    real = events(100, seed=7)
    figures = compare(real, real, seed=8, n_bootstrap=5)
    for name, figure in figures.items():
        assert not name.startswith(("w1", "fpd")) or figure["value"] < 1e-12
        assert not name.startswith("physics") or figure["value"] == 1
    assert compare(real, real, seed=8, n_bootstrap=5) == figures


def test_copies_of_training_events_are_found(events, no_trees):
    training, real, fresh = (events(150, seed=seed) for seed in (1, 2, 3))
    figures = [
        compare(real, other, training=training, seed=4, n_bootstrap=5)["nearest"]
        for other in (training, fresh)
    ]
    assert figures[0]["value"] == 0
    assert figures[1]["value"] == pytest.approx(1, abs=0.15)
    assert figures[1]["floor"] == pytest.approx(1, abs=0.15)


def test_bundles_need_events(events, no_trees):
    real, synthetic = events(200, seed=1), events(100, seed=2)
    options = {"seed": 3, "n_bootstrap": 2, "bundle_size": 10}
    assert "auc_bundles" in compare(real, synthetic, **options)
    assert "auc_bundles" not in compare(real[:199], synthetic, **options)


def test_too_few_or_broken_events_are_named(events):
    good = events(100, seed=12)
    with pytest.raises(ValueError, match="synthetic"):
        compare(good, good[:50], seed=0)
    with pytest.raises(ValueError, match="real: no field phi"):
        compare(good[["pt", "eta"]], good, seed=0)
    with pytest.raises(ValueError, match="synthetic: 0 events with tracks, give at least 50"):
        compare(good, good[:, :0], seed=0)
    with pytest.raises(ValueError, match="bundle_size = 0"):
        compare(good, good, seed=0, bundle_size=0)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (np.arange(99), "expected 100 integers"),
        (np.linspace(0, 1, 100), "expected 100 integers, .* got float64"),
        (np.arange(100) - 3, "that of event 0 is -3"),
        (np.arange(100) % 7, "7 different ones, but at least 50"),
    ],
)
def test_bad_sources_are_named(events, sources, message):
    good = events(100, seed=12)
    with pytest.raises(ValueError, match=message):
        compare(good, good, sources=sources, seed=0)
