"""Tracks as points of a mixture or clouds of a network, and points and clouds as tracks."""

from __future__ import annotations

import math
from collections import Counter
from numbers import Integral
from typing import NamedTuple

import awkward as ak
import numpy as np
from numba import njit

from hepgmm.events import flatten
from hepgmm.mixture.sampling import CHUNK, fill

__all__ = [
    "COLUMNS",
    "MIXTURE_FEATURES",
    "Clouds",
    "check_pt",
    "cloud_columns",
    "draw_tracks",
    "expand",
    "network_rules",
    "read_clouds",
    "standardisation",
    "synthesis_rules",
    "track_features",
]

#: What the mixtures describe: the natural logarithm of pT in GeV, eta, and d0 and dz; in mm with
#: the features "linear", as asinh(d0 / 10 µm) and asinh(dz / 10 µm), without a unit, with "asinh".
MIXTURE_FEATURES = ("log_pt", "eta", "d0", "dz")
#: The 10 µm of the features "asinh", in mm: near 0 they are d0 and dz in its units.
ASINH_UNIT = 0.01
#: An asinh is kept between ± this, |d0| and |dz| thus below 1e5 mm.
ASINH_LIMIT = 16.8
#: The same unit for networks: tracks displaced by less are as good as prompt.
CLOUD_UNIT = 1e-5
#: pT is kept between these, in GeV.
PT_LIMITS = (1e-6, 6500.0)
LOG_PT_LIMITS = tuple(math.log(limit) for limit in PT_LIMITS)
#: Rows of drawn tracks: those that the mixtures describe, and phi.
COLUMNS = ("pt", "eta", "d0", "dz", "phi")


def check_pt(events) -> None:
    """Refuse a track without pT; its event is named."""
    silent = ak.any(events.pt <= 0, axis=1)
    if ak.any(silent):
        event = int(ak.argmax(silent))
        raise ValueError(f"events: pt of event {event} is 0 GeV, which has no logarithm")


def track_features(events, *, min_tracks=1, features="linear"):
    """Return the mixtures' features of all tracks in events with at least ``min_tracks``.

    Parameters
    ----------
    events : awkward.Array
    min_tracks : int
        Events with fewer tracks are left out.
    features : str
        ``"linear"`` for d0 and dz in mm, ``"asinh"`` for asinh(d0 / 10 µm) and asinh(dz / 10 µm).

    Returns
    -------
    points : array, float64, shape (N, 4)
        In the order of ``MIXTURE_FEATURES``.
    offsets : array, int64
        One more than events kept.

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
    check_pt(events)
    counts = np.diff(offsets)
    enough = counts >= min_tracks
    points = points[np.repeat(enough, counts)]
    displacements = points[:, 3:]
    if features == "asinh":
        displacements = np.arcsinh(displacements / ASINH_UNIT)
    columns = np.column_stack([np.log(points[:, 0]), points[:, 1], displacements])
    return columns, np.concatenate([[0], np.cumsum(counts[enough])])


def expand(points) -> dict[str, np.ndarray]:
    """Columns pt, eta, d0 and dz in GeV and mm of points ``(N, 4)`` with the features "asinh".

    However far out they are, pT is kept within 1e-6 and 6500 GeV, and abs(d0) and abs(dz) below
    1e5 mm.
    """
    log_pt, eta, *asinhs = np.asarray(points).T
    # The exponential of a limit's rounded logarithm can miss the limit by its last digits.
    pt = np.clip(np.exp(np.clip(log_pt, *LOG_PT_LIMITS)), *PT_LIMITS)
    d0, dz = (ASINH_UNIT * np.sinh(np.clip(x, -ASINH_LIMIT, ASINH_LIMIT)) for x in asinhs)
    return {"pt": pt, "eta": eta, "d0": d0, "dz": dz}


def standardisation(values):
    """Mean and standard deviation of every column, ``(2, d)``; 1 where a column is constant."""
    scale = values.std(axis=0)
    return np.stack([values.mean(axis=0), np.where(scale > 0, scale, 1.0)])


def synthesis_rules(model):
    """What ``min_tracks`` and ``pt_limits`` of a generator have to fulfil, as ``_rules`` does."""
    low, high = model.pt_limits
    yield model.min_tracks >= 2, f"min_tracks = {model.min_tracks}: give at least 2"
    fine = 0 < low < high <= 1e15
    yield fine, f"pt_limits = {low, high}: give 0 < low < high <= 1e15 GeV"


# Mixtures -----------------------------------------------------------------------------------


def draw_tracks(
    tracks, chosen, mixtures, starts, *, limits, pt_limits, redraws, features, rng, scratch
) -> Counter:
    """Draw the tracks of a batch of events from their mixtures, with phi uniform.

    Parameters
    ----------
    tracks : array, float32, shape (5, N)
        In the order of ``COLUMNS``, in GeV, mm and rad; overwritten.
    chosen : array, int, shape (N,), or None
        The component of every track, overwritten; None if nobody asks.
    mixtures : Mixtures
        In single precision, of the events, in the order of ``MIXTURE_FEATURES``.
    starts : array, shape (n + 1,)
        Event i has the tracks ``starts[i]:starts[i + 1]``.
    limits : array, shape (2, 4)
        Tracks below the first or above the second row in any feature lie outside.
    pt_limits : pair of float
        pT is kept between these, in GeV.
    redraws : int
        How often tracks outside are drawn again from their event's mixture.
    features : str
        What the mixtures describe, as in ``track_features``.
    rng, scratch
        A numpy Generator, and the ``Scratch`` of the thread.

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
        outside = _beyond(points, limits)
        for _ in range(redraws):
            stray = np.flatnonzero(outside)
            report["tracks_redrawn"] += len(stray)
            # As many for every event as it has strays, which are in the order of the events.
            stray_starts = np.searchsorted(stray, starts - begin)
            fresh, components = points[:, stray], index[stray]
            fill(fresh, components, 0, mixtures, stray_starts, rng, scratch)
            points[:, stray], index[stray] = fresh, components
            outside[stray] = _beyond(fresh, limits)
        report["tracks_outside"] += np.count_nonzero(outside)
        report["pt_clipped"] += np.count_nonzero(_beyond(part[:1], log_limits[:, None]))
        np.clip(log_pt, *log_limits, out=log_pt)
        # The exponential of a limit's rounded logarithm can miss the limit by its last digits.
        np.clip(np.exp(log_pt, out=log_pt), *pt_limits, out=log_pt)
        if features == "asinh":
            # A hyperbolic sine of a Gaussian's tail would overflow.
            far = _beyond(displacements, np.full((2, 2), [[-ASINH_LIMIT], [ASINH_LIMIT]]))
            report["displacements_clipped"] += np.count_nonzero(far)
            np.clip(displacements, -ASINH_LIMIT, ASINH_LIMIT, out=displacements)
            np.sinh(displacements, out=displacements)
            displacements *= np.float32(ASINH_UNIT)
        rng.random(out=phi, dtype=np.float32)
        phi -= np.float32(0.5)
        phi *= np.float32(2 * np.pi)
    return report


def _beyond(points, limits):
    """Whether points ``(d, n)`` lie below ``limits[0]`` or above ``limits[1]`` in any feature."""
    outside = np.zeros(points.shape[1], dtype=bool)
    for values, low, high in zip(points, *limits, strict=True):
        _mark(values, low, high, outside)
    return outside


@njit(nogil=True, cache=True)
def _mark(values, low, high, outside):
    for i in range(len(values)):
        outside[i] |= (values[i] < low) | (values[i] > high)


# Networks -----------------------------------------------------------------------------------


class Clouds(NamedTuple):
    """Tracks of all events, one event after the other.

    Attributes
    ----------
    features : array, shape (N, 4)
        log pT (pT in GeV), eta, asinh(d0 / 10 nm), asinh(dz / 10 nm).
    displaced : array, bool, shape (N,)
        False for prompt tracks, whose d0 and dz are both exactly 0.
    phi : array, shape (N,)
        In rad.
    counts : array, int, shape (n_events,)
        Tracks of every event.
    """

    features: np.ndarray
    displaced: np.ndarray
    phi: np.ndarray
    counts: np.ndarray

    @property
    def range(self):
        """Least and largest features, ``(2, 4)``."""
        return np.stack([self.features.min(axis=0), self.features.max(axis=0)])

    def mirrored(self) -> Clouds:
        """Return the same events seen in a mirror across the beam: eta → −eta, dz → −dz."""
        return self._replace(features=self.features * [1.0, -1.0, 1.0, -1.0])


def read_clouds(events) -> Clouds:
    """Tracks of events as a network learns from them."""
    features, offsets = track_features(events)
    displaced = (features[:, 2:] != 0).any(axis=1)
    features[:, 2:] = np.arcsinh(features[:, 2:] / CLOUD_UNIT)
    return Clouds(features, displaced, flatten(events)[0][:, 2], np.diff(offsets))


def cloud_columns(clouds: Clouds, *, limits, pt_limits) -> dict[str, np.ndarray]:
    """Columns of synthetic clouds; undoes ``read_clouds``.

    Features are kept within ``limits``, ``(2, 4)``, and pT within ``pt_limits``, in GeV; d0 and dz
    of tracks that aren't displaced become 0 exactly.
    """
    log_pt, eta, d0, dz = np.clip(clouds.features, *limits).T
    return {
        "pt": np.clip(np.exp(log_pt), *pt_limits),
        "eta": eta,
        "phi": np.mod(clouds.phi + np.pi, 2 * np.pi) - np.pi,
        "d0": np.where(clouds.displaced, np.sinh(d0) * CLOUD_UNIT, 0.0),
        "dz": np.where(clouds.displaced, np.sinh(dz) * CLOUD_UNIT, 0.0),
    }


def network_rules(model, *sizes):
    """What parameters of a trained generator have to fulfil; ``sizes`` are whole numbers' names."""
    for name in ("epochs", "batch_size", *sizes):
        size = getattr(model, name)
        yield isinstance(size, Integral) and size >= 1, f"{name} = {size!r}: give 1 or more"
    rate = model.learning_rate
    yield rate > 0, f"learning_rate = {rate}: give more than 0"
    yield from synthesis_rules(model)
