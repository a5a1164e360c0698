"""Tracks from a kernel density: its bandwidth, its moments, what it smears."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import gaussian_kde, ks_2samp

from hepgmm.events import make_events
from hepgmm.pileup.baselines import KernelDensity
from hepgmm.pileup.points import expand, track_features


def points_of(events):
    """Features of all tracks, float64 ``(N, 4)``."""
    return track_features(events, features="asinh")[0]


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
