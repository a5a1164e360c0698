"""Two-sample classifiers of rows and of bundles: folds, weights, what they can and cannot see."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hepgmm.events import make_events
from hepgmm.validate.two_sample import (
    FOLDS,
    bundle_auc,
    split,
    superimpose,
    weighted_two_sample_auc,
)


@given(st.integers(5, 40), st.integers(5, 40), st.integers(0, 99))
def test_folds_keep_sources_together_and_have_both_samples(n_real, n_sources, seed):
    rng = np.random.default_rng(seed)
    sources = n_real + np.concatenate([np.arange(n_sources), rng.integers(0, n_sources, 30)])
    source = np.concatenate([np.arange(n_real), sources])
    synthetic = source >= n_real
    fold = split(synthetic, source, seed=seed)
    assert all(len(set(fold[source == k])) == 1 for k in source)
    for side in (synthetic, ~synthetic):
        sizes = [len(set(source[side & (fold == k)])) for k in range(FOLDS)]
        assert min(sizes) >= 1 and max(sizes) - min(sizes) <= 1


def test_weights_act_on_whole_events():
    """Twice the weight on every event changes nothing; none on an event removes its tracks."""
    rng = np.random.default_rng(10)
    event = np.repeat(np.arange(200), 3)
    synthetic = event >= 100
    features = rng.normal(size=(600, 1)) + synthetic[:, None]
    area = weighted_two_sample_auc(features, synthetic, event, seed=11)
    ones = np.ones(200)
    assert area(2 * ones) == pytest.approx(area(ones))
    ones[::2] = 0
    assert area(ones) != area(np.ones(200))
    assert 0.65 < area(ones) < 0.9


def test_long_events_still_fill_every_fold():
    event = np.repeat(np.arange(120), 500)
    features = np.random.default_rng(1).normal(size=(len(event), 1))
    area = weighted_two_sample_auc(features, event >= 60, event, seed=2)
    assert abs(area(np.ones(120)) - 0.5) < 0.02


def toy(n_events, *, seed, mean_tracks=5.0):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean_tracks, n_events)
    columns = {name: rng.normal(size=counts.sum()) for name in ("eta", "phi", "d0", "dz")}
    return make_events(columns | {"pt": rng.lognormal(size=counts.sum())}, counts)


def bundled(real, synthetic, size):
    both = np.arange(len(real) + len(synthetic))
    fold = split(both >= len(real), both, seed=1)
    return bundle_auc(real, synthetic, fold, size=size, seed=1)


def test_bundles_see_what_single_events_hardly_show():
    """Poisson of 5 or 6.5 tracks: √size times further apart in bundles."""
    real, synthetic = toy(1500, seed=1), toy(1500, seed=2, mean_tracks=6.5)
    alone, together = (bundled(real, synthetic, size)["value"] for size in (1, 30))
    assert alone < 0.72
    assert together > 0.85


def test_bundles_of_equal_samples_are_equal():
    figures = [bundled(toy(600, seed=k), toy(600, seed=k + 50), 20) for k in range(5)]
    values, errors = np.array([list(figure.values()) for figure in figures]).T
    assert abs(values.mean() - 0.5) < 4 * np.sqrt((errors**2).mean() / 5)
    assert errors.max() < 0.2


def test_bundles_hold_all_tracks_and_need_two_a_fold():
    events = toy(100, seed=3)
    index = np.random.default_rng(4).permutation(100).reshape(10, 10)
    bundles = superimpose(events, index)
    for bundle, members in zip(bundles, index, strict=True):
        assert sorted(bundle.pt.tolist()) == sorted(ak.flatten(events.pt[members]).tolist())
    assert bundled(events, events, 11) is None


def test_same_seed_same_area():
    real, synthetic = toy(100, seed=1), toy(100, seed=2)
    assert bundled(real, synthetic, 10) == bundled(real, synthetic, 10)


def test_neighbouring_sources_are_in_different_folds():
    source = np.concatenate([np.repeat(np.arange(23), 3), np.arange(100, 110)])
    synthetic = np.arange(79) < 69
    fold = split(synthetic, source, seed=4)[:69].reshape(23, 3)
    assert (fold == fold[:, :1]).all()
    for first in range(0, 20, 5):
        assert sorted(fold[first : first + 5, 0]) == [0, 1, 2, 3, 4]
    assert (split(synthetic, source, seed=5)[:69] != fold.ravel()).any()
