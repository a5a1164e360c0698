"""The hierarchical mixture: what it learns, what it samples, what it counts, its files."""

import json
import re

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest

from hepgmm.events import make_events
from hepgmm.mixture.gaussian import GaussianMixture, pack
from hepgmm.pileup.hierarchical import HierarchicalGMM
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


def test_events_with_few_tracks_are_dropped_and_counted(toy_minbias, model):
    counts = ak.to_numpy(ak.num(toy_minbias))
    assert (counts < 3).any()
    assert model.report_["events_dropped"] == (counts < 3).sum()
    assert model.report_["events_used"] == (counts >= 3).sum()
    np.testing.assert_array_equal(model.multiplicities_, counts[counts >= 3])


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


def test_exactly_n_events_of_the_same_format(toy_minbias, model):
    for n in (0, 1, 37):
        events = model.sample(n, seed=1)
        assert len(events) == n
        assert events.type.content == toy_minbias.type.content


def test_same_seed_same_sample(model):
    first, second, other = (model.sample(50, seed=seed) for seed in (5, 5, 6))
    assert ak.array_equal(first, second)
    assert not ak.array_equal(first, other)


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


def test_scikit_learn_manners(model):
    from sklearn.base import clone

    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    assert fresh.set_params(min_tracks=5) is fresh and fresh.min_tracks == 5
    with pytest.raises(ValueError, match=r"not fitted: call fit\(events\)"):
        fresh.sample(3, seed=1)


@pytest.mark.parametrize("name", ["model", "cured"])
def test_save_and_load_sample_alike(name, request, tmp_path):
    model = request.getfixturevalue(name)
    model.save(tmp_path / "model.npz")
    loaded = HierarchicalGMM.load(tmp_path / "model.npz")
    assert ak.array_equal(loaded.sample(100, seed=9), model.sample(100, seed=9))
    assert loaded.report_ == model.report_
    np.testing.assert_array_equal(loaded.high_level_bic_, model.high_level_bic_)
    np.testing.assert_array_equal(loaded.event_mixtures_.criterion, model.event_mixtures_.criterion)
    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


def test_files_that_are_no_models(model, tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(FileNotFoundError, match=r"model\.npz: no such file"):
        HierarchicalGMM.load(path)
    model.save(path)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:100] + b"x" * 50 + whole[150:], b"", b"pt,eta"):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"model\.npz: not a whole HierarchicalGMM file"):
            HierarchicalGMM.load(path)
    np.savez(path, about='{"kind": "SharedGMM"}')
    with pytest.raises(ValueError, match="holds a SharedGMM, not a HierarchicalGMM"):
        HierarchicalGMM.load(path)
    np.savez(path, about='{"kind": "HierarchicalGMM", "parameters": {"depth": 3}}')
    with pytest.raises(ValueError, match=r"damaged .*depth"):
        HierarchicalGMM.load(path)
    with pytest.raises(ValueError, match=re.escape("must end in .npz")):
        model.save(tmp_path / "model.pkl")


@pytest.mark.parametrize("name", ["range_", "n_components_counts_", "report_"])
def test_a_model_without_a_fitted_attribute_is_refused(model, tmp_path, name):
    path = tmp_path / "model.npz"
    model.save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != name}
    about = json.loads(str(arrays.pop("about")))
    about["attributes"].pop(name, None)
    np.savez(path, about=json.dumps(about), **arrays)
    with pytest.raises(ValueError, match=rf"model\.npz: the HierarchicalGMM in it has no {name};"):
        HierarchicalGMM.load(path)


def test_what_a_file_must_hold_is_what_a_fit_makes(model):
    fitted = {name for name in vars(model) if name.endswith("_")}
    assert set(HierarchicalGMM.FITTED) == fitted - {"sample_report_"}


def test_bad_events_are_named(toy_minbias):
    model = HierarchicalGMM(**OPTIONS)
    with pytest.raises(ValueError, match="at least 10 events with at least 3 tracks, got 9"):
        model.fit(toy_minbias[ak.num(toy_minbias) >= 3][:9])
    for value, message in [
        (np.nan, "eta of event 4 is nan"),
        (np.inf, "eta of event 4 is inf"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(broken(toy_minbias, "eta", value))
    with pytest.raises(ValueError, match="pt of event 4 is 0 GeV"):
        model.fit(broken(toy_minbias, "pt", 0.0))


def broken(events, name, value):
    """The events with one value of event 4 replaced."""
    columns = {field: flat(events, field).copy() for field in events.fields}
    counts = ak.to_numpy(ak.num(events))
    columns[name][counts[:4].sum()] = value
    return make_events(columns, counts)


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
