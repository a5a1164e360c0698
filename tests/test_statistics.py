import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hepgmm.statistics import bootstrap_error, ratio_of_sums, weighted_auc


def test_bootstrap_error_of_a_mean():
    x = np.random.default_rng(19).normal(size=(1000, 2)) * [1.0, 3.0]
    errors = bootstrap_error(lambda w: w @ x / w.sum(), 1000, n_bootstrap=2000, seed=20)
    np.testing.assert_allclose(errors, x.std(0) / np.sqrt(1000), rtol=0.07)


def test_the_error_of_a_ratio_agrees_with_the_bootstrap():
    rng = np.random.default_rng(1)
    n_tracks = 1 + rng.poisson(20, 2000)
    displaced = rng.binomial(n_tracks, rng.beta(1, 9, 2000))
    figure = ratio_of_sums(displaced, n_tracks)
    error = bootstrap_error(
        lambda w: (w @ displaced) / (w @ n_tracks), 2000, n_bootstrap=2000, seed=2
    )
    assert figure["value"] == displaced.sum() / n_tracks.sum()
    assert figure["error"] == pytest.approx(error, rel=0.07)
    # Tracks of an event share its probability: the binomial error is far too small.
    binomial = np.sqrt(figure["value"] * (1 - figure["value"]) / n_tracks.sum())
    assert figure["error"] > 1.5 * binomial


def test_weights_are_repeated_events():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 200)
    scores = np.round(rng.normal(labels, 1.0), 1)
    weights = rng.integers(0, 4, 200)
    expected = roc_auc_score(np.repeat(labels, weights), np.repeat(scores, weights))
    assert weighted_auc(scores, labels)(weights) == pytest.approx(expected, abs=1e-12)
