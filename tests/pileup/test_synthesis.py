"""Synthetic events batch after batch: boundaries, threads, a slow twin, what is counted."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest, norm

from hepgmm.events import make_events
from hepgmm.mixture.gaussian import GaussianMixture, pack, unpack
from hepgmm.mixture.sampling import CHUNK, generator, seed_sequence
from hepgmm.pileup.hierarchical import BATCH, REST, HierarchicalGMM, Synthesis

OPTIONS = {"n_components": range(1, 4), "max_components": [2], "seed": 3}


VARIANTS = {
    "plain": {},
    "scaled": {"scale_features": True},
    "log": {"parametrisation": "log", "features": "asinh"},
    "log, scaled": {"parametrisation": "log", "features": "asinh", "scale_features": True},
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def model(toy_minbias, request):
    return HierarchicalGMM(**OPTIONS, **VARIANTS[request.param]).fit(toy_minbias)


def features(events, model):
    """The features of all tracks, log pT first."""
    columns = (ak.to_numpy(ak.flatten(events[name])) for name in ("pt", "eta", "d0", "dz"))
    pt, eta, d0, dz = (values.astype(float) for values in columns)
    if model.features == "asinh":
        d0, dz = np.arcsinh(d0 / 0.01), np.arcsinh(dz / 0.01)
    return np.column_stack([np.log(pt), eta, d0, dz])


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
        (features(events, model) - components.means[index])[..., None],
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
        means, covariances, weights = unpack(vectors, form=model.parametrisation)
        if clip is not None:
            values, axes = np.linalg.eigh(covariances)
            covariances = (axes * np.maximum(values, clip)[:, None]) @ axes.transpose(0, 2, 1)
        means = means * model.feature_scale_ + model.feature_shift_
        np.testing.assert_allclose(found.means[part], means, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            found.covariances[part] / scale, covariances, rtol=1e-6, atol=1e-7
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
    points = features(model.sample(BATCH + 50, seed=3), model)
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
    pull = (features(events, model) - components.means[index])[:, 1]
    pull /= np.sqrt(components.covariances[index, 1, 1])
    assert np.abs(pull).max() < 6
    points = features(events, model)
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


def small_and_large(toy_minbias, **options):
    """Three of four components at dz = 500 mm with 2% of the tracks, the fourth at 0 with 70%."""
    model = HierarchicalGMM(**OPTIONS, **options).fit(toy_minbias)
    means = np.zeros((2, 4))
    means[0, 3] = 500.0
    vectors = pack(means, np.tile(np.eye(4), (2, 1, 1)), [0.02, 0.7], form=model.parametrisation)
    tiny = np.tile(1e-12 * np.eye(15), (2, 1, 1))
    model.high_level_ = GaussianMixture([0.75, 0.25], vectors, tiny)
    model.component_parameters_ = vectors
    model.component_shift_, model.component_scale_ = np.zeros(15), np.ones(15)
    model.n_components_counts_ = np.array([0, 1, 1, 1, 1, 1])
    return model


@pytest.mark.parametrize("parametrisation", ["cholesky", "log"])
def test_drawn_by_tracks_a_share_of_tracks_is_kept(toy_minbias, parametrisation):
    n, expected = 20_000, 0.75 * 0.02 / (0.75 * 0.02 + 0.25 * 0.7)
    shares = {}
    for draw in ("uniform", "tracks"):
        model = small_and_large(toy_minbias, draw=draw, parametrisation=parametrisation)
        components = model.sample_components(n, seed=4)
        far = components.weights * (components.means[:, 3] > 250)
        shares[draw] = np.add.reduceat(far, components.offsets[:-1])
        k = np.diff(components.offsets)
    # It holds for every number of components.
    for number in range(1, 6):
        own = shares["tracks"][k == number]
        assert abs(own.mean() - expected) < 4 * own.std() / np.sqrt(len(own))
    # Drawn uniformly, an event has none but small components with a probability of 0.75^K.
    assert shares["uniform"].mean() > np.mean(0.75 ** np.arange(1, 6)) > 4 * expected
    events = model.sample(n, seed=4)
    tracks, counts = ak.sum(events.dz > 250, axis=1), ak.num(events)
    residual = ak.to_numpy(tracks - expected * counts)
    assert abs(residual.mean()) < 4 * residual.std() / np.sqrt(n)


def test_drawn_by_tracks_the_training_share_is_kept():
    """Fitted and sampled: 150 events of 34 prompt tracks and three displaced pairs each."""
    rng, n = np.random.default_rng(5), 150
    places = np.repeat([0.0, -300.0, 0.0, 300.0], [34, 2, 2, 2])
    pairs = np.repeat([0.0, 0.0, 90.0, 0.0], [34, 2, 2, 2])
    columns = {"pt": np.exp(rng.normal(size=40 * n)), "eta": rng.normal(size=40 * n)}
    columns |= {
        "phi": rng.uniform(-3, 3, 40 * n),
        "d0": np.tile(pairs, n) + rng.normal(size=40 * n),
    }
    columns |= {"dz": np.tile(places, n) + rng.normal(size=40 * n)}
    events = make_events(columns, np.full(n, 40))
    share, expected = {}, 6 / 40
    for draw in ("uniform", "tracks"):
        options = {"n_components": [4], "max_components": [4], "min_tracks": 4, "seed": 1}
        model = HierarchicalGMM(**options, draw=draw).fit(events)
        drawn = model.sample(4000, seed=2)
        displaced = (np.abs(drawn.dz) > 100) | (drawn.d0 > 30)
        own = ak.to_numpy(ak.mean(displaced, axis=1))
        share[draw] = own.mean(), own.std() / np.sqrt(len(own))
    assert abs(share["tracks"][0] - expected) < 4 * share["tracks"][1]
    assert share["uniform"][0] - expected > 20 * share["uniform"][1]


@pytest.mark.parametrize("n", [0, 1, BATCH + 1])
def test_threads_make_no_difference_to_the_draw_by_tracks(toy_minbias, n):
    model = HierarchicalGMM(**OPTIONS, draw="tracks").fit(toy_minbias)
    one, two = (model.sample(n, seed=2, workers=workers) for workers in (1, 2))
    assert len(one) == n
    assert ak.array_equal(one, two)
    events, components, _ = model.sample(n, seed=2, return_components=True)
    assert ak.array_equal(events, one)
    for mine, theirs in zip(components, model.sample_components(n, seed=2), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("draw", ["uniform", "tracks"])
def test_exponentials_do_not_overflow(toy_minbias, draw):
    wild = HierarchicalGMM(**OPTIONS, **VARIANTS["log"], draw=draw).fit(toy_minbias)
    wild.component_scale_ = 1e4 * wild.component_scale_
    with np.errstate(over="raise", invalid="raise"):
        events = wild.sample(300, seed=1)
    for name in events.fields:
        assert np.isfinite(ak.to_numpy(ak.flatten(events[name]))).all()
    furthest = ak.max(np.maximum(abs(events.d0), abs(events.dz)))
    assert 9e4 < furthest < 1e5
    at_limit = np.mean(ak.flatten((abs(events.d0) > 9.8e4) | (abs(events.dz) > 9.8e4)))
    assert wild.sample_report_["displacements_clipped"]["fraction"] == pytest.approx(at_limit)


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
