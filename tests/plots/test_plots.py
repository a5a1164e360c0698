"""Figures carry labels with units and alternative text, and refuse what cannot be drawn."""

import html

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import pyplot

from hepgmm import plots
from hepgmm.events import FEATURES, UNITS, make_events
from hepgmm.mixture import GaussianMixture
from hepgmm.plots.collide import FEATURE_AXES
from hepgmm.plots.mixture import ellipse
from hepgmm.plots.style import count, histogram_ratio, measured, rows_of_panels


@pytest.fixture(autouse=True)
def _close_figures():
    pyplot.switch_backend("agg")
    yield
    pyplot.close("all")


def make_sample(seed, counts=(3, 1, 0, 5)):
    rng = np.random.default_rng(seed)
    n = sum(counts)
    columns = {
        "pt": rng.exponential(size=n) + 0.1,
        "eta": rng.normal(size=n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
        "dz": np.where(rng.random(n) < 0.5, 0.0, rng.normal(size=n)),
    }
    return make_events(columns, counts)


def test_error_of_independent_entries_is_poisson():
    values = np.random.default_rng(1).uniform(0, 3, 500)
    counts, errors = count(values, [0, 1, 2, 3])
    alone, alone_errors = count(values, [0, 1, 2, 3], groups=np.arange(500))
    assert np.array_equal(counts, alone)
    assert errors == pytest.approx(np.sqrt(counts))
    assert alone_errors == pytest.approx(errors)


def test_error_of_grouped_entries_is_the_spread_over_samples():
    """Doubling every entry within its group doubles the error, as repeated samples show."""
    rng = np.random.default_rng(2)
    totals, errors = [], []
    for _ in range(400):
        values = np.repeat(rng.uniform(0, 2, rng.poisson(50)), 2)
        counts, error = count(values, [0, 1, 2], groups=np.arange(len(values)) // 2)
        totals.append(counts[0])
        errors.append(error[0])
    # 400 samples know the spread to 3.5%; the Poisson error would be 29% too small.
    assert np.mean(errors) == pytest.approx(np.std(totals), rel=0.14)


@given(st.lists(st.floats(-5, 5), max_size=40), st.integers(1, 4))
def test_grouping_never_changes_counts_nor_lowers_errors(values, group_size):
    edges = np.linspace(-3, 3, 7)
    counts, errors = count(values, edges)
    grouped, grouped_errors = count(values, edges, groups=np.arange(len(values)) // group_size)
    assert np.array_equal(counts, np.histogram(values, edges)[0])
    assert np.array_equal(counts, grouped)
    assert (grouped_errors >= errors - 1e-12).all()


def test_edges_must_rise():
    with pytest.raises(ValueError, match="edges"):
        count([1.0], [0, 2, 1])


def test_groups_add_their_squares():
    counts, errors = count([0.1, 0.2, 0.3, 1.5], [0, 1, 2], groups=[0, 0, 1, 1])
    np.testing.assert_allclose(counts, [3, 1])
    np.testing.assert_allclose(errors, [5**0.5, 1])


def test_places_without_a_panel_are_empty():
    _, panels = rows_of_panels(5)
    assert panels.shape == (2, 3)
    assert [axes.axison for axes in panels.flat] == [True] * 5 + [False]


def test_measured_figures_are_two_rows():
    figures = {"a": {"value": 1, "error": 2}, "b": {"value": 3, "error": 4}}
    np.testing.assert_array_equal(measured(figures.values()), [[1, 3], [2, 4]])


def test_signed_log_is_linear_within_its_scale():
    np.testing.assert_allclose(plots.signed_log([0.0, -0.01]), [0, -np.arcsinh(1)])
    np.testing.assert_allclose(plots.signed_log(1e-5), 1e-3, rtol=1e-6)


def test_feature_axes_name_the_unit_of_every_feature():
    assert set(FEATURE_AXES) == set(FEATURES)
    for feature, unit in UNITS.items():
        assert FEATURE_AXES[feature].label.endswith(f"[{unit}]") is bool(unit)


@pytest.mark.parametrize("reference", [None, "real"])
def test_every_track_is_drawn(reference):
    samples = {"real": make_sample(1), "synthetic": make_sample(2)}
    figure = plots.track_features(samples, title="toy preset", reference=reference)
    assert figure.get_suptitle() == "toy preset"
    labelled = [axes for axes in figure.axes if axes.get_ylabel() == "tracks per event and bin"]
    assert len(labelled) == len(FEATURES)
    for axes in labelled:
        heights = axes.patches[0].get_data().values
        assert heights.sum() == pytest.approx(9 / 4)  # nine tracks in four events


def test_exact_zeros_have_a_bin_of_their_own():
    sample = make_sample(1)
    figure = plots.track_features({"real": sample}, title="toy", features=["d0"])
    zeros = ak.sum(sample.d0 == 0) / len(sample)
    assert figure.axes[0].patches[0].get_data().values[0] == pytest.approx(zeros)
    assert figure.axes[0].get_xticklabels()[0].get_text() == "0"


def test_ratio_and_its_error():
    samples = {
        "real": (np.array([4.0]), np.array([2.0])),
        "mlp": (np.array([9.0]), np.array([3.0])),
    }
    _, lower = histogram_ratio(pyplot.figure(), samples, [0, 1], reference="real", xlabel="x")
    assert lower.patches[0].get_data().values == pytest.approx([9 / 4])
    segment = lower.collections[0].get_segments()[0]
    assert np.diff(segment[:, 1]) / 2 == pytest.approx([9 / 4 * np.hypot(1 / 2, 1 / 3)])


def test_event_display_draws_a_line_through_the_perigee():
    track = {"pt": 5.0, "eta": 0.3, "phi": 0.8, "d0": 40.0, "dz": -20.0}
    figure = plots.event_display({"LLP": ak.Array([track])}, title="toy")
    transverse, longitudinal = figure.axes
    x, y = transverse.lines[0].get_data()
    assert np.hypot(x, y).min() == pytest.approx(40.0)
    assert x[0] * np.sin(0.8) - y[0] * np.cos(0.8) == pytest.approx(40.0)
    assert longitudinal.lines[0].get_xdata()[0] == pytest.approx(-20.0)
    assert [axes.get_xlabel() for axes in figure.axes] == ["x [mm]", "z [mm]"]


def test_ellipse_is_a_contour_of_constant_mahalanobis_distance():
    covariance = np.array([[4.0, 1.5], [1.5, 1.0]])
    offsets = ellipse([1.0, -2.0], covariance, n_sigma=2.0) - np.array([[1.0], [-2.0]])
    distance = np.einsum("in,ij,jn->n", offsets, np.linalg.inv(covariance), offsets)
    assert distance == pytest.approx(np.full(distance.shape, 4.0))


def test_event_mixture_draws_two_contours_per_component_and_plane():
    mixture = GaussianMixture([0.5, 0.5], np.zeros((2, 4)), np.stack([np.eye(4)] * 2))
    figure = plots.event_mixture(np.zeros((5, 4)), mixture, title="toy")
    assert [len(axes.lines) for axes in figure.axes] == [4, 4]
    assert figure.axes[1].get_xlabel() == "$d_0$ [mm]"


def test_bic_curve_marks_the_lowest_and_skips_what_was_not_tried():
    figure = plots.bic_curve([1, 2, 3], [5.0, 3.0, np.nan], title="toy")
    curve, mark = figure.axes[0].lines
    assert len(curve.get_xdata()) == 2
    assert mark.get_xdata() == [2]


def test_bic_curve_shows_every_start():
    figure = plots.bic_curve([1, 2, 9], [[5.0, 6.0], [3.0, 2.0], [np.nan] * 2], title="toy")
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 5], [2, 2]])
    np.testing.assert_array_equal(axes.lines[2].get_ydata(), [6, 2])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["each fit", "lowest: K = 2"]


def test_curves_have_their_errors():
    figure = plots.curves([1, 10], {"a": ([3, 4], [1, 2])}, xlabel="", ylabel="", title="")
    segments = figure.axes[0].containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([[y for _, y in line] for line in segments], [[2, 4], [2, 6]])


def test_corner_comparison_keeps_its_axes_whichever_sample_is_wider():
    points = np.random.default_rng(1).normal(size=(400, 2))
    samples = {"real": points, "synthetic": 3 * points}
    figure = plots.corner_comparison(samples, ["x [mm]", "y [mm]"], title="toy", seed=1)
    low, high = figure.axes[0].get_xlim()
    assert -4.5 < low < high < 4.5
    assert figure.axes[2].get_xlabel() == "x [mm]"
    tops = [patch.get_xy()[:, 1].max() for patch in figure.axes[0].patches]
    assert figure.axes[0].get_ylim()[1] >= max(tops)


def test_picture_is_sharp_labelled_and_closed():
    figure, axes = pyplot.subplots(figsize=(4, 3))
    axes.plot([1, 2])
    picture = plots.finish(figure, 'a line, "rising"')
    pixels = int.from_bytes(picture.png[16:20], "big")
    assert pixels // 2 == picture.width
    assert html.escape('a line, "rising"') in picture.html
    assert picture._repr_mimebundle_()["text/plain"] == 'a line, "rising"'
    assert not pyplot.fignum_exists(figure.number)


def test_style_is_opaque_and_its_roles_differ():
    with pyplot.rc_context():
        plots.use_style()
        assert pyplot.rcParams["savefig.facecolor"] == "white"
        assert not pyplot.rcParams["savefig.transparent"]
    roles = ("real", "synthetic", "background", "signal", "mlp", "transformer", "trees")
    assert len({plots.COLOURS[role] for role in roles}) == len(roles)


def test_svg_is_the_same_twice(tmp_path):
    for name in ("a.svg", "b.svg"):
        plots.save_svg(tmp_path / name, pyplot.figure())
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<?xml")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plots.finish(pyplot.figure(), " "), "alt"),
        (lambda: plots.track_features({}, title="x"), "samples"),
        (
            lambda: plots.track_features({"real": make_sample(1)[:0]}, title="x"),
            "real: .* no events",
        ),
        (lambda: plots.histogram({"mlp": []}, [0, 1], xlabel="x"), "mlp: .* empty"),
        (lambda: plots.event_display({}, title="x"), "events"),
        (lambda: plots.event_mixture(np.zeros((3, 2)), None, title="x"), "points: shape"),
        (lambda: plots.bic_curve([1], [np.nan], title="x"), "bic"),
        (lambda: plots.curves([1], {}, xlabel="", ylabel="", title=""), "values: give one to 4"),
        (lambda: plots.scatter({}, xlabel="x", ylabel="y", title="x"), "samples"),
        (lambda: plots.matrix_map(np.eye(2), ["a"], title="x"), "names"),
        (
            lambda: plots.corner_comparison({"real": np.eye(3)}, ["a"], title="x", seed=1),
            "real: shape",
        ),
        (lambda: ellipse([0, 0], [[1, 2], [2, 1]]), "covariance"),
        (
            lambda: histogram_ratio(pyplot.figure(), {}, [0, 1], reference="real", xlabel="x"),
            "reference",
        ),
    ],
)
def test_bad_input_is_named(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
