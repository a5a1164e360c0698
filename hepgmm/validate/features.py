"""What a track and an event are described by when samples of them are compared."""

from __future__ import annotations

import numpy as np

from hepgmm.tracks import flatten

__all__ = ["EVENT_FEATURES", "TRACK_FEATURES", "event_features", "track_features"]

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
