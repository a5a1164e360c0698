"""Compare synthetic pileup events with real ones: distances and two-sample AUCs."""

from __future__ import annotations

from functools import partial

import numpy as np

from hepgmm.statistics import bootstrap_error
from hepgmm.tracks import check_events
from hepgmm.validate.distances import frechet_distance, kernel_distance, weighted_wasserstein
from hepgmm.validate.features import EVENT_FEATURES, TRACK_FEATURES, event_features, track_features
from hepgmm.validate.memory import nearest_ratio
from hepgmm.validate.two_sample import weighted_two_sample_auc

__all__ = ["compare"]

_MIN_EVENTS = 100
# how many of the figures are AUCs; the others are Wasserstein distances
_N_AUCS = 2


def compare(real, synthetic, *, training=None, seed, n_bootstrap=50):
    """How far synthetic events are from real ones.

    Parameters
    ----------
    real, synthetic : awkward array of Track records
        At least 100 events each; the real ones should not have been used to fit the generator.
    training : awkward array of Track records, optional
        The events that the generator was fitted to.
    seed : int
    n_bootstrap : int

    Returns
    -------
    dict
        Name to ``{"value", "error", "floor"}``. ``auc_events`` and ``auc_tracks``: cross-validated
        AUC of boosted trees on :data:`EVENT_FEATURES` and :data:`TRACK_FEATURES`; 0.5 if nothing
        tells the samples apart. ``fpd`` and ``kpd``: :func:`~hepgmm.validate.frechet_distance` and
        :func:`~hepgmm.validate.kernel_distance` of :data:`EVENT_FEATURES`; 0 for equal
        distributions, whatever the sizes of the samples. ``nearest``, only with ``training``:
        :func:`~hepgmm.validate.nearest_ratio`; 1 if nothing was learnt by heart. ``w1_track_*`` and
        ``w1_event_*``: Wasserstein distance of each feature in units of its real standard
        deviation; ``w1_tracks`` and ``w1_events`` their means. Errors are from the bootstrap over
        events, that of ``kpd`` from subsamples; the trees are not fitted again. The floor is the
        same figure for one half of the real events against the other; Wasserstein distances, which
        do not vanish for finite samples of n and m events, are scaled to these by √(1/n + 1/m).

    Raises
    ------
    ValueError
        If there are too few events, or an event is broken.
    """
    check_events(real, name="real", min_events=_MIN_EVENTS)
    check_events(synthetic, name="synthetic", min_events=_MIN_EVENTS)
    halves = np.array_split(np.random.default_rng(seed).permutation(len(real)), 2)
    statistic = _figures(real, synthetic, seed)
    n_events = len(real) + len(synthetic)
    values = statistic(np.ones(n_events))
    errors = bootstrap_error(statistic, n_events, n_bootstrap=n_bootstrap, seed=seed)
    floors = _figures(*(real[half] for half in halves), seed)(np.ones(len(real)))
    sizes = np.array([[len(real), len(synthetic)], [len(half) for half in halves]])
    spread, half_spread = np.sqrt((1 / sizes).sum(axis=1))
    floors[_N_AUCS:] *= spread / half_spread
    features, other = (event_features(events)[0] for events in (real, synthetic))
    distances = {"fpd": frechet_distance, "kpd": kernel_distance}
    if training is not None:
        check_events(training, name="training", min_events=1)
        distances["nearest"] = partial(nearest_ratio, event_features(training)[0])
    others = {
        name: distance(features, other, seed=seed)
        | {"floor": distance(*(features[half] for half in halves), seed=seed)["value"]}
        for name, distance in distances.items()
    }
    names = (
        "auc_events",
        "auc_tracks",
        "w1_events",
        "w1_tracks",
        *(f"w1_event_{name}" for name in EVENT_FEATURES),
        *(f"w1_track_{name}" for name in TRACK_FEATURES),
    )
    figures = {
        name: {"value": float(value), "error": float(error), "floor": float(floor)}
        for name, value, error, floor in zip(names, values, errors, floors, strict=True)
    }
    aucs = {name: figures.pop(name) for name in names[:_N_AUCS]}
    return aucs | others | figures


def _figures(real, synthetic, seed):
    """All figures of a comparison as one function of event weights."""
    sides = [event_features(events)[0] for events in (real, synthetic)]
    (real_tracks, real_event), (other_tracks, other_event) = map(track_features, (real, synthetic))
    event = np.concatenate([real_event, other_event + len(real)])
    is_other = np.arange(len(real) + len(synthetic)) >= len(real)
    summaries = np.concatenate(sides) / _scale(sides[0])
    tracks = np.concatenate([real_tracks, other_tracks]) / _scale(real_tracks)
    auc_events = weighted_two_sample_auc(summaries, is_other, np.arange(len(is_other)), seed=seed)
    auc_tracks = weighted_two_sample_auc(tracks, is_other[event], event, seed=seed)
    w1_events = weighted_wasserstein(summaries, is_other)
    w1_tracks = weighted_wasserstein(tracks, is_other[event])

    def statistic(weights):
        of_events, of_tracks = w1_events(weights), w1_tracks(weights[event])
        aucs = auc_events(weights), auc_tracks(weights)
        return np.array([*aucs, of_events.mean(), of_tracks.mean(), *of_events, *of_tracks])

    return statistic


def _scale(values):
    std = values.std(0)
    return np.where(std > 0, std, 1.0)
