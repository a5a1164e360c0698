"""Tracks as points of a mixture, and tracks drawn from the mixtures of events."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepgmm.mixture.gmm import draw_normal
from hepgmm.pileup.reports import tally
from hepgmm.tracks import FEATURES, flatten

__all__ = ["MIXTURE_FEATURES", "Components", "draw_tracks", "track_features"]

#: What the mixtures describe: the natural logarithm of pT in GeV, eta, and d0 and dz in mm.
MIXTURE_FEATURES = ("log_pt", "eta", "d0", "dz")
#: Tracks drawn at once: bounds the memory that sampling needs beside its result.
CHUNK = 262144


class Components(NamedTuple):
    """Gaussian components of events, flat: event i owns ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    means
        ``(M, 4)`` in the order of ``MIXTURE_FEATURES``.
    covariances
        ``(M, 4, 4)``.
    weights
        ``(M,)``, summing to 1 in every event.
    offsets
        int64 ``(n_events + 1,)``.
    """

    means: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray


def track_features(events, *, min_tracks=1):
    """Return the mixtures' features of all tracks in events with at least ``min_tracks``.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out.

    Returns
    -------
    points : numpy.ndarray
        float64 ``(N, 4)`` in the order of ``MIXTURE_FEATURES``.
    offsets : numpy.ndarray
        int64, one more than events kept.

    Raises
    ------
    ValueError
        If a track has no pT; its event is named.

    Examples
    --------
    >>> from hepgmm.tracks import make_events
    >>> columns = {name: [1.0, 1.0, 1.0] for name in FEATURES}
    >>> track_features(make_events(columns, [1, 2]), min_tracks=2)[0].tolist()
    [[0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 1.0]]
    """
    points, offsets = flatten(events)
    if (points[:, 0] <= 0).any():
        event = int(np.searchsorted(offsets, np.argmax(points[:, 0] <= 0), side="right")) - 1
        raise ValueError(f"events: pt of event {event} is 0 GeV, which has no logarithm")
    counts = np.diff(offsets)
    kept = counts >= min_tracks
    points = points[np.repeat(kept, counts)]
    features = np.column_stack([np.log(points[:, 0]), points[:, 1], points[:, 3], points[:, 4]])
    return features, np.concatenate([[0], np.cumsum(counts[kept])])


def draw_tracks(components, factors, counts, *, limits, pt_limits, redraws, rng):
    """Tracks of events from their mixtures, with phi uniform.

    Parameters
    ----------
    components
        The :class:`Components` of the events.
    factors
        ``(M, 4, 4)``: F with covariance F Fᵀ.
    counts
        Tracks of every event, ``(n_events,)``.
    limits
        ``(2, 4)``: tracks below the first or above the second row in any feature lie outside.
    pt_limits
        pT is kept between these, in GeV.
    redraws
        How often tracks outside are drawn again from their event's mixture.
    rng
        A numpy Generator.

    Returns
    -------
    columns : dict
        Feature → float32 ``(N,)``, in GeV, rad and mm.
    index : numpy.ndarray
        int32 ``(N,)``, the component of every track.
    report : dict
        How many pT were clipped, tracks lie outside, tracks were drawn again.
    """
    events = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    columns = {name: np.empty(len(events), dtype=np.float32) for name in FEATURES}
    index = np.empty(len(events), dtype=np.int32)
    # Event e owns the interval [e, e + 1) of these edges, cut in proportion to its weights.
    edges = np.cumsum(components.weights)
    first, last = components.offsets[:-1], components.offsets[1:] - 1
    log_limits = np.log(pt_limits)
    clipped = outside = redrawn = 0

    def draw(event):
        chosen = np.searchsorted(edges, event + rng.random(len(event)), side="right")
        chosen = np.clip(chosen, first[event], last[event])
        return chosen, draw_normal(components.means, factors, chosen, rng)

    def strays(points):
        return np.flatnonzero(((points < limits[0]) | (points > limits[1])).any(axis=1))

    for start in range(0, len(events), CHUNK):
        part = slice(start, start + CHUNK)
        index[part], points = draw(events[part])
        stray = strays(points)
        for _ in range(redraws):
            redrawn += len(stray)
            index[start + stray], points[stray] = draw(events[start + stray])
            stray = stray[strays(points[stray])]
        outside += len(stray)
        clipped += int(((points[:, 0] < log_limits[0]) | (points[:, 0] > log_limits[1])).sum())
        columns["pt"][part] = np.exp(np.clip(points[:, 0], *log_limits))
        columns["phi"][part] = rng.uniform(-np.pi, np.pi, len(points))
        for position, name in enumerate(MIXTURE_FEATURES[1:], 1):
            columns[name][part] = points[:, position]
    report = {
        "pt_clipped": tally(clipped, len(events)),
        "tracks_outside": tally(outside, len(events)),
        "tracks_redrawn": tally(redrawn, len(events)),
    }
    return columns, index, report
