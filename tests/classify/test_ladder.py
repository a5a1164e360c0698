"""Every rung fits and predicts through one interface, and learns what there is to learn."""

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.isotonic import IsotonicRegression

from hepgmm.classify.files import load_model, save_model
from hepgmm.classify.ladder import (
    CLASSIFIERS,
    BoostedTrees,
    NetworkClassifier,
    PtCut,
    classifier_names,
    code_of,
    make_classifier,
    register,
)
from hepgmm.classify.metrics import auc
from hepgmm.classify.networks import DeepSets
from hepgmm.classify.summaries import SUMMARY_NAMES, EventPt, event_summaries
from hepgmm.crossings.samples import Sample

NETWORKS = [n for n in classifier_names() if issubclass(CLASSIFIERS[n], NetworkClassifier)]
#: Enough for the toy.
SHORT = {"training": {"epochs": 6, "batch_size": 32, "learning_rate": 5e-3}}
SMALL = {"n_blocks": 1, "n_heads": 2}


def rung(name):
    small = SMALL if "transformer" in name else {}
    return make_classifier(name, **(SHORT | small if name in NETWORKS else {}))


@pytest.mark.parametrize("name", [n for n in classifier_names() if n != "pt_cut"])
def test_displaced_tracks_are_found(name, toy):
    training, validation, test = (toy(n, seed=n, displaced=0.8) for n in (600, 200, 400))
    fitted = rung(name).fit(training, validation, seed=1)
    probability = fitted.predict_proba(test.X, test.mask)
    assert probability.shape == (400,) and ((probability >= 0) & (probability <= 1)).all()
    assert auc(probability, test.y) > 0.97
    assert fitted.title == CLASSIFIERS[name].title


@pytest.mark.parametrize("name", classifier_names())
def test_nothing_is_found_where_there_is_nothing(name, toy):
    training, validation, test = (toy(n, seed=n, displaced=0.0) for n in (600, 200, 1600))
    scores = rung(name).fit(training, validation, seed=2).predict_proba(test.X, test.mask)
    # 1600 events: the AUC of noise is 0.5 ± 0.0145
    assert abs(auc(scores, test.y) - 0.5) < 4 * 0.0145


@pytest.mark.parametrize("name", classifier_names())
def test_shuffled_labels_give_half_against_shuffled_labels(name, toy):
    areas = []
    for seed in range(4):
        parts = []
        for n in (300, 100, 1000):
            sample = toy(n, seed=10 * seed + n)
            labels = np.random.default_rng(seed + n).permutation(sample.y)
            parts.append(Sample(sample.X, sample.mask, labels, None, sample.hard))
        training, validation, test = parts
        scores = rung(name).fit(training, validation, seed=seed).predict_proba(test.X, test.mask)
        areas.append(auc(scores, test.y))
    # 4 × 1000 events: 0.5 ± 0.0092
    assert abs(np.mean(areas) - 0.5) < 4 * 0.0092


@pytest.mark.parametrize("name", classifier_names())
def test_order_of_tracks_and_padding_change_nothing(name, toy):
    training, test = toy(100, seed=11), toy(60, seed=12)
    short = {"training": {"epochs": 1, "batch_size": 32}} | (SMALL if "former" in name else {})
    fitted = make_classifier(name, **(short if name in NETWORKS else {}))
    fitted.fit(training, toy(50, seed=13), seed=1)
    expected = fitted.predict_proba(test.X, test.mask)
    order = np.random.default_rng(1).permutation(test.X.shape[1])
    X = np.where(test.mask[..., None], test.X, 1e3)
    longer = np.concatenate([X, np.full_like(X[:, :3], np.nan)], axis=1)
    mask = np.concatenate([test.mask, np.zeros_like(test.mask[:, :3])], axis=1)
    for changed, where in ((X[:, order], test.mask[:, order]), (X, test.mask), (longer, mask)):
        scores = fitted.predict_proba(changed, where)
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)


def test_several_processes_need_a_folder(toy):
    sample = toy(60, seed=14)
    rung = make_classifier("mlp", training={"devices": 2})
    with pytest.raises(ValueError, match="several processes share the folder of a training; give"):
        rung.fit(sample, sample, seed=1)
    one = {"devices": 1, "epochs": 1, "batch_size": 32, "accelerator": "cpu"}
    assert len(make_classifier("mlp", training=one).fit(sample, sample, seed=1).history) == 1


def test_the_cut_takes_the_pt_that_tells_and_its_direction(toy):
    sample = toy(400, seed=3)
    X = sample.X.copy()
    X[:, 0, 5] = np.where(sample.y, 1.0, 5.0) + 0.1 * X[:, 0, 0]
    X[:, 1:, 5] = 0.1
    cut = PtCut().fit(Sample(X, sample.mask, sample.y), seed=1)
    probability = cut.predict_proba(X, sample.mask)
    assert cut.value in ("hardest [GeV]", "selected tracks [GeV]")
    assert auc(probability, sample.y) == 1.0
    assert (np.diff(probability[np.argsort(X[..., 5].max(1))]) <= 0).all()


def test_the_same_seed_gives_the_same_network_and_a_folder_resumes_it(toy, tmp_path):
    training, validation = toy(100, seed=4), toy(50, seed=5)
    options = {"width": 8, "training": {"epochs": 2, "batch_size": 32}}
    first = make_classifier("deepsets", directory=tmp_path, **options)
    scores = first.fit(training, validation, seed=6).predict_proba(training.X, training.mask)
    again = make_classifier("deepsets", directory=tmp_path, **options)
    again.fit(training, validation, seed=6)
    assert again.history == first.history
    fresh = make_classifier("deepsets", **options).fit(training, validation, seed=6)
    np.testing.assert_array_equal(fresh.predict_proba(training.X, training.mask), scores)


def test_what_decides_a_rung_is_its_code_and_what_it_is_made_with(tmp_path):
    table = tmp_path / "inputs.yaml"
    table.write_text("rows:\n- {name: eta, of: eta}\n")

    class Own(NetworkClassifier):
        architecture = DeepSets
        options = {"features": str(table), "width": 8}  # noqa: RUF012

    before = code_of(Own)
    assert any("class Own(NetworkClassifier)" in part for part in before if isinstance(part, str))
    table.write_text("rows:\n- {name: phi, of: phi}\n")
    changed = code_of(Own)
    assert changed != before
    Own.training = {"epochs": 3}
    assert code_of(Own) != changed and code_of(Own) == code_of(Own)
    source = "class Typed:\n    def fit(self):\n        return {}\n"
    typed = []
    for value in (1, 2, 1):
        space = {"__name__": "elsewhere"}
        exec(source.format(value), space)
        typed.append(code_of(space["Typed"]))
    assert typed[0] == typed[2] != typed[1]


def test_names_are_taken_once_and_unknown_ones_are_told():
    with pytest.raises(ValueError, match="'trees' is BoostedTrees already"):
        register("trees", title="Mine")(PtCut)
    with pytest.raises(ValueError, match="register: 'my/net' is no name"):
        register("my/net", title="Mine")
    with pytest.raises(ValueError, match="unknown classifier 'gnn'; there are pt_cut, trees, mlp"):
        make_classifier("gnn")


@pytest.mark.parametrize("name", classifier_names())
def test_a_missing_class_is_named(name, toy):
    sample = toy(60, seed=7)
    with pytest.raises(ValueError, match="training: no background event; both classes are needed"):
        rung(name).fit(sample[sample.y == 1], sample, seed=1)


def test_another_number_of_columns_is_named(toy):
    training = toy(100, seed=8)
    five = training.X[..., :5]
    for name in ("pt_cut", "trees"):
        fitted = make_classifier(name).fit(training, seed=1)
        with pytest.raises(ValueError, match=r"X has shape \(100, 8, 5\); expected .*6\)"):
            fitted.predict_proba(five, training.mask)
        with pytest.raises(ValueError, match=r"mask has shape \(1, 8\)"):
            fitted.predict_proba(training.X, training.mask[:1])


def column(summaries, name):
    return summaries[:, SUMMARY_NAMES.index(name)]


def test_summaries_of_an_event_by_hand():
    X = np.zeros((1, 4, 5))
    X[0, :3] = [[0.5, 1.0, 0.1, 0.05, 3.0], [0.3, -1.0, 0.3, -5.0, 3.5], [0.2, 2.0, 3.0, 20.0, 9.0]]
    summaries = event_summaries(X, np.array([[True, True, True, False]]))
    expected = {
        "number of tracks": 3,
        "pT of the 1 hardest": 0.5,
        "pT of the 2 hardest": 0.8,
        "sum of pT squared": 0.38,
        "mean |eta|": 4 / 3,
        "pT-weighted |eta|": 1.2,
        "fraction |d0| > 1 mm": 2 / 3,
        "pT fraction |d0| > 1 mm": 0.5,
        "fraction |d0| > 10 mm": 1 / 3,
        "largest log |d0|": np.log10(20.001),
        "log |d0| of the hardest": np.log10(0.051),
        "pT-weighted dz": 4.35,
        "spread of dz": np.std([3.0, 3.5, 9.0]),
        "pT within 1 mm in dz of the hardest": 0.8,
        "pT within 1 mm in dz of 0": 0.0,
        "fraction |dz| < 1 mm": 0.0,
        "pT opposite to the hardest track": 0.2,
        "log |d0| of the second hardest": np.log10(5.001),
        "log |d0| of the third hardest": np.log10(20.001),
    }
    for name, value in expected.items():
        assert column(summaries, name)[0] == pytest.approx(value), name


def test_cones_of_an_event_by_hand():
    """Two cones that overlap, each over φ = ±π, and tracks on both sides of |Δφ| = 2."""
    phi = np.array([3.1, -3.1, -2.8, -2.5, -2.2, 3.1 - 1.9, 3.1 - 2.1])
    pt = np.array([0.35, 0.05, 0.2, 0.15, 0.05, 0.1, 0.1])
    X = np.zeros((1, 7, 5))
    X[0, :, 0], X[0, :, 2] = pt, phi
    expected = {
        "pT in a cone around the hardest track": 0.35 + 0.05 + 0.2,
        "pT in a cone around the hardest outside that cone": 0.15 + 0.05,
        "pT opposite to the hardest track": 0.1,
    }
    for order in (np.arange(7), np.arange(7)[::-1], np.array([3, 5, 1, 0, 2, 6, 4])):
        summaries = event_summaries(X[:, order], np.ones((1, 7), dtype=bool))
        for name, value in expected.items():
            assert column(summaries, name)[0] == pytest.approx(value), name


def test_the_order_of_tracks_changes_nothing(toy):
    sample, order = toy(30, seed=1), np.random.default_rng(2).permutation(toy(1, seed=1).X.shape[1])
    summaries = event_summaries(sample.X[:, order], sample.mask[:, order])
    np.testing.assert_allclose(
        summaries, event_summaries(sample.X, sample.mask), rtol=1e-6, atol=1e-9
    )


def test_trees_of_other_summaries_are_refused(toy, tmp_path, monkeypatch):
    model = BoostedTrees(max_iter=3).fit(toy(200, seed=2), seed=1).model
    save_model(tmp_path / "trees.safetensors", model)
    assert load_model(tmp_path / "trees.safetensors").hyperparameters == model.hyperparameters
    others = (SUMMARY_NAMES[1], SUMMARY_NAMES[0], *SUMMARY_NAMES[2:])
    monkeypatch.setattr("hepgmm.classify.summaries.SUMMARY_NAMES", others)
    with pytest.raises(
        ValueError, match=r"trees\.safetensors: .*other summaries.* train them again"
    ):
        load_model(tmp_path / "trees.safetensors")


def test_padding_and_azimuth_of_the_event_change_nothing(toy):
    sample = toy(30, seed=1)
    summaries = event_summaries(sample.X, sample.mask)
    X = np.where(sample.mask[..., None], sample.X, 7.0)
    padded = np.concatenate([X, np.full((30, 3, 6), 9.0)], axis=1)
    mask = np.concatenate([sample.mask, np.zeros((30, 3), dtype=bool)], axis=1)
    padded[..., 2] = (padded[..., 2] + 1.0 + np.pi) % (2 * np.pi) - np.pi
    np.testing.assert_allclose(event_summaries(padded, mask), summaries, rtol=1e-4, atol=1e-6)


def test_an_event_without_tracks_is_finite():
    summaries = event_summaries(np.zeros((1, 4, 5)), np.zeros((1, 4), dtype=bool))
    assert np.isfinite(summaries).all()
    assert column(summaries, "number of tracks")[0] == 0


def test_fewer_tracks_than_the_summaries_ask_for_are_as_if_padded(toy):
    sample = toy(30, seed=1)
    mask = sample.mask & (np.arange(sample.mask.shape[1]) < 2)
    short = event_summaries(sample.X[:, :2], mask[:, :2])
    np.testing.assert_array_equal(short, event_summaries(sample.X, mask))


def test_trees_learn_and_are_reproducible(toy):
    training, test = toy(600, seed=2, displaced=0.3), toy(600, seed=3, displaced=0.3)

    def scored():
        trees = BoostedTrees(max_iter=30).fit(training, seed=4)
        return trees.predict_proba(test.X, test.mask)

    scores = scored()
    assert auc(scores, test.y) > 0.9
    np.testing.assert_array_equal(scores, scored())


@pytest.mark.parametrize("n_columns", [5, 6])
def test_the_tensors_are_the_trees_of_scikit_learn(n_columns, toy, monkeypatch):
    fitted = []
    original = HistGradientBoostingClassifier.fit
    monkeypatch.setattr(
        HistGradientBoostingClassifier,
        "fit",
        lambda self, *data: fitted.append(self) or original(self, *data),
    )
    training, test = toy(900, seed=6, displaced=0.2), toy(900, seed=7, displaced=0.2)
    training = Sample(training.X[..., :n_columns], training.mask, training.y)
    trees = BoostedTrees(max_iter=40).fit(training, seed=1)
    X = test.X[..., :n_columns]
    expected = fitted[0].predict_proba(event_summaries(X, test.mask))[:, 1]
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(trees.predict_proba(X, test.mask), expected, rtol=0, atol=1e-6)


def test_the_cut_is_the_step_function_of_scikit_learn(toy):
    sample = toy(500, seed=8)
    cut = PtCut().fit(sample, seed=1)
    column = cut.model.hyperparameters["column"]
    pt = EventPt(6)(torch.from_numpy(sample.X), torch.from_numpy(sample.mask)).numpy()[:, column]
    rising = auc(pt, sample.y) > 0.5
    steps = IsotonicRegression(increasing=rising, out_of_bounds="clip").fit(pt, sample.y)
    found = cut.predict_proba(sample.X, sample.mask)
    np.testing.assert_allclose(found, steps.predict(pt), rtol=0, atol=2e-6)
    assert np.unique(found).size > 3


def test_events_of_one_pt_have_the_share_of_signal(toy):
    X, mask = np.ones((4, 2, 5)), np.ones((4, 2), dtype=bool)
    cut = PtCut().fit(Sample(X, mask, [0, 0, 0, 1]), seed=1)
    np.testing.assert_allclose(cut.predict_proba(X, mask), 0.25)


def test_trees_need_both_classes(toy):
    sample = toy(50, seed=5)
    with pytest.raises(ValueError, match="training: no background event"):
        BoostedTrees().fit(sample[sample.y == 1], seed=0)
