"""The AUCs of a comparison: equal, different and copied events."""

import numpy as np
from scipy.stats import norm

from hepgmm.validate import compare


def test_equal_samples_are_not_told_apart(events):
    same = compare(events(250, seed=1), events(250, seed=2), seed=3)
    for name in ("auc_events", "auc_accepted", "auc_tracks"):
        assert abs(same[name]["value"] - 0.5) < 4 * same[name]["error"]
        assert abs(same[name]["floor"] - 0.5) < 6 * same[name]["error"]
        assert same[name]["error"] < 0.03


def test_shifted_tracks_are_told_apart_as_well_as_they_can_be(events):
    real, synthetic = events(700, seed=1), events(600, seed=2, eta_shift=1.0)
    shifted = compare(real, synthetic, seed=3, n_bootstrap=20)
    best = norm.cdf(1 / np.sqrt(2))
    figure = shifted["auc_tracks"]
    assert best - 0.03 < figure["value"] < best + 4 * figure["error"]
    assert shifted["auc_events"]["value"] > 0.9


def test_oversampling_is_seen_only_where_copies_may_meet(events):
    sources = np.random.default_rng(5).integers(0, 150, 600)
    training, real = events(150, seed=1), events(600, seed=2)
    figures = compare(real, training[sources], sources=sources, seed=6)
    assert figures["auc_events_unsplit"]["value"] > 0.9
    # trees are not fitted again for the error, which matters most near 0.5
    assert abs(figures["auc_events"]["value"] - 0.5) < 6 * figures["auc_events"]["error"] < 0.25
    assert figures["auc_events_unsplit"]["floor"] == figures["auc_events"]["floor"]
    # four copies of an event are not four events
    assert figures["auc_events"]["error"] > 1.5 * figures["auc_events_unsplit"]["error"]


def test_transformer_is_there_when_asked_for(events, no_trees):
    real, synthetic = events(100, seed=1), events(100, seed=2)
    figure = compare(real, synthetic, seed=3, n_bootstrap=2, transformer=True)["auc_transformer"]
    assert 0 <= figure["value"] <= 1 and figure["error"] > 0
