"""Compare synthetic pileup events with real ones: Wasserstein distances and two-sample AUCs."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from hepgmm.statistics import bootstrap_error, weighted_auc
from hepgmm.tracks import check_events, flatten

__all__ = [
    "EVENT_FEATURES",
    "TRACK_FEATURES",
    "compare",
    "event_features",
    "track_features",
    "weighted_two_sample_auc",
    "weighted_wasserstein",
]

TRACK_FEATURES = ("log_pt", "eta", "asinh_d0", "asinh_dz")
"""log(pT / GeV), η, asinh(d0 / 10 µm) and asinh(dz / 10 µm) of a track."""

EVENT_FEATURES = (
    "n_tracks",
    "n_accepted",
    "log_sum_pt",
    "recoil",
    *(f"{how}_{what}" for what in TRACK_FEATURES for how in ("mean", "spread", "min", "max")),
    "fraction_d0_10um",
    "fraction_d0_1mm",
    "fraction_dz_10um",
    "fraction_dz_1mm",
)
"""Number of tracks, of those with pT > 0.5 GeV and |η| < 4.5, log(1 + ΣpT / GeV), |ΣpT vector|² /
ΣpT² (1 on average for independent tracks), mean, spread, least and largest of every track feature,
and the fractions of tracks with |d0| or |dz| beyond 10 µm and 1 mm. Without tracks all are 0."""

_SCALE = 0.01
_FOLDS = 5
_MAX_ROWS = 40_000
_MIN_EVENTS = 100
# how many of the figures are AUCs; the others are distances
_N_AUCS = 2


def track_features(events):
    """Features of all tracks of all events, one event after the other.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    features : array, shape (n_tracks, 4)
        Columns as in :data:`TRACK_FEATURES`.
    event : array of int, shape (n_tracks,)
        Number of the event of each track.
    """
    points, offsets = flatten(events)
    pt, eta, _, d0, dz = points.T
    log_pt = np.log(np.maximum(pt, np.finfo(np.float32).tiny))
    features = np.stack([log_pt, eta, np.arcsinh(d0 / _SCALE), np.arcsinh(dz / _SCALE)], axis=1)
    return features, np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def event_features(events):
    """Numbers that summarise each event.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    features : array, shape (n_events, len(EVENT_FEATURES))
    names : tuple of str
        :data:`EVENT_FEATURES`.

    Examples
    --------
    >>> from hepgmm.tracks import make_events
    >>> columns = {name: [1.0, 2.0, 3.0] for name in ("pt", "eta", "phi", "d0", "dz")}
    >>> features, names = event_features(make_events(columns, [2, 0, 1]))
    >>> features[:, names.index("n_tracks")].tolist()
    [2.0, 0.0, 1.0]
    """
    points, offsets = flatten(events)
    tracks, event = track_features(events)
    pt, eta, phi, d0, dz = points.T
    counts = np.diff(offsets)
    filled = np.flatnonzero(counts)

    def total(x):
        return np.bincount(event, weights=x, minlength=len(counts))

    def mean(x):
        return total(x) / np.maximum(counts, 1)

    def extreme(ufunc, x):
        values = np.zeros(len(counts))
        values[filled] = ufunc.reduceat(x, offsets[:-1][filled]) if len(filled) else 0.0
        return values

    recoil = total(pt * np.cos(phi)) ** 2 + total(pt * np.sin(phi)) ** 2
    columns = [
        counts,
        total((pt > 0.5) & (np.abs(eta) < 4.5)),
        np.log1p(total(pt)),
        recoil / np.maximum(total(pt**2), np.finfo(float).tiny),
    ]
    for x in tracks.T:
        average = mean(x)
        spread = np.sqrt(mean((x - average[event]) ** 2))
        columns += [average, spread, extreme(np.minimum, x), extreme(np.maximum, x)]
    columns += [mean(np.abs(d) > cut) for d in (d0, dz) for cut in (_SCALE, 1.0)]
    return np.stack(columns, axis=1), EVENT_FEATURES


def weighted_wasserstein(values, synthetic):
    """First Wasserstein distances ∫ |F(t) − G(t)| dt as a function of weights, column by column.

    Parameters
    ----------
    values : array, shape (n, d)
        Both samples.
    synthetic : array of bool, shape (n,)
        Which rows are of the second sample.

    Returns
    -------
    callable
        From weights, shape (n,), to the distances, shape (d,).

    Examples
    --------
    >>> values = np.array([[0.0], [1.0], [5.0], [6.0]])
    >>> weighted_wasserstein(values, np.array([False, False, True, True]))(np.ones(4)).tolist()
    [5.0]
    """
    order = np.argsort(values, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(values, order, 0), axis=0)

    def statistic(weights):
        real, other = np.where(synthetic, 0, weights), np.where(synthetic, weights, 0)
        density = real / real.sum() - other / other.sum()
        return (np.abs(np.cumsum(density[order], axis=0)[:-1]) * gaps).sum(0)

    return statistic


def weighted_two_sample_auc(features, synthetic, event, *, seed):
    """AUC of boosted trees that tell two samples apart, as a function of event weights.

    Cross-validated: trees fitted to four fifths of the events score the last fifth, and the five
    AUCs are averaged. At most 40,000 rows are used, of whole events chosen at random.

    Parameters
    ----------
    features : array, shape (n, d)
        Both samples.
    synthetic : array of bool, shape (n,)
        Which rows are of the second sample.
    event : array of int, shape (n,)
        Event of each row, so that no event is on both sides of a split.
    seed : int

    Returns
    -------
    callable
        From weights of the events to the AUC.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    shuffled = np.random.default_rng(seed).permutation(event.max() + 1)[event]
    allowed = np.sort(shuffled)[:_MAX_ROWS][-1]
    used = shuffled <= allowed
    features, synthetic, event = features[used], synthetic[used], event[used]
    fold = shuffled[used] % _FOLDS
    areas = []
    for k in range(_FOLDS):
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        # Trees of so few rows gain nothing by threads, which wait for each other on a busy machine.
        with threadpool_limits(1):
            trees.fit(features[fold != k], synthetic[fold != k])
        scores = trees.predict_proba(features[fold == k])[:, 1]
        areas.append((weighted_auc(scores, synthetic[fold == k]), event[fold == k]))
    return lambda weights: np.mean([area(weights[rows]) for area, rows in areas])


def compare(real, synthetic, *, seed, n_bootstrap=50):
    """How far synthetic events are from real ones.

    Parameters
    ----------
    real, synthetic : awkward array of Track records
        At least 100 events each; the real ones should not have been used to fit the generator.
    seed : int
    n_bootstrap : int

    Returns
    -------
    dict
        Name to ``{"value", "error", "floor"}``. ``auc_events`` and ``auc_tracks``: cross-validated
        AUC of boosted trees on :data:`EVENT_FEATURES` and :data:`TRACK_FEATURES`; 0.5 if nothing
        tells the samples apart. ``w1_track_*`` and ``w1_event_*``: Wasserstein distance of each
        feature in units of its real standard deviation; ``w1_tracks`` and ``w1_events`` their
        means. Errors are from the bootstrap over events; the trees are not fitted again. The floor
        is the same figure for one half of the real events against the other; distances, which do
        not vanish for finite samples of n and m events, are scaled to these by √(1/n + 1/m).

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
    names = (
        "auc_events",
        "auc_tracks",
        "w1_events",
        "w1_tracks",
        *(f"w1_event_{name}" for name in EVENT_FEATURES),
        *(f"w1_track_{name}" for name in TRACK_FEATURES),
    )
    return {
        name: {"value": float(value), "error": float(error), "floor": float(floor)}
        for name, value, error, floor in zip(names, values, errors, floors, strict=True)
    }


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
