"""Simple pileup: which events and tracks are drawn, how often, and what goes lost."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import gaussian_kde, ks_2samp
from sklearn.base import clone

from hepgmm.events import flatten, make_events
from hepgmm.mixture.gaussian import GaussianMixture
from hepgmm.pileup.baselines import (
    GlobalMixture,
    IndependentGenerator,
    IndependentTracks,
    KernelDensity,
    Oversampling,
)
from hepgmm.pileup.points import expand, track_features

MODELS = [
    Oversampling(),
    Oversampling(rotate=False),
    IndependentTracks(),
    KernelDensity(),
    GlobalMixture(n_components=range(1, 9), max_tracks=1000, seed=2),
]
KNOWN = GaussianMixture(
    [0.7, 0.3],
    [[-0.7, 0.0, 0.0, 0.0], [0.5, 1.0, 3.0, 6.0]],
    [np.diag([0.5, 4.0, 0.2, 0.2]), np.diag([0.3, 2.0, 1.0, 1.0]) + 0.1],
)


def points_of(events):
    """Features of all tracks, float64 ``(N, 4)``."""
    return track_features(events, features="asinh")[0]


@pytest.mark.parametrize("model", MODELS)
def test_multiplicities_are_those_of_training_events(toy_minbias, model):
    model = clone(model).fit(toy_minbias)
    counts = ak.to_numpy(ak.num(toy_minbias))
    counts = counts[counts >= 3]
    drawn, n = ak.to_numpy(ak.num(model.sample(4000, seed=2))), 4000
    assert set(drawn) == set(counts)
    assert abs(drawn.mean() - counts.mean()) < 4 * counts.std() / np.sqrt(n)
    expected = np.bincount(counts) / len(counts)
    errors = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(np.bincount(drawn) / n - expected) <= 4 * errors).all()


def test_what_draws_a_track_is_up_to_the_subclass():
    with pytest.raises(TypeError, match="abstract"):
        IndependentGenerator()


# Oversampling --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(toy_minbias):
    return toy_minbias[ak.num(toy_minbias) >= 3]


def test_copies_are_exact(toy_minbias, kept):
    model = Oversampling(rotate=False).fit(toy_minbias)
    copies, sources = model.sample(200, seed=1, return_sources=True)
    assert sources.dtype == np.int64
    assert ak.array_equal(copies, kept[sources], check_parameters=False)


def test_turning_changes_nothing_but_phi(toy_minbias, kept):
    events, sources = Oversampling().fit(toy_minbias).sample(200, seed=1, return_sources=True)
    originals = kept[sources]
    for name in ("pt", "eta", "d0", "dz"):
        assert ak.array_equal(events[name], originals[name])
    turned, original = (
        ak.values_astype(sample.phi, np.float64) - ak.values_astype(sample.phi[:, 0], np.float64)
        for sample in (events, originals)
    )
    difference = np.remainder(ak.to_numpy(ak.flatten(turned - original)) + np.pi, 2 * np.pi) - np.pi
    np.testing.assert_allclose(difference, 0, atol=1e-6)
    assert np.abs(ak.to_numpy(ak.flatten(events.phi))).max() <= np.float32(np.pi)


def test_each_event_is_turned_by_its_own_azimuth(toy_minbias):
    model = Oversampling().fit(toy_minbias)
    events, sources = model.sample(300, seed=1, return_sources=True)
    turned = model.set_params(rotate=False).sample(300, seed=1)
    turns = np.remainder(ak.to_numpy(events.phi[:, 0] - turned.phi[:, 0]), 2 * np.pi)
    # Copies of one training event are turned differently: no two turns are alike.
    assert len(np.unique(sources)) < 300
    assert np.diff(np.sort(turns)).min() > 0


def test_azimuths_beyond_a_turn_come_back():
    columns = {name: np.ones(30) for name in ("pt", "eta", "d0", "dz")}
    events = make_events({**columns, "phi": np.tile([0.0, 3.0, -3.1], 10)}, [3] * 10)
    phi = ak.to_numpy(Oversampling().fit(events).sample(500, seed=1).phi).astype(float)
    assert np.abs(phi).max() <= np.float32(np.pi)
    np.testing.assert_allclose(np.cos(phi[:, 1] - phi[:, 0]), np.cos(3.0), atol=1e-6)
    np.testing.assert_allclose(np.sin(phi[:, 2] - phi[:, 0]), np.sin(-3.1), atol=1e-6)


def test_every_training_event_is_as_likely(toy_minbias, kept):
    n, m = 20_000, len(kept)
    _, sources = Oversampling().fit(toy_minbias).sample(n, seed=4, return_sources=True)
    found = np.bincount(sources, minlength=m)
    # χ² with m - 1 degrees of freedom, whose variance is twice that.
    chi_squared = ((found - n / m) ** 2 / (n / m)).sum()
    assert abs(chi_squared - (m - 1)) < 4 * np.sqrt(2 * (m - 1))


def test_number_of_different_events(toy_minbias, kept):
    model, m = Oversampling().fit(toy_minbias), len(kept)
    different = [
        len(np.unique(model.sample(m, seed=seed, return_sources=True)[1])) for seed in range(200)
    ]
    expected = m * (1 - (1 - 1 / m) ** m)
    assert abs(np.mean(different) - expected) < 4 * np.std(different) / np.sqrt(200)


def test_two_track_events_can_be_kept(toy_minbias):
    model = Oversampling(min_tracks=2).fit(toy_minbias)
    assert model.report_ == {"events_used": len(toy_minbias), "events_dropped": 0}
    assert ak.min(ak.num(model.sample(500, seed=1))) == 2


# Independent tracks --------------------------------------------------------------------------


def rows(events):
    """The tracks without phi."""
    return flatten(events)[0][:, [0, 1, 3, 4]]


def test_every_track_is_a_training_track(toy_minbias):
    training = rows(toy_minbias[ak.num(toy_minbias) >= 3])
    drawn = rows(IndependentTracks().fit(toy_minbias).sample(300, seed=1))
    assert {tuple(row) for row in drawn} <= {tuple(row) for row in training}


def test_statistics_of_tracks_are_those_of_the_training_sample(toy_minbias):
    training = rows(toy_minbias[ak.num(toy_minbias) >= 3])
    drawn = rows(IndependentTracks().fit(toy_minbias).sample(4000, seed=1))
    for power in (1, 2):
        values = training**power
        error = values.std(axis=0) / np.sqrt(len(drawn))
        assert (np.abs((drawn**power).mean(axis=0) - values.mean(axis=0)) < 4 * error).all()
    prompt = (training[:, 2] == 0).mean()
    error = np.sqrt(prompt * (1 - prompt) / len(drawn))
    assert abs((drawn[:, 2] == 0).mean() - prompt) < 4 * error


def test_features_of_one_track_stay_together():
    pt = np.linspace(1, 2, 100)
    columns = {"pt": pt, "eta": 2 * pt, "phi": 0 * pt, "d0": 3 * pt, "dz": 4 * pt}
    drawn = rows(IndependentTracks().fit(make_events(columns, [10] * 10)).sample(50, seed=1))
    np.testing.assert_allclose(drawn / drawn[:, :1], np.tile([1, 2, 3, 4], (500, 1)), rtol=1e-6)


def test_tracks_of_one_event_are_independent():
    """Training events whose tracks all have one eta: the mean over 10 tracks varies as theirs."""
    rng = np.random.default_rng(1)
    eta = np.repeat(rng.normal(size=400), 10)
    ones = np.ones(4000)
    columns = {"pt": ones, "eta": eta, "phi": ones, "d0": ones, "dz": ones}
    sample = IndependentTracks().fit(make_events(columns, [10] * 400)).sample(4000, seed=2)
    variance = ak.to_numpy(ak.mean(sample.eta, axis=1)).var()
    # 1/10 of the variance of a track, and not all of it.
    assert abs(variance / (eta.var() / 10) - 1) < 4 * np.sqrt(2 / 4000)


def test_directions_in_one_event_are_independent(toy_minbias):
    sample = IndependentTracks().fit(toy_minbias).sample(4000, seed=3)
    px, py = sample.pt * np.cos(sample.phi), sample.pt * np.sin(sample.phi)
    recoil = ak.sum(px, axis=1) ** 2 + ak.sum(py, axis=1) ** 2
    ratio = ak.to_numpy(recoil / ak.sum(sample.pt**2, axis=1))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))


# Kernel density ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gaussian():
    """A hundred events of 20 tracks, correlated Gaussians in the features of the kernel density."""
    rng = np.random.default_rng(1)
    points = rng.normal(size=(2000, 4)) @ np.array(
        [[0.8, 0.5, 0, 0], [0, 2, 0.3, 0], [0, 0, 1, 0.6], [0, 0, 0, 1.5]]
    )
    return make_events({**expand(points), "phi": rng.uniform(-3, 3, 2000)}, [20] * 100)


def test_bandwidth_is_that_of_scipy(gaussian):
    model = KernelDensity().fit(gaussian)
    reference = gaussian_kde(points_of(gaussian).T)
    assert model.bandwidth_ == pytest.approx(reference.scotts_factor(), rel=1e-12)
    assert model.report_["bandwidth"] == model.bandwidth_
    # SciPy's covariance is that of N - 1 degrees of freedom.
    expected = reference.covariance * (1999 / 2000) / reference.factor**2
    np.testing.assert_allclose(model.covariance_, expected, rtol=1e-10)


@pytest.mark.parametrize("h", [0.1, 1.0])
def test_covariance_is_widened_by_the_kernel(gaussian, h):
    training = points_of(gaussian)
    sample = points_of(KernelDensity(bandwidth=h).fit(gaussian).sample(5000, seed=2))
    sigma = np.cov(training.T, bias=True)
    expected = (1 + h**2) * sigma
    # Of n Gaussian draws the estimate of Σᵢⱼ has the variance (Σᵢᵢ Σⱼⱼ + Σᵢⱼ²) / n.
    errors = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / len(sample))
    assert (np.abs(np.cov(sample.T) - expected) < 4 * errors).all()
    pull = (sample.mean(axis=0) - training.mean(axis=0)) / np.sqrt(np.diag(expected) / len(sample))
    assert (np.abs(pull) < 4).all()


def test_draws_are_those_of_scipy(gaussian):
    model = KernelDensity(bandwidth=0.5).fit(gaussian)
    mine = points_of(model.sample(500, seed=3))
    reference = gaussian_kde(points_of(gaussian).T, bw_method=0.5)
    theirs = reference.resample(10_000, seed=4).T
    # Sums see the correlations.
    for direction in (*np.eye(4), [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, -1]):
        assert ks_2samp(mine @ direction, theirs @ direction).pvalue > 1e-3


def test_a_small_bandwidth_gives_training_tracks(toy_minbias):
    model = KernelDensity(bandwidth=1e-7).fit(toy_minbias)
    drawn = points_of(model.sample(100, seed=1))
    nearest = np.abs(drawn[:, None] - model.points_.astype(float)).max(axis=2).min(axis=1)
    assert nearest.max() < 1e-5


def test_exact_zeros_are_smeared(toy_minbias):
    d0 = ak.flatten(KernelDensity().fit(toy_minbias).sample(200, seed=1).d0)
    assert ak.mean(ak.flatten(toy_minbias.d0) == 0) > 0.7
    assert ak.all(d0 != 0)


def test_a_feature_without_spread_stays(gaussian):
    columns = {name: ak.to_numpy(ak.flatten(gaussian[name])) for name in gaussian.fields}
    prompt = make_events({**columns, "d0": np.zeros(2000), "dz": np.zeros(2000)}, [20] * 100)
    sample = KernelDensity(bandwidth=1.0).fit(prompt).sample(1000, seed=1)
    assert ak.max(abs(sample.d0)) < 1e-9 and ak.max(abs(sample.dz)) < 1e-9
    ratio = ak.var(ak.flatten(sample.eta)) / columns["eta"].var()
    assert abs(ratio / 2 - 1) < 4 * np.sqrt(2 / 20_000)


@pytest.mark.parametrize("h", [0, -1.0, np.nan, np.inf])
def test_bad_bandwidths(toy_minbias, h):
    with pytest.raises(ValueError, match=f"bandwidth = {h}: give None or a finite number above 0"):
        KernelDensity(bandwidth=h).fit(toy_minbias)


# One mixture ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def training():
    """Two hundred events of 30 tracks from the known mixture."""
    points = KNOWN.sample(6000, seed=1)
    return make_events({**expand(points), "phi": np.zeros(6000)}, [30] * 200)


@pytest.fixture(scope="module")
def mixture(training):
    return GlobalMixture(n_components=range(1, 7), seed=1).fit(training)


def test_recovers_a_known_mixture(mixture):
    fitted, n = mixture.mixture_, 6000
    assert fitted.n_components == 2
    order = np.argsort(-fitted.weights)
    # Components overlap a little: errors are those of labelled points, half as large again.
    share = KNOWN.weights * n
    error = 1.5 * np.sqrt(KNOWN.weights[0] * KNOWN.weights[1] / n)
    assert abs(fitted.weights[order[0]] - 0.7) < 4 * error
    for k, own in enumerate(order):
        variances = np.diag(KNOWN.covariances[k])
        pulls = (fitted.means[own] - KNOWN.means[k]) / (1.5 * np.sqrt(variances / share[k]))
        assert (np.abs(pulls) < 4).all()
        ratios = np.diag(fitted.covariances[own]) / variances
        assert (np.abs(ratios - 1) < 4 * 1.5 * np.sqrt(2 / share[k])).all()


def test_samples_the_mixture(mixture):
    points = points_of(mixture.sample(300, seed=2))
    reference = KNOWN.sample(9000, seed=3)
    for direction in (*np.eye(4), [0, 0, 1, 1], [1, 0, 1, 0]):
        assert ks_2samp(points @ direction, reference @ direction).pvalue > 1e-3


def test_report_agrees_with_the_fit(training, mixture):
    report, points = mixture.report_, points_of(training)
    assert report["tracks_used"] == 6000
    best, _ = np.unravel_index(np.nanargmin(mixture.bic_), mixture.bic_.shape)
    assert report["K"] == mixture.candidates_[best] == 2
    assert report["BIC"] == np.nanmin(mixture.bic_) == pytest.approx(mixture.mixture_.bic(points))
    assert report["components_floored"] == 0 and report["converged"]


def test_exact_zeros_lie_at_the_floor(toy_minbias):
    model = GlobalMixture(n_components=range(1, 7), covariance_floor=1e-3).fit(toy_minbias)
    assert model.report_["components_floored"] > 0
    smallest = np.linalg.eigvalsh(model.mixture_.covariances)[:, 0]
    assert smallest.min() == pytest.approx(1e-3, rel=1e-6)
    d0 = ak.to_numpy(ak.flatten(model.sample(2000, seed=1).d0))
    # Prompt tracks are smeared by the root of the floor, in units of 10 µm, and by no more.
    prompt = ak.mean(ak.flatten(toy_minbias.d0) == 0)
    assert np.mean(np.abs(d0) < 4 * 0.01 * np.sqrt(1e-3)) == pytest.approx(prompt, abs=0.03)


def test_at_most_so_many_tracks_are_fitted(training):
    one, same, other = (
        GlobalMixture(n_components=2, max_tracks=500, seed=seed).fit(training) for seed in (1, 1, 2)
    )
    assert one.report_["tracks_used"] == 500
    np.testing.assert_array_equal(one.mixture_.means, same.mixture_.means)
    assert np.abs(one.mixture_.means - other.mixture_.means).max() > 1e-3


def test_threads_change_nothing(training, mixture):
    threaded = GlobalMixture(n_components=range(1, 7), seed=1, workers=2).fit(training)
    np.testing.assert_array_equal(threaded.mixture_.covariances, mixture.mixture_.covariances)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_components": 0}, "n_components: give positive whole numbers"),
        ({"n_components": 10**6}, "points: got 6000, but at least 1000000 are needed"),
        ({"n_init": 0}, "n_init = 0: give a whole number"),
        ({"covariance_floor": 0.0}, "floors = 0.0: give positive numbers"),
        ({"max_tracks": 1}, "max_tracks = 1: give a whole number of at least 2"),
        ({"max_tracks": 1e4}, "max_tracks = 10000.0: give a whole number"),
    ],
)
def test_impossible_parameters_are_named(training, change, message):
    with pytest.raises(ValueError, match=message):
        GlobalMixture(**change).fit(training)
