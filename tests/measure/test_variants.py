"""Variants of an analysis change what they say and nothing else; trainings are shared and kept."""

import numpy as np
import pytest

from hepgmm import Analysis, load_preset
from hepgmm.classify import NetworkClassifier, load_model, predict
from hepgmm.classify.ladder import classifier_names
from hepgmm.collide.detector import RESOLUTION
from hepgmm.crossings.samples import COLUMNS, Sample
from hepgmm.measure.changes import CHANGES, smeared
from hepgmm.measure.plans import EVENTS, SETTINGS, STUDIES
from hepgmm.measure.variants import Variant, merged

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
    setting = Variant("quick", **SMALL, test=test, workers=1)
    parts = setting.datasets()
    assert set(parts["test"].mass) == {0, 300, 1000}
    assert set(parts["train"].mass) == {0, 100, 500}
    assert all(hard(part) for part in parts.values())
    assert not hard(parts["test"]) & (hard(parts["train"]) | hard(parts["validation"]))
    own = Variant("quick", **SMALL, workers=1).datasets()
    background = own["test"].X[own["test"].y == 0]
    np.testing.assert_array_equal(parts["test"].X[parts["test"].y == 0], background)


def hard(sample):
    """Hard tracks by their pT and |d0|, which the overlay leaves as they are."""
    return {tuple(row) for row in np.abs(sample.X[sample.hard][:, [3, 5]]) if row[0] > 0}


def test_a_part_of_the_training_events_is_of_all_classes_and_leaves_the_test_alone(cache):
    whole = Variant("quick", **SMALL, workers=1).datasets()
    setting = Variant("quick", **SMALL, part=0.5, workers=1)
    half = setting.datasets()
    for name in ("train", "validation"):
        assert len(half[name]) == pytest.approx(len(whole[name]) / 2, abs=1)
        assert set(half[name].mass) == {0, 100, 500}
        # The hardest 80 tracks of an event may be others beneath other pileup.
        assert len(hard(half[name]) - hard(whole[name])) < 0.1 * len(hard(half[name]))
    np.testing.assert_array_equal(half["test"].X, whole["test"].X)
    fresh = setting.fresh_pileup()(3)
    assert len(fresh) == len(half["train"]) and (fresh.mass == half["train"].mass).all()
    assert len(hard(fresh) - hard(half["train"])) < 0.1 * len(hard(fresh))
    assert not np.array_equal(fresh.X, half["train"].X)


def test_a_test_that_would_be_split_otherwise_is_refused():
    fewer, smaller = {"n_qcd": 60, "n_llp_per_mass": 30}, {"test_fraction": 0.3}
    for test, named in (({"data": fewer}, "data.n_qcd"), ({"training": smaller}, "training.test")):
        with pytest.raises(ValueError, match=f"another {named}.* would split"):
            Variant("quick", **SMALL, test=test)


def test_only_rungs_that_ask_for_it_have_fresh_pileup(cache, monkeypatch):
    given = []
    fit = NetworkClassifier.fit

    def train(rung, *parts, **options):
        given.append((rung.name, "fresh" in rung.training))
        rung.training = {**rung.training, "fresh": None, "epochs": 1, "batch_size": 16}
        return fit(rung, *parts, **options)

    monkeypatch.setattr(NetworkClassifier, "fit", train)
    for fresh in (None, True, False):
        variant = Variant("quick", **SMALL, fresh=fresh, workers=1, progress=False)
        for name in ("deepsets", "pooled_transformer"):
            variant.trained(name)
    # A rung's own choice is the same training.
    assert given == [
        ("deepsets", False),
        ("pooled_transformer", True),
        ("deepsets", True),
        ("pooled_transformer", False),
    ]


def test_a_network_scores_other_test_events_without_another_training(cache):
    train, heavy = {"epochs": 1, "batch_size": 32}, {"data": {"llp_masses": [300.0, 1000.0]}}
    for test in (None, heavy):
        variant = Variant("quick", **SMALL, test=test, train=train, workers=1)
        scores, parts = variant.scores_of("deepsets"), variant.datasets()
        expected = predict(
            load_model(variant.path("deepsets")), parts["test"].X, parts["test"].mask
        )
        np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert len(list((cache / "cache").glob("deepsets-*.safetensors"))) == 1
    assert len(list((cache / "cache").glob("scores-deepsets-*.npz"))) == 2


def test_without_changes_it_is_the_analysis_and_shares_its_trainings(cache):
    analysis, variant = Analysis("standard"), Variant.at(SETTINGS["origin"], "standard")
    for name in classifier_names():
        assert variant.path(name) == analysis.path(name)
        assert variant.scores_path(name) == analysis.scores_path(name)
    assert variant.name == analysis.name
    variants = [Variant.at(point, "standard") for point in SETTINGS.values()]
    variants += [
        Variant("standard", **options)
        for options in ({"part": 0.5}, {"fresh": True}, {"train": {"epochs": 1}})
    ]
    assert len({each.name for each in variants}) == len(variants)
    assert len({each.path("deepsets") for each in variants}) == len(variants)
    real, smeared = (Variant.at(SETTINGS[name], "standard") for name in ("real", "detector"))
    shared = Analysis("standard", overlay={"pileup": "shared"})
    assert real.path("mlp") == shared.path("mlp") != smeared.path("mlp")
    assert real.scores_path("mlp") != shared.scores_path("mlp")


def test_trainings_of_a_rung_differ_and_each_is_kept(cache):
    options = {"train": {"epochs": 1, "batch_size": 32}, "workers": 1, "progress": False}
    variant = Variant("quick", **SMALL, **options)
    first, second = (variant.scores_of("deepsets", number) for number in (0, 1))
    assert not np.allclose(first, second)
    again = Variant("quick", **SMALL, **options)
    np.testing.assert_array_equal(again.scores_of("deepsets", 1), second)
    assert again.training_seconds("deepsets", 1) > 0
    assert again.trained("deepsets", 1).history != again.trained("deepsets").history


def test_an_unknown_change_is_told():
    with pytest.raises(ValueError, match="change: no 'blurred'; there are smeared, without_d0"):
        Variant("quick", change="blurred")
