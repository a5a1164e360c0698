"""Synthetic events batch after batch: boundaries, threads, a slow twin, what is counted."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest, norm

from hepgmm.mixture.components import unpack
from hepgmm.mixture.sampling import CHUNK, generator, seed_sequence
from hepgmm.pileup.hierarchical import HierarchicalGMM
from hepgmm.pileup.synthesis import BATCH, REST, Synthesis

OPTIONS = {"n_components": range(1, 4), "max_components": [2], "seed": 3}


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "scaled"])
def model(toy_minbias, request):
    return HierarchicalGMM(**OPTIONS, scale_features=request.param).fit(toy_minbias)


def features(events):
    """The features of all tracks, log pT first."""
    columns = (ak.to_numpy(ak.flatten(events[name])) for name in ("pt", "eta", "d0", "dz"))
    pt, *others = (values.astype(float) for values in columns)
    return np.column_stack([np.log(pt), *others])


@pytest.mark.parametrize("n", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
@pytest.mark.parametrize("outside", ["keep", "redraw"])
def test_threads_make_no_difference(model, n, outside):
    model.set_params(outside=outside)
    one, two = (model.sample(n, seed=2, workers=workers) for workers in (1, 2))
    model.set_params(outside="keep")
    assert len(one) == n
    assert ak.array_equal(one, two)


def test_asking_for_components_changes_no_track(model):
    n = BATCH + 200
    events, components, index = model.sample(n, seed=2, workers=2, return_components=True)
    assert ak.array_equal(events, model.sample(n, seed=2))
    owner = np.searchsorted(components.offsets, index, side="right") - 1
    np.testing.assert_array_equal(owner, np.repeat(np.arange(n), ak.to_numpy(ak.num(events))))
    # In units of its component's spread, a track is standard normal.
    white = np.linalg.solve(
        np.linalg.cholesky(components.covariances[index] + 1e-12 * np.eye(4)),
        (features(events) - components.means[index])[..., None],
    )[..., 0]
    assert kstest(white[:, 1], norm.cdf).pvalue > 1e-4
    assert abs(np.mean(white[:, 0] * white[:, 1])) < 5 / np.sqrt(len(white))


@pytest.mark.parametrize("clip", [None, 0.01])
def test_components_agree_with_a_readable_twin(model, clip):
    model.set_params(clip_eigenvalues=clip)
    found = model.sample_components(BATCH + 9, seed=6)
    model.set_params(clip_eigenvalues=None)
    root, high = seed_sequence(6), model.high_level_
    scale = np.outer(model.feature_scale_, model.feature_scale_)
    for batch, events in enumerate([range(BATCH), range(BATCH, BATCH + 9)]):
        rng = generator(root, REST, batch)
        edges = found.offsets[[events.start, events.stop]]
        part = slice(*edges)
        normal = rng.standard_normal((edges[1] - edges[0], 15))
        k = np.searchsorted(np.cumsum(high.weights), rng.random(len(normal)), side="right")
        factors = np.linalg.cholesky(high.covariances)[k]
        vectors = high.means[k] + (factors @ normal[..., None])[..., 0]
        vectors = vectors * model.component_scale_ + model.component_shift_
        means, covariances, weights = unpack(vectors)
        if clip is not None:
            values, axes = np.linalg.eigh(covariances)
            covariances = (axes * np.maximum(values, clip)[:, None]) @ axes.transpose(0, 2, 1)
        means = means * model.feature_scale_ + model.feature_shift_
        np.testing.assert_allclose(found.means[part], means, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            found.covariances[part] / scale, covariances, rtol=1e-6, atol=1e-9
        )
        for event in events:
            own = slice(*found.offsets[event : event + 2])
            kept = np.maximum(weights[own.start - edges[0] : own.stop - edges[0]], model.min_weight)
            np.testing.assert_allclose(found.weights[own], kept / kept.sum(), rtol=1e-9)


def test_report_counts_what_the_events_show(model):
    model.set_params(pt_limits=(0.2, 2.0))
    events = model.sample(BATCH + 50, seed=3, workers=2)
    report = model.sample_report_
    model.set_params(pt_limits=(1e-6, 6500.0))
    pt = ak.to_numpy(ak.flatten(events.pt))
    limits = np.array([0.2, 2.0], dtype=np.float32)
    assert pt.min() >= limits[0] and pt.max() <= limits[1]
    assert report["pt_clipped"]["count"] == pytest.approx(np.isin(pt, limits).sum(), rel=1e-3)
    assert report["tracks"] == len(pt) and report["events"] == BATCH + 50
    assert report["tracks_redrawn"] == {"count": 0, "fraction": 0.0}
    points = features(model.sample(BATCH + 50, seed=3))
    outside = ((points < model.range_[0]) | (points > model.range_[1])).any(axis=1)
    assert report["tracks_outside"]["count"] == pytest.approx(outside.sum(), rel=1e-3)
    components = model.sample_components(BATCH + 50, seed=3)
    assert report["components"] == len(components.weights)


def test_redrawn_tracks_stay_with_their_event(model):
    """Each is drawn from its own event's mixture, in whichever chunk of a batch it is."""
    n = 2000
    model.set_params(outside="redraw")
    events, components, index = model.sample(n, seed=8, return_components=True)
    report = model.sample_report_
    model.set_params(outside="keep")
    assert report["tracks"] > 2 * CHUNK
    owner = np.searchsorted(components.offsets, index, side="right") - 1
    np.testing.assert_array_equal(owner, np.repeat(np.arange(n), ak.to_numpy(ak.num(events))))
    pull = (features(events) - components.means[index])[:, 1]
    pull /= np.sqrt(components.covariances[index, 1, 1])
    assert np.abs(pull).max() < 6
    points = features(events)
    outside = ((points < model.range_[0]) | (points > model.range_[1])).any(axis=1)
    assert report["tracks_outside"]["count"] == pytest.approx(outside.sum(), rel=1e-2, abs=2)
    assert report["tracks_redrawn"]["count"] > 20 * report["tracks_outside"]["count"]


def test_numbers_of_tracks_are_those_of_the_multiplicity(model):
    """Whole numbers from min_tracks on, each with the probability of its rounding interval."""
    n, mixture = 60_000, model.multiplicity_
    counts = Synthesis(model, n, 9, workers=2).counts
    roots = np.sqrt(mixture.covariances[:, 0, 0])
    edges = np.append(np.arange(model.min_tracks, counts.max() + 1), np.inf) - 0.5
    below = norm.cdf((edges[:, None] - mixture.means[:, 0]) / roots) @ mixture.weights
    expected = n * np.diff(below) / (1 - below[0])
    found = np.bincount(counts)[model.min_tracks :]
    # A bin of few expected events is no Gaussian: 1 is added to its variance.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected + 1)).all()
    mean = np.arange(model.min_tracks, counts.max() + 1) @ expected / n
    assert abs(counts.mean() - mean) < 5 * counts.std() / np.sqrt(n)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_events": 2.5}, "n_events = 2.5: give a whole number"),
        ({"n_events": -2}, "n_events = -2: give a whole number, 0 or more"),
        ({"n_events": 2, "workers": 0}, "workers = 0: give at least 1"),
    ],
)
def test_bad_arguments_are_named(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.sample(**arguments, seed=1)
