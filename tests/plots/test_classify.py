"""Figures of classifiers and networks: right numbers in them, labels, clear errors."""

from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.metrics
from matplotlib import pyplot

from hepgmm.classify import MLP, Sample, TrackFeatures, Transformer
from hepgmm.classify.metrics import PAPER
from hepgmm.plots import classify


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 1000)
    scores = {name: rng.normal(labels * shift) for name, shift in (("mlp", 1), ("trees", 2))}
    return {name: 1 / (1 + np.exp(-values)) for name, values in scores.items()}, labels


def line(axes, label):
    return next(curve for curve in axes.lines if curve.get_label() == label).get_data()


def test_roc_goes_through_the_points_of_scikit_learn(toy):
    scores, labels = toy
    left, right = classify.roc_curves(scores, labels, title="toy", seed=1, n_bootstrap=5).axes
    fpr, tpr, _ = sklearn.metrics.roc_curve(labels, scores["mlp"], drop_intermediate=False)
    np.testing.assert_allclose(line(left, "MLP"), (fpr, tpr))
    seen = fpr > 0
    # Where no background passes there is no rejection to draw.
    np.testing.assert_allclose(line(right, "MLP"), (tpr[seen], 1 / fpr[seen]))


def test_roc_band_has_the_width_of_binomial_errors():
    rng = np.random.default_rng(2)
    labels = np.repeat([0, 1], 2000)
    scores = rng.uniform(size=4000)
    figure = classify.roc_curves({"mlp": scores}, labels, title="toy", seed=1, paper=False)
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    middle = corners[np.abs(corners[:, 0] - 0.5).argmin(), 0]
    band = corners[corners[:, 0] == middle, 1]
    # A guess: the errors of both rates, each sqrt(p (1 - p) / n), add up in the curve.
    expected = 2 * np.sqrt(2 * 0.5 * 0.5 / 2000)
    assert np.ptp(band) == pytest.approx(expected, rel=0.25)


def test_roc_of_a_perfect_classifier_has_no_band():
    labels = np.repeat([0, 1], 20)
    figure = classify.roc_curves({"mlp": labels / 1.0}, labels, title="toy", seed=1)
    fpr, tpr = line(figure.axes[0], "MLP")
    assert [0.0, 1.0] in np.column_stack([fpr, tpr]).tolist()
    corners = figure.axes[0].collections[0].get_paths()[0].vertices
    assert set(corners[corners[:, 0] > 0, 1]) == {1.0}


def test_roc_is_reproducible(toy):
    def band(seed):
        figure = classify.roc_curves(*toy, title="toy", seed=seed, n_bootstrap=5)
        return figure.axes[0].collections[0].get_paths()[0].vertices

    np.testing.assert_array_equal(band(1), band(1))
    assert not np.array_equal(band(1), band(2))


@pytest.mark.parametrize("name", PAPER)
def test_the_paper_s_working_points_reproduce_its_accuracy(name):
    figures = PAPER[name]
    fpr, tpr = classify.operating_point(figures["recall"], figures["precision"])
    assert (tpr + 1 - fpr) / 2 == pytest.approx(figures["accuracy"], abs=1e-3)


@pytest.mark.parametrize("point", [(1.1, 0.5), (0.5, 0.0), (-0.1, 0.5)])
def test_operating_point_refuses_what_is_no_rate(point):
    with pytest.raises(ValueError, match="between 0 and 1"):
        classify.operating_point(*point)


def test_operating_point_and_looks():
    assert classify.operating_point(recall=0.6, precision=0.75) == (0.2, 0.6)
    assert classify.rung_look("mlp") == {"color": "#009e73", "label": "MLP"}


def test_tables_of_inputs_and_parameters():
    inputs = classify.transform_table().splitlines()
    assert "| raw | pT / Σ pT; η; φ [rad]; d0 [mm]; dz [mm] |" in inputs
    rows = classify.parameter_table({"mlp": MLP(width=4, n_layers=1)}).splitlines()
    assert rows[2:] == [
        "| MLP | encoder | 32 |",
        "| MLP | output | 5 |",
        "| **MLP** | **all** | **37** |",
    ]


def test_calibration_and_rejection_show_their_errors():
    figure = classify.calibration({"coin": ([0.4, 0.6], [0.5, 0.5], [0.1, 0.1])}, title="toy")
    segments = figure.axes[0].containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([[y for _, y in line] for line in segments], [[0.4, 0.6]] * 2)
    assert figure.axes[0].get_ylabel() == "share of signal"
    roc = {"efficiency": [0.2, 0.8], "rate": [0.01, 0.2], "error": [0.006, 0.01]}
    axes = classify.rejection_curves({"mlp": {"title": "MLP", "roc": roc}}, title="toy").axes[0]
    assert axes.get_ylabel() == "background rejection, 1 / rate"
    # The first point is within two errors of no false positive at all.
    np.testing.assert_allclose(line(axes, "MLP"), ([0.8], [5]))


@pytest.mark.parametrize("draw", [classify.roc_curves, classify.score_distributions])
@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ({}, [0, 1], "at least one"),
        ({"svm": [0.1, 0.2]}, [0, 1], "unknown classifier 'svm'; there are pt_cut, trees"),
        ({"mlp": [0.1]}, [0, 1], "scores of mlp: shape"),
        ({"mlp": [0.1, 0.2]}, [1, 1], "both classes"),
    ],
)
def test_bad_scores_are_named(draw, scores, labels, message):
    scores = {name: np.array(values) for name, values in scores.items()}
    options = {"seed": 1} if draw is classify.roc_curves else {}
    with pytest.raises(ValueError, match=message):
        draw(scores, labels, title="toy", **options)


def test_scores_are_normalised_in_each_class(toy):
    figure = classify.score_distributions(*toy, title="toy")
    for axes in figure.axes:
        steps = [patch.get_data().values for patch in axes.patches]
        np.testing.assert_allclose([step.sum() for step in steps], 1)
        assert max(step.max() for step in steps) < axes.get_ylim()[1]


def test_areas_stand_at_their_mass():
    areas = {"mlp": {100.0: {"value": 0.7, "error": 0.01}, 500.0: {"value": 0.8, "error": 0.02}}}
    axes = classify.areas_per_mass(areas, title="toy").axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["100 GeV", "500 GeV"]
    assert axes.containers[0].lines[0].get_ydata().tolist() == [0.7, 0.8]


def test_areas_refuse_nothing():
    with pytest.raises(ValueError, match="areas"):
        classify.areas_per_mass({}, title="toy")


def test_loss_curve_marks_the_best_epoch():
    history = [
        {"epoch": epoch, "train_loss": 0.7, "val_loss": loss, "lr": 0.1**epoch}
        for epoch, loss in enumerate([0.69, 0.6, 0.65], start=1)
    ]
    results = {"mlp": SimpleNamespace(history=history, best_epoch=2)}
    axes = classify.loss_curves(results, title="toy", errors={"mlp": 0.05}).axes[0]
    assert [values.tolist() for values in line(axes, "best epoch, kept")] == [[2], [0.6]]
    assert "nats" in axes.get_ylabel()
    rates = line(classify.learning_rates(results, title="toy").axes[0], "MLP")
    np.testing.assert_allclose(rates, [[1, 2, 3], [0.1, 0.01, 0.001]])


@pytest.mark.parametrize("model", [MLP(), Transformer(n_blocks=2, feedforward=16)])
def test_parameter_table_counts_all(model):
    name = type(model).__name__.lower()
    last = classify.parameter_table({name: model}).splitlines()[-1]
    total = sum(weights.numel() for weights in model.parameters())
    assert last.endswith(f"| **{total:,}** |")


def test_network_inputs_leave_padding_out():
    rng = np.random.default_rng(3)
    mask = rng.random((50, 20)) < 0.5
    X = np.where(mask[..., None], rng.uniform(0.1, 1, (50, 20, 5)), 99)
    sample = Sample(X, mask, np.arange(50) % 2)
    figure = classify.network_inputs(TrackFeatures("raw"), sample, title="toy", bins=10)
    assert [axes.get_xlabel() for axes in figure.axes[3:5]] == ["d0 [mm]", "dz [mm]"]
    for axes in figure.axes[:5]:
        edges = axes.patches[0].get_data().edges
        assert edges[-1] <= 1
        assert all(0.98 < patch.get_data().values.sum() <= 1 for patch in axes.patches)


def test_network_inputs_need_both_classes():
    sample = Sample(np.ones((2, 3, 5)), np.ones((2, 3), dtype=bool), [1, 1])
    with pytest.raises(ValueError, match="both classes"):
        classify.network_inputs(TrackFeatures("raw"), sample, title="toy")
