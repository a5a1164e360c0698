"""Tracks as points of a mixture or clouds of a network, and points as tracks."""

from __future__ import annotations

import math
from collections import Counter
from numbers import Integral
from typing import NamedTuple

import numpy as np
from numba import njit

from hepgmm.events import flatten, make_events
from hepgmm.mixture.sampling import CHUNK, fill
from hepgmm.pileup.base import find_training_events

__all__ = [
    "COLUMNS",
    "MIXTURE_FEATURES",
    "Clouds",
    "Components",
    "check_settings",
    "draw_tracks",
    "expand",
    "make_clouds",
    "read_clouds",
    "standardisation",
    "track_features",
]

#: What the mixtures describe: the natural logarithm of pT in GeV, eta, and d0 and dz; in mm with
#: the features "linear", as asinh(d0 / 10 µm) and asinh(dz / 10 µm), without a unit, with "asinh".
MIXTURE_FEATURES = ("log_pt", "eta", "d0", "dz")
#: The 10 µm of the features "asinh", in mm: near 0 they are d0 and dz in its units.
ASINH_UNIT = 0.01
#: An asinh is kept between ± this, |d0| and |dz| thus below 1e5 mm.
ASINH_LIMIT = 16.8
#: Rows of drawn tracks: those that the mixtures describe, and phi.
COLUMNS = ("pt", "eta", "d0", "dz", "phi")


class Components(NamedTuple):
    """Gaussian components of events, flat: event i owns ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    means
        ``(M, 4)`` in the order of ``MIXTURE_FEATURES``, d0 and dz in mm or, of a model with
        ``features="asinh"``, as asinh(d0 / 10 µm) and asinh(dz / 10 µm).
    covariances
        ``(M, 4, 4)``, of the same.
    weights
        ``(M,)``, summing to 1 in every event.
    offsets
        int64 ``(n_events + 1,)``.
    """

    means: np.ndarray
    covariances: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray


def track_features(events, *, min_tracks=1, features="linear"):
    """Return the mixtures' features of all tracks in events with at least ``min_tracks``.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out.
    features
        ``"linear"`` for d0 and dz in mm, ``"asinh"`` for asinh(d0 / 10 µm) and asinh(dz / 10 µm).

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
    >>> from hepgmm.events import FEATURES, make_events
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
    displacements = points[:, 3:]
    if features == "asinh":
        displacements = np.arcsinh(displacements / ASINH_UNIT)
    columns = np.column_stack([np.log(points[:, 0]), points[:, 1], displacements])
    return columns, np.concatenate([[0], np.cumsum(counts[kept])])


def draw_tracks(
    tracks, chosen, mixtures, starts, *, limits, pt_limits, redraws, features, rng, scratch
) -> Counter:
    """Draw the tracks of a batch of events from their mixtures, with phi uniform.

    Parameters
    ----------
    tracks
        float32 ``(5, N)`` in the order of ``COLUMNS``, in GeV, mm and rad; overwritten.
    chosen
        The component of every track, int ``(N,)``, overwritten; None if nobody asks.
    mixtures
        The float32 ``Mixtures`` of the events, in the order of ``MIXTURE_FEATURES``.
    starts
        Event i has the tracks ``starts[i]:starts[i + 1]``.
    limits
        ``(2, 4)``: tracks below the first or above the second row in any feature lie outside.
    pt_limits
        pT is kept between these, in GeV.
    redraws
        How often tracks outside are drawn again from their event's mixture.
    features
        What the mixtures describe, as in ``track_features``.
    rng
        A numpy Generator.
    scratch
        The ``Scratch`` of the thread.

    Returns
    -------
    Counter
        How many pT were clipped (``"pt_clipped"``), tracks had |d0| or |dz| clipped to 1e5 mm
        (``"displacements_clipped"``), lie outside (``"tracks_outside"``) and were drawn again
        (``"tracks_redrawn"``).
    """
    limits, report = np.asarray(limits, dtype=np.float32), Counter()
    pt_limits = np.asarray(pt_limits, dtype=np.float32)
    log_limits = np.log(pt_limits)
    for begin in range(0, tracks.shape[1], CHUNK):
        part = tracks[:, begin : begin + CHUNK]
        index = scratch.chosen if chosen is None else chosen[begin : begin + CHUNK]
        points, log_pt, displacements, phi = part[:-1], part[0], part[2:4], part[-1]
        fill(points, index, begin, mixtures, starts, rng, scratch)
        outside = beyond(points, limits)
        for _ in range(redraws):
            stray = np.flatnonzero(outside)
            report["tracks_redrawn"] += len(stray)
            # As many for every event as it has strays, which are in the order of the events.
            own_starts = np.searchsorted(stray, starts - begin)
            fresh, components = points[:, stray], index[stray]
            fill(fresh, components, 0, mixtures, own_starts, rng, scratch)
            points[:, stray], index[stray] = fresh, components
            outside[stray] = beyond(fresh, limits)
        report["tracks_outside"] += np.count_nonzero(outside)
        report["pt_clipped"] += np.count_nonzero(beyond(part[:1], log_limits[:, None]))
        np.clip(log_pt, *log_limits, out=log_pt)
        # The exponential of a limit's rounded logarithm can miss the limit by its last digits.
        np.clip(np.exp(log_pt, out=log_pt), *pt_limits, out=log_pt)
        if features == "asinh":
            # A hyperbolic sine of a Gaussian's tail would overflow.
            far = beyond(displacements, np.full((2, 2), [[-ASINH_LIMIT], [ASINH_LIMIT]]))
            report["displacements_clipped"] += np.count_nonzero(far)
            np.clip(displacements, -ASINH_LIMIT, ASINH_LIMIT, out=displacements)
            np.sinh(displacements, out=displacements)
            displacements *= np.float32(ASINH_UNIT)
        rng.random(out=phi, dtype=np.float32)
        phi -= np.float32(0.5)
        phi *= np.float32(2 * np.pi)
    return report


def beyond(points, limits):
    """Whether points ``(d, n)`` lie below ``limits[0]`` or above ``limits[1]`` in any feature."""
    outside = np.zeros(points.shape[1], dtype=bool)
    for values, low, high in zip(points, *limits, strict=True):
        mark(values, low, high, outside)
    return outside


@njit(nogil=True, cache=True)
def mark(values, low, high, outside):
    """Mark the values below ``low`` or above ``high``."""
    for i in range(len(values)):
        outside[i] |= (values[i] < low) | (values[i] > high)


#: pT is kept between these, in GeV.
PT_LIMITS = (1e-6, 6500.0)
LOG_PT_LIMITS = tuple(math.log(limit) for limit in PT_LIMITS)


def expand(points) -> dict[str, np.ndarray]:
    """Columns of tracks; undoes ``track_features`` with ``features="asinh"``.

    Parameters
    ----------
    points
        ``(N, 4)``: log pT (pT in GeV), η, asinh(d0 / 10 µm), asinh(dz / 10 µm). However far out
        they are, pT is kept within 1e-6 and 6500 GeV, and abs(d0) and abs(dz) below 1e5 mm.

    Returns
    -------
    dict
        pt, eta, d0 and dz, ``(N,)`` of the type of the points; in GeV and mm.

    Examples
    --------
    >>> {name: value.tolist() for name, value in expand(np.zeros((1, 4))).items()}
    {'pt': [1.0], 'eta': [0.0], 'd0': [0.0], 'dz': [0.0]}
    """
    log_pt, eta, *asinhs = np.asarray(points).T
    # The exponential of a limit's rounded logarithm can miss the limit by its last digits.
    pt = np.clip(np.exp(np.clip(log_pt, *LOG_PT_LIMITS)), *PT_LIMITS)
    d0, dz = (ASINH_UNIT * np.sinh(np.clip(x, -ASINH_LIMIT, ASINH_LIMIT)) for x in asinhs)
    return {"pt": pt, "eta": eta, "d0": d0, "dz": dz}


#: Unit of the asinh of d0 and dz in mm: tracks displaced by less are as good as prompt.
UNIT = 1e-5


class Clouds(NamedTuple):
    """Tracks of all events, one event after the other.

    Attributes
    ----------
    features
        ``(N, 4)``: log pT (pT in GeV), eta, asinh(d0 / 10 nm), asinh(dz / 10 nm).
    displaced
        bool ``(N,)``: False for prompt tracks, whose d0 and dz are both exactly 0.
    phi
        ``(N,)``, in rad.
    counts
        Tracks of every event, int ``(n_events,)``.
    """

    features: np.ndarray
    displaced: np.ndarray
    phi: np.ndarray
    counts: np.ndarray

    def mirrored(self) -> Clouds:
        """Return the same events seen in a mirror across the beam: eta → −eta, dz → −dz."""
        return self._replace(features=self.features * [1.0, -1.0, 1.0, -1.0])


def read_clouds(events, *, min_tracks) -> Clouds:
    """Tracks of the events that a generator learns from.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out.

    Returns
    -------
    Clouds

    Raises
    ------
    ValueError
        For bad events, or fewer than 10 of them with ``min_tracks`` tracks.

    Examples
    --------
    >>> columns = {name: [0.0, 1.0] * 15 for name in ("eta", "phi", "d0", "dz")}
    >>> events = make_events(columns | {"pt": [1.0] * 30}, [3] * 10)
    >>> clouds = read_clouds(events, min_tracks=3)
    >>> clouds.features.shape, clouds.displaced[:3].tolist()
    ((30, 4), [False, True, False])
    """
    kept = events[find_training_events(events, min_tracks=min_tracks)]
    features, offsets = track_features(events, min_tracks=min_tracks)
    displaced = (features[:, 2:] != 0).any(axis=1)
    features[:, 2:] = np.arcsinh(features[:, 2:] / UNIT)
    return Clouds(features, displaced, flatten(kept)[0][:, 2], np.diff(offsets))


def make_clouds(clouds: Clouds, model, *, seed):
    """Events of synthetic clouds; undoes ``read_clouds``.

    Parameters
    ----------
    clouds
        The tracks; d0 and dz of those that aren't displaced become 0 exactly.
    model
        A generator: the features are kept within its ``range_``, pT within its ``pt_limits``.
    seed
        To be noted in the events' provenance.

    Returns
    -------
    awkward.Array
        ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.
    """
    log_pt, eta, d0, dz = np.clip(clouds.features, *model.range_).T
    columns = {
        "pt": np.clip(np.exp(log_pt), *model.pt_limits),
        "eta": eta,
        "phi": np.mod(clouds.phi + np.pi, 2 * np.pi) - np.pi,
        "d0": np.where(clouds.displaced, np.sinh(d0) * UNIT, 0.0),
        "dz": np.where(clouds.displaced, np.sinh(dz) * UNIT, 0.0),
    }
    about = {"process": "minbias", "generator": type(model).__name__, "seed": str(seed)}
    return make_events(columns, clouds.counts, provenance=about)


def standardisation(values):
    """Mean and standard deviation of every column, ``(2, d)``; 1 where a column is constant."""
    scale = values.std(axis=0)
    return np.stack([values.mean(axis=0), np.where(scale > 0, scale, 1.0)])


def check_settings(model, *sizes) -> None:
    """Refuse settings of a deep generator that can't be; ``sizes`` are names of whole numbers.

    Raises
    ------
    ValueError
        One line that names the setting and its value.
    """
    low, high = model.pt_limits
    checks = [
        *(
            (isinstance(size, Integral) and size >= 1, f"{name} = {size!r}: give 1 or more")
            for name in ("epochs", "batch_size", *sizes)
            for size in (getattr(model, name),)
        ),
        (model.learning_rate > 0, f"learning_rate = {model.learning_rate}: give more than 0"),
        (model.min_tracks >= 2, f"min_tracks = {model.min_tracks}: give at least 2"),
        (0 < low < high <= 1e15, f"pt_limits = {low, high}: give 0 < low < high <= 1e15 GeV"),
    ]
    for good, message in checks:
        if not good:
            raise ValueError(message)
