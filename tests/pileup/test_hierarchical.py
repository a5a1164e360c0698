"""The hierarchical mixture: what it learns, what it samples batch after batch, what it counts."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest, norm

from hepgmm.events import make_events
from hepgmm.mixture.gaussian import GaussianMixture, pack, unpack
from hepgmm.mixture.sampling import CHUNK, generator, seed_sequence
from hepgmm.pileup.hierarchical import BATCH, REST, HierarchicalGMM, Synthesis
from hepgmm.pileup.speckles import diagnose

OPTIONS = {"n_components": range(1, 4), "max_components": [1, 2, 4], "seed": 3}


@pytest.fixture(scope="module")
def model(toy_minbias):
    return HierarchicalGMM(**OPTIONS).fit(toy_minbias)


@pytest.fixture(scope="module")
def scaled(toy_minbias):
    return HierarchicalGMM(**OPTIONS, scale_features=True).fit(toy_minbias)


@pytest.fixture(scope="module")
def cured(toy_minbias):
    cures = {"draw": "tracks", "parametrisation": "log", "features": "asinh"}
    return HierarchicalGMM(**OPTIONS, **cures).fit(toy_minbias)


@pytest.fixture(scope="module")
def sample(model):
    return model.sample(4000, seed=1)


def flat(events, name):
    return ak.to_numpy(ak.flatten(events[name]))


def test_multiplicities_are_those_of_the_events_with_enough_tracks(toy_minbias, model):
    counts = ak.to_numpy(ak.num(toy_minbias))
    np.testing.assert_array_equal(model.multiplicities_, counts[counts >= 3])


def test_mixtures_of_events_are_saved(model, tmp_path):
    model.save(tmp_path / "model.npz")
    loaded = HierarchicalGMM.load(tmp_path / "model.npz").event_mixtures_
    for mine, theirs in zip(model.event_mixtures_, loaded, strict=True):
        np.testing.assert_array_equal(theirs, mine)


def test_fifteen_numbers_a_component(model):
    mixtures = model.event_mixtures_
    assert model.component_parameters_.shape == (mixtures.n_components.sum(), 15)
    np.testing.assert_array_equal(
        model.component_parameters_,
        pack(mixtures.means, mixtures.covariances, mixtures.weights),
    )
    np.testing.assert_array_equal(model.n_components_counts_, np.bincount(mixtures.n_components))


def test_report_agrees_with_the_fits(model):
    mixtures, report = model.event_mixtures_, model.report_
    smallest = np.linalg.eigvalsh(mixtures.covariances)[:, 0]
    # Prompt tracks have d0 = dz = 0: their components lie at the floor.
    assert report["components_floored"] == (smallest < 1.0001e-6).sum() > 0
    assert report["mean_K"]["value"] == pytest.approx(mixtures.n_components.mean())
    assert report["high_level_BIC"] == np.nanmin(model.high_level_bic_)
    best = np.nanargmin(np.nanmin(model.high_level_bic_, axis=1))
    assert report["high_level_K"] == model.high_level_candidates_[best]


def test_high_level_is_fitted_to_standardised_components(model):
    vectors = (model.component_parameters_ - model.component_shift_) / model.component_scale_
    constant = model.component_parameters_.std(axis=0) == 0
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(vectors.std(axis=0)[~constant], 1)
    assert model.high_level_.bic(vectors) == pytest.approx(model.report_["high_level_BIC"])


def test_number_of_components_follows_the_kept_distribution(model):
    n = 5000
    k = np.diff(model.sample_components(n, seed=2).offsets)
    expected = model.n_components_counts_ / model.n_components_counts_.sum()
    found = np.bincount(k, minlength=len(expected)) / n
    errors = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(found - expected) <= 4 * errors).all()


def test_multiplicity_follows_its_mixture(model, sample):
    counts = ak.to_numpy(ak.num(sample))
    assert counts.min() >= model.min_tracks
    drawn = np.rint(model.multiplicity_.sample(100_000, seed=8)[:, 0])
    kept = drawn[drawn >= model.min_tracks]
    error = kept.std() * np.sqrt(1 / len(kept) + 1 / len(counts))
    assert abs(counts.mean() - kept.mean()) < 4 * error
    tally = model.sample_report_["multiplicities_redrawn"]
    model.sample(4000, seed=1)
    below = 1 - len(kept) / len(drawn)
    expected = below / (1 - below)
    assert tally["fraction"] == pytest.approx(expected, abs=4 * np.sqrt(expected / 4000) + 1e-3)


def test_phi_is_uniform_and_independent(sample):
    phi = flat(sample, "phi").astype(float)
    assert kstest(phi, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3
    px = flat(sample, "pt") * np.cos(phi)
    assert abs(px.mean()) < 4 * px.std() / np.sqrt(len(px))


def test_tracks_come_from_their_components(model):
    events, components, index = model.sample(300, seed=4, return_components=True)
    again = model.sample_components(300, seed=4)
    for mine, theirs in zip(components, again, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    owner = np.repeat(np.arange(300), np.diff(components.offsets))
    np.testing.assert_array_equal(
        owner[index], np.repeat(np.arange(300), ak.to_numpy(ak.num(events)))
    )
    # Squared distance to its component, in units of its spread along eta: mean 1.
    pull = flat(events, "eta") - components.means[index, 1]
    pull /= np.sqrt(components.covariances[index, 1, 1])
    assert abs(np.mean(pull**2) - 1) < 4 * np.sqrt(2 / len(pull))
    # And each in proportion to its weight.
    expected = components.weights * ak.to_numpy(ak.num(events))[owner]
    found = np.bincount(index, minlength=len(owner))
    assert np.sum((found - expected) ** 2) / np.sum(expected * (1 - components.weights)) < 1.2


def test_weights_are_a_clipped_distribution(model):
    components = model.sample_components(2000, seed=1)
    sums = np.add.reduceat(components.weights, components.offsets[:-1])
    np.testing.assert_allclose(sums, 1, rtol=1e-12)
    assert components.weights.min() > 0
    model.sample(2000, seed=1)
    clipped = model.sample_report_["weights_clipped"]
    assert clipped["fraction"] == clipped["count"] / len(components.weights)
    marginal = model.high_level_.marginal([14])
    vectors = marginal.sample(100_000, seed=3) * model.component_scale_[14]
    expected = np.mean(vectors + model.component_shift_[14] < model.min_weight)
    assert clipped["fraction"] == pytest.approx(expected, abs=0.02)


def test_recovers_a_known_hierarchy():
    """Events of one component each, whose means are themselves Gaussian."""
    rng = np.random.default_rng(1)
    n, tracks = 150, 60
    means = rng.normal([0.0, 1.0, 0.0, 0.0], [0.5, 1.0, 2.0, 5.0], (n, 4))
    points = (means[:, None] + rng.normal(size=(n, tracks, 4)) * [0.3, 0.5, 0.1, 1.0]).reshape(
        -1, 4
    )
    columns = dict(zip(["pt", "eta", "d0", "dz"], points.T, strict=True))
    columns |= {"pt": np.exp(points[:, 0]), "phi": rng.uniform(-3, 3, len(points))}
    events = make_events(columns, np.full(n, tracks))
    model = HierarchicalGMM(n_components=[1], max_components=[1], seed=1).fit(events)
    components = model.sample_components(4000, seed=2)
    spread = np.array([0.5, 1.0, 2.0, 5.0])
    assert (np.abs(components.means.mean(axis=0) - [0, 1, 0, 0]) < 4 * spread / np.sqrt(n)).all()
    np.testing.assert_allclose(components.means.std(axis=0), spread, rtol=4 / np.sqrt(2 * n))
    inner = np.sqrt(np.diagonal(components.covariances, axis1=1, axis2=2)).mean(axis=0)
    np.testing.assert_allclose(inner, [0.3, 0.5, 0.1, 1.0], rtol=0.03)
    assert set(ak.num(model.sample(500, seed=3))) <= set(range(57, 64))


@pytest.mark.parametrize("name", ["model", "scaled"])
def test_clipping_leaves_no_narrow_component(name, request):
    cured = request.getfixturevalue(name).set_params(clip_eigenvalues=0.01)
    covariances = cured.sample_components(500, seed=1).covariances
    covariances = covariances / np.outer(cured.feature_scale_, cured.feature_scale_)
    assert np.linalg.eigvalsh(covariances).min() > 0.01 * (1 - 1e-6)
    cured.sample(500, seed=1)
    assert cured.sample_report_["eigenvalues_raised"]["count"] > 0
    cured.set_params(clip_eigenvalues=None).sample(500, seed=1)
    assert cured.sample_report_["eigenvalues_raised"] == {"count": 0, "fraction": 0.0}


def test_scaling_is_undone(toy_minbias, model, scaled):
    np.testing.assert_array_equal(model.feature_scale_, 1)
    assert scaled.feature_scale_.min() > 0.5 and scaled.feature_scale_.max() > 5
    fitted = scaled.fitted_components()
    # The mean of a fitted mixture is the mean of its points, up to the tolerance of EM.
    means = np.add.reduceat(fitted.weights[:, None] * fitted.means, fitted.offsets[:-1])
    kept = toy_minbias[ak.num(toy_minbias) >= 3]
    for position, name in enumerate(["eta", "d0", "dz"], 1):
        truth = ak.to_numpy(ak.mean(kept[name], axis=1))
        np.testing.assert_allclose(means[:, position], truth, rtol=1e-3, atol=1e-3)


def test_defaults_are_the_papers():
    found = HierarchicalGMM().get_params()
    expected = {"draw": "uniform", "parametrisation": "cholesky", "features": "linear"}
    assert {name: found[name] for name in expected} == expected


def test_the_draw_by_tracks_learns_numbers_of_tracks(cured):
    mixtures = cured.event_mixtures_
    tracks = mixtures.weights * np.repeat(cured.multiplicities_, mixtures.n_components)
    expected = tracks / cured.multiplicities_.mean()
    np.testing.assert_allclose(np.exp(cured.component_parameters_[:, -1]), expected)


def test_components_of_asinh_features_are_in_them(toy_minbias, cured):
    fitted = cured.fitted_components()
    means = np.add.reduceat(fitted.weights[:, None] * fitted.means, fitted.offsets[:-1])
    kept = toy_minbias[ak.num(toy_minbias) >= 3]
    for position, name in enumerate(["d0", "dz"], 2):
        truth = ak.to_numpy(ak.mean(np.arcsinh(kept[name] / 0.01), axis=1))
        np.testing.assert_allclose(means[:, position], truth, rtol=2e-3, atol=2e-3)
    figures = diagnose(cured, n_events=300, seed=1, features=["d0", "dz"])
    # Prompt components have the spread of the floor, 1e-3, in these features.
    assert figures["fitted"]["quantiles"][0] == pytest.approx(1e-3, rel=1e-3)
    assert 0 < figures["synthetic"]["track_fraction"]["value"] < 1


def test_no_weight_is_negative_whose_logarithm_is_learnt(toy_minbias):
    clipped = {}
    for form in ("cholesky", "log"):
        options = OPTIONS | {"parametrisation": form, "min_weight": 1e-12}
        model = HierarchicalGMM(**options).fit(toy_minbias)
        model.sample(2000, seed=1)
        clipped[form] = model.sample_report_["weights_clipped"]["count"]
    assert clipped["cholesky"] > 50 and clipped["log"] == 0


@pytest.mark.parametrize(
    ("name", "value", "fitted"),
    [
        ("draw", "uniform", "tracks"),
        ("parametrisation", "cholesky", "log"),
        ("features", "linear", "asinh"),
    ],
)
def test_what_a_fit_has_fixed_stays(cured, name, value, fitted):
    cured.set_params(**{name: value})
    with pytest.raises(ValueError, match=f"{name} = '{value}', but .* with '{fitted}': fit again"):
        cured.sample(2, seed=1)
    cured.set_params(**{name: fitted})


def test_tracks_outside_the_training_range_are_counted_or_redrawn(model):
    events = model.sample(2000, seed=1)
    points = np.column_stack(
        [np.log(flat(events, "pt")), *(flat(events, name) for name in ("eta", "d0", "dz"))]
    )
    outside = ((points < model.range_[0]) | (points > model.range_[1])).any(axis=1)
    kept = model.sample_report_["tracks_outside"]
    assert kept["count"] == pytest.approx(outside.sum(), rel=1e-3)
    model.set_params(outside="redraw").sample(2000, seed=1)
    redrawn = model.sample_report_
    model.set_params(outside="keep")
    assert redrawn["tracks_outside"]["count"] < kept["count"]
    assert redrawn["tracks_redrawn"]["count"] >= kept["count"] - redrawn["tracks_outside"]["count"]


def test_no_pt_overflows(model):
    """A component a thousand e-folds away is still a finite, positive pT."""
    wild = HierarchicalGMM(**OPTIONS)
    vars(wild).update({name: value for name, value in vars(model).items() if name.endswith("_")})
    high = model.high_level_
    wild.component_scale_ = model.component_scale_ * np.r_[1e5, np.ones(14)]
    wild.high_level_ = GaussianMixture(high.weights, high.means, high.covariances)
    pt = flat(wild.sample(200, seed=1), "pt")
    assert np.isfinite(pt).all() and pt.min() > 0 and pt.max() <= 6500
    assert wild.sample_report_["pt_clipped"]["fraction"] > 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"min_tracks": 1}, "min_tracks = 1: give at least 2"),
        ({"n_components": [4, 5]}, "n_components: the smallest, 4, is above min_tracks = 3"),
        ({"clip_eigenvalues": 0.0}, "clip_eigenvalues = 0.0"),
        ({"min_weight": 0.0}, "min_weight = 0.0"),
        ({"pt_limits": (0.0, 1.0)}, "pt_limits = "),
        ({"outside": "drop"}, "outside = 'drop': 'keep' or 'redraw'"),
        ({"draw": "events"}, "draw = 'events': 'uniform' or 'tracks'"),
        ({"parametrisation": "qr"}, "parametrisation = 'qr': 'cholesky' or 'log'"),
        ({"features": "log"}, "features = 'log': 'linear' or 'asinh'"),
        ({"covariance_floor": -1.0}, "covariance_floor = -1.0: give a number above 0"),
        ({"max_components": 0}, "max_components: give positive whole numbers"),
    ],
)
def test_impossible_parameters_are_named(toy_minbias, change, message):
    with pytest.raises(ValueError, match=message):
        HierarchicalGMM(**OPTIONS | change).fit(toy_minbias)


def test_a_fit_that_fails_leaves_no_model(toy_minbias):
    model = HierarchicalGMM(**OPTIONS).fit(toy_minbias)
    model.set_params(max_components=[10**6])
    with pytest.raises(ValueError, match="max_components: the smallest, 1000000, is above the"):
        model.fit(toy_minbias)
    with pytest.raises(ValueError, match="not fitted"):
        model.sample(1, seed=1)


def test_more_tracks_asked_for_than_the_multiplicity_gives(model):
    with pytest.raises(ValueError, match="min_tracks = 500 is above the mean"):
        model.set_params(min_tracks=500).sample(3, seed=1)
    model.set_params(min_tracks=3)
    with pytest.raises(ValueError, match="n_events = -1"):
        model.sample(-1, seed=1)


# Synthesis ----------------------------------------------------------------------------------

QUICK = OPTIONS | {"max_components": [2]}


VARIANTS = {
    "plain": {},
    "scaled": {"scale_features": True},
    "log": {"parametrisation": "log", "features": "asinh"},
    "log, scaled": {"parametrisation": "log", "features": "asinh", "scale_features": True},
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def variant(toy_minbias, request):
    return HierarchicalGMM(**QUICK, **VARIANTS[request.param]).fit(toy_minbias)


def features(events, model):
    """The features of all tracks, log pT first."""
    columns = (ak.to_numpy(ak.flatten(events[name])) for name in ("pt", "eta", "d0", "dz"))
    pt, eta, d0, dz = (values.astype(float) for values in columns)
    if model.features == "asinh":
        d0, dz = np.arcsinh(d0 / 0.01), np.arcsinh(dz / 0.01)
    return np.column_stack([np.log(pt), eta, d0, dz])


@pytest.mark.parametrize("n", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH + 3])
@pytest.mark.parametrize("outside", ["keep", "redraw"])
def test_threads_make_no_difference(variant, n, outside):
    variant.set_params(outside=outside)
    one, two = (variant.sample(n, seed=2, workers=workers) for workers in (1, 2))
    variant.set_params(outside="keep")
    assert len(one) == n
    assert ak.array_equal(one, two)


def test_asking_for_components_changes_no_track(variant):
    n = BATCH + 200
    events, components, index = variant.sample(n, seed=2, workers=2, return_components=True)
    assert ak.array_equal(events, variant.sample(n, seed=2))
    owner = np.searchsorted(components.offsets, index, side="right") - 1
    np.testing.assert_array_equal(owner, np.repeat(np.arange(n), ak.to_numpy(ak.num(events))))
    # In units of its component's spread, a track is standard normal.
    white = np.linalg.solve(
        np.linalg.cholesky(components.covariances[index] + 1e-12 * np.eye(4)),
        (features(events, variant) - components.means[index])[..., None],
    )[..., 0]
    assert kstest(white[:, 1], norm.cdf).pvalue > 1e-4
    assert abs(np.mean(white[:, 0] * white[:, 1])) < 5 / np.sqrt(len(white))


@pytest.mark.parametrize("clip", [None, 0.01])
def test_components_agree_with_a_readable_twin(variant, clip):
    variant.set_params(clip_eigenvalues=clip)
    found = variant.sample_components(BATCH + 9, seed=6)
    variant.set_params(clip_eigenvalues=None)
    root, high = seed_sequence(6), variant.high_level_
    scale = np.outer(variant.feature_scale_, variant.feature_scale_)
    for batch, events in enumerate([range(BATCH), range(BATCH, BATCH + 9)]):
        rng = generator(root, REST, batch)
        edges = found.offsets[[events.start, events.stop]]
        part = slice(*edges)
        normal = rng.standard_normal((edges[1] - edges[0], 15))
        k = np.searchsorted(np.cumsum(high.weights), rng.random(len(normal)), side="right")
        factors = np.linalg.cholesky(high.covariances)[k]
        vectors = high.means[k] + (factors @ normal[..., None])[..., 0]
        vectors = vectors * variant.component_scale_ + variant.component_shift_
        means, covariances, weights = unpack(vectors, form=variant.parametrisation)
        if clip is not None:
            values, axes = np.linalg.eigh(covariances)
            covariances = (axes * np.maximum(values, clip)[:, None]) @ axes.transpose(0, 2, 1)
        means = means * variant.feature_scale_ + variant.feature_shift_
        np.testing.assert_allclose(found.means[part], means, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(
            found.covariances[part] / scale, covariances, rtol=1e-6, atol=1e-7
        )
        for event in events:
            own = slice(*found.offsets[event : event + 2])
            kept = np.maximum(
                weights[own.start - edges[0] : own.stop - edges[0]], variant.min_weight
            )
            np.testing.assert_allclose(found.weights[own], kept / kept.sum(), rtol=1e-9)


def test_report_counts_what_the_events_show(variant):
    variant.set_params(pt_limits=(0.2, 2.0))
    events = variant.sample(BATCH + 50, seed=3, workers=2)
    report = variant.sample_report_
    variant.set_params(pt_limits=(1e-6, 6500.0))
    pt = ak.to_numpy(ak.flatten(events.pt))
    limits = np.array([0.2, 2.0], dtype=np.float32)
    assert pt.min() >= limits[0] and pt.max() <= limits[1]
    assert report["pt_clipped"]["count"] == pytest.approx(np.isin(pt, limits).sum(), rel=1e-3)
    assert report["tracks"] == len(pt) and report["events"] == BATCH + 50
    assert report["tracks_redrawn"] == {"count": 0, "fraction": 0.0}
    points = features(variant.sample(BATCH + 50, seed=3), variant)
    outside = ((points < variant.range_[0]) | (points > variant.range_[1])).any(axis=1)
    assert report["tracks_outside"]["count"] == pytest.approx(outside.sum(), rel=1e-3)
    components = variant.sample_components(BATCH + 50, seed=3)
    assert report["components"] == len(components.weights)


def test_redrawn_tracks_stay_with_their_event(variant):
    """Each is drawn from its own event's mixture, in whichever chunk of a batch it is."""
    n = 2000
    variant.set_params(outside="redraw")
    events, components, index = variant.sample(n, seed=8, return_components=True)
    report = variant.sample_report_
    variant.set_params(outside="keep")
    assert report["tracks"] > 2 * CHUNK
    owner = np.searchsorted(components.offsets, index, side="right") - 1
    np.testing.assert_array_equal(owner, np.repeat(np.arange(n), ak.to_numpy(ak.num(events))))
    pull = (features(events, variant) - components.means[index])[:, 1]
    pull /= np.sqrt(components.covariances[index, 1, 1])
    assert np.abs(pull).max() < 6
    points = features(events, variant)
    outside = ((points < variant.range_[0]) | (points > variant.range_[1])).any(axis=1)
    assert report["tracks_outside"]["count"] == pytest.approx(outside.sum(), rel=1e-2, abs=2)
    assert report["tracks_redrawn"]["count"] > 20 * report["tracks_outside"]["count"]


def test_numbers_of_tracks_are_those_of_the_multiplicity(variant):
    """Whole numbers from min_tracks on, each with the probability of its rounding interval."""
    n, mixture = 60_000, variant.multiplicity_
    counts = Synthesis(variant, n, 9, workers=2).counts
    roots = np.sqrt(mixture.covariances[:, 0, 0])
    edges = np.append(np.arange(variant.min_tracks, counts.max() + 1), np.inf) - 0.5
    below = norm.cdf((edges[:, None] - mixture.means[:, 0]) / roots) @ mixture.weights
    expected = n * np.diff(below) / (1 - below[0])
    found = np.bincount(counts)[variant.min_tracks :]
    # A bin of few expected events is no Gaussian: 1 is added to its variance.
    assert (np.abs(found - expected) < 5 * np.sqrt(expected + 1)).all()
    mean = np.arange(variant.min_tracks, counts.max() + 1) @ expected / n
    assert abs(counts.mean() - mean) < 5 * counts.std() / np.sqrt(n)


def small_and_large(toy_minbias, **options):
    """Three of four components at dz = 500 mm with 2% of the tracks, the fourth at 0 with 70%."""
    model = HierarchicalGMM(**QUICK, **options).fit(toy_minbias)
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
    model = HierarchicalGMM(**QUICK, draw="tracks").fit(toy_minbias)
    one, two = (model.sample(n, seed=2, workers=workers) for workers in (1, 2))
    assert len(one) == n
    assert ak.array_equal(one, two)
    events, components, _ = model.sample(n, seed=2, return_components=True)
    assert ak.array_equal(events, one)
    for mine, theirs in zip(components, model.sample_components(n, seed=2), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("draw", ["uniform", "tracks"])
def test_exponentials_do_not_overflow(toy_minbias, draw):
    wild = HierarchicalGMM(**QUICK, **VARIANTS["log"], draw=draw).fit(toy_minbias)
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
def test_bad_arguments_are_named(variant, arguments, message):
    with pytest.raises(ValueError, match=message):
        variant.sample(**arguments, seed=1)
