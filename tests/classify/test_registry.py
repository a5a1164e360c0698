"""Every rung fits and predicts through one interface, and learns what there is to learn."""

import numpy as np
import pytest

from hepgmm.classify.ladder import (
    CLASSIFIERS,
    NetworkClassifier,
    PtCut,
    classifier_names,
    code_of,
    make_classifier,
    register,
)
from hepgmm.classify.metrics import auc
from hepgmm.classify.networks import DeepSets
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
