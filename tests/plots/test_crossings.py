"""Figures of events under pileup: right numbers in them, labels, clear errors."""

import awkward as ak
import numpy as np
import pytest
from matplotlib import pyplot

from hepgmm.plots import crossings as figures
from hepgmm.plots import use_style


@pytest.fixture(autouse=True)
def style():
    with pyplot.rc_context():
        use_style()
        yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def events():
    rng = np.random.default_rng(1)
    counts = [0, 3, 120, 90, 7]
    n_tracks = sum(counts)
    columns = {
        "pt": rng.exponential(2, n_tracks),
        "phi": rng.uniform(-np.pi, np.pi, n_tracks),
        "dz": rng.normal(0, 100, n_tracks),
        "origin": rng.integers(0, 5, n_tracks),
    }
    return ak.unflatten(ak.zip(columns), counts)


@pytest.mark.parametrize("max_tracks", [1, 5, 80, 1000])
def test_hard_share_agrees_with_a_loop(events, max_tracks):
    shares = []
    for event in events.tolist():
        hardest = sorted(event, key=lambda track: -track["pt"])[:max_tracks]
        if hardest:
            shares.append(np.mean([track["origin"] == 0 for track in hardest]))
    share = figures.hard_share(events, max_tracks=max_tracks)
    assert share["value"] == pytest.approx(np.mean(shares), abs=1e-12)
    assert share["error"] == pytest.approx(np.std(shares, ddof=1) / 2, abs=1e-12)


def test_hard_share_needs_two_events(events):
    with pytest.raises(ValueError, match="needs two"):
        figures.hard_share(events[:2])


def test_before_and_after_shows_hard_tracks_alone_then_all(events):
    event = events[2]
    figure = figures.before_and_after({"signal": event}, title="toy")
    drawn = [sum(len(dots.get_offsets()) for dots in axes.collections) for axes in figure.axes]
    assert drawn == [ak.sum(event.origin == 0), len(event)]
    legend = figure.axes[1].get_legend().get_texts()[0].get_text()
    outside = ak.sum((event.origin > 0) & (abs(event.dz) > 200))
    assert legend == f"pileup: {ak.sum(event.origin > 0)} tracks, {outside} of them out of view"
    assert [axes.get_xlabel() for axes in figure.axes] == ["$d_z$ [mm]"] * 2


def test_collisions_shows_every_pileup_track(events):
    axes = figures.collisions(events[3], title="toy").axes[0]
    drawn = sum(len(dots.get_offsets()) for dots in axes.collections)
    assert drawn == ak.sum(events[3].origin > 0)


def test_dz_by_reference_loses_no_track(events):
    figure = figures.dz_by_reference({"origin": events, "hard": events}, title="toy")
    for axes in figure.axes:
        steps = sum(patch.get_data().values.sum() for patch in axes.patches)
        assert steps * len(events) == pytest.approx(ak.count(events.pt))
        assert axes.get_xlabel() == "$|d_z|$ [mm]"
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["origin", "hard"]


def test_share_by_mu_shows_the_shares():
    shares = {"QCD": {20: {"value": 0.4, "error": 0.01}, 60: {"value": 0.2, "error": 0.02}}}
    axes = figures.share_by_mu(shares, title="toy", max_tracks=50).axes[0]
    data = axes.containers[0].lines[0]
    assert (list(data.get_xdata()), list(data.get_ydata())) == ([20, 60], [0.4, 0.2])
    assert "50 hardest" in axes.get_ylabel()


def test_padding_hides_exactly_the_padding():
    mask = np.arange(6)[None, :] < np.array([[2], [6], [0]])
    X = np.full((3, 6, 5), 0.1)
    image = figures.padding({"toy": (X, mask)}, title="toy").axes[0].images[0].get_array()
    np.testing.assert_array_equal(np.ma.getmaskarray(image), ~mask)
    np.testing.assert_allclose(image.compressed(), -1)


@pytest.mark.parametrize(
    "draw",
    [
        lambda events: figures.before_and_after({"signal": events[2]}, title="toy"),
        lambda events: figures.collisions(events[2], title="toy"),
        lambda events: figures.dz_by_reference({"hard": events}, title="toy"),
        lambda events: figures.hard_share(events),
    ],
)
def test_missing_origin_is_named(events, draw):
    with pytest.raises(ValueError, match='no field origin; set events\\["origin"\\]'):
        draw(events[["pt", "phi", "dz"]])


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (figures.before_and_after, "no event"),
        (figures.dz_by_reference, "no event"),
        (figures.share_by_mu, "no process"),
        (figures.padding, "nothing to draw"),
    ],
)
def test_nothing_to_draw_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw({}, title="toy")
