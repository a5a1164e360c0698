"""Bunch crossings: pileup laid over hard events, all tracks or the hardest ones alone."""

from __future__ import annotations

import math
from inspect import signature
from itertools import pairwise
from typing import NamedTuple

import awkward as ak
import numpy as np
from numba import njit
from tqdm.auto import tqdm

from hepgmm.collide.detector import draw_vertices
from hepgmm.events import (
    FEATURES,
    check_events,
    make_events,
    ranges,
    to_columns,
)

__all__ = [
    "DZ_REFERENCES",
    "overlay",
    "overlay_select",
    "reconstruct_vertex",
    "split_events",
]

#: What dz may be measured from.
DZ_REFERENCES = ("origin", "hard", "reconstructed")
#: The largest mean pileup, five times what the upgraded LHC expects.
MAX_MU = 1000
#: Hard events that are overlaid at a time: 500 with 60 pileup events of 70 tracks take 0.5 GB.
CHUNK = 500


def overlay(
    hard: ak.Array,
    pileup,
    *,
    mu: float = 60,
    seed,
    sigma_z: float = 53.0,
    dz_reference: str = "origin",
    return_truth: bool = False,
    progress: bool = False,
):
    """Lay pileup over hard events, as one crossing of the LHC's beams would.

    Every hard event gets a vertex z ~ N(0, ``sigma_z``) and Poisson(``mu``) pileup events, each
    rotated by its own uniform azimuth and shifted by its own z ~ N(0, ``sigma_z``).

    Parameters
    ----------
    hard
        Hard events, relative to their own vertex.
    pileup
        A fitted generator (an object with ``sample(n_events, seed=)``), or events to draw from
        with replacement.
    mu
        Mean number of pileup events on a hard event; 0 leaves the hard event alone.
    seed
        int or ``SeedSequence``.
    sigma_z
        Spread of the collisions along the beam in mm.
    dz_reference
        What ``dz`` is measured from: ``"origin"`` (the detector's centre), ``"hard"`` (the true
        hard vertex) or ``"reconstructed"`` (what :func:`reconstruct_vertex` finds).
    return_truth
        Whether to return where each track comes from, too.
    progress
        Whether to show a progress bar.

    Returns
    -------
    events : awkward.Array
        As many events as ``hard``, each with the tracks of the hard event first;
        ``attrs["provenance"]`` says what was overlaid and what dz is measured from.
    truth : awkward.Array
        ``n * var * int32``, only with ``return_truth``: 0 for a track of the hard event, i for
        one of the i-th pileup event.

    Raises
    ------
    ValueError
        For bad events, an empty pileup sample, an impossible ``mu`` or an unknown reference.

    Examples
    --------
    >>> track = {"pt": [1.0], "eta": [0.0], "phi": [0.0], "d0": [0.0], "dz": [0.0]}
    >>> event = make_events(track, [1])
    >>> crossing = overlay(event, event, mu=200, seed=1)
    >>> len(crossing), 100 < len(crossing[0]) < 300
    (1, True)
    """
    check_overlay(mu, dz_reference)
    check_events(hard, name="hard events")
    starts = range(0, len(hard), CHUNK)
    seeds = [seed]
    if len(starts) > 1:
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        seeds = root.spawn(len(starts))
    parts = []
    with tqdm(total=len(hard), desc="overlay", unit="event", disable=not progress) as bar:
        for start, part_seed in zip(starts, seeds, strict=True):
            rng = np.random.default_rng(part_seed)
            part = hard[start : start + CHUNK]
            parts.append(_overlay(part, pileup, mu, rng, sigma_z, dz_reference))
            bar.update(len(part))
    events, truth = (ak.concatenate(column) for column in zip(*parts, strict=True))
    events.attrs["provenance"] = {
        "process": "overlay",
        "hard": hard.attrs.get("provenance", {}),
        "pileup": getattr(pileup, "attrs", {}).get("provenance", type(pileup).__name__),
        "mu": float(mu),
        "sigma_z": float(sigma_z),
        "dz_reference": dz_reference,
        "seed": str(seed),
    }
    return (events, truth) if return_truth else events


def check_overlay(mu, dz_reference):
    """An error for an impossible ``mu`` or an unknown reference."""
    if dz_reference not in DZ_REFERENCES:
        raise ValueError(
            f"dz_reference = {dz_reference!r}: choose one of {', '.join(DZ_REFERENCES)}"
        )
    if not 0 <= mu <= MAX_MU:
        raise ValueError(f"mu = {mu}: give a mean from 0 to {MAX_MU}")


class Crossings(NamedTuple):
    """One list of all collisions: each hard one, followed by its pileup.

    Attributes
    ----------
    starts
        int64 ``(n_hard + 1,)``: crossing i is made of the collisions ``starts[i]:starts[i + 1]``.
    collision
        int64 ``(n,)``: events among the hard ones, then among the drawn ones.
    rotation, z
        float64 ``(n,)``: azimuth in rad, 0 for hard events, and vertex in mm.
    """

    starts: np.ndarray
    collision: np.ndarray
    rotation: np.ndarray
    z: np.ndarray


def draw_crossings(n_hard, pileup, mu, rng, sigma_z) -> tuple[ak.Array, Crossings]:
    """Pileup events to draw from, and what each crossing is made of."""
    n_pileup = rng.poisson(mu, n_hard)
    drawn, chosen = draw(pileup, int(n_pileup.sum()), rng)
    starts = np.concatenate([[0], np.cumsum(n_pileup + 1)])
    is_hard = np.zeros(starts[-1], dtype=bool)
    is_hard[starts[:-1]] = True
    collision = np.empty(starts[-1], dtype=np.int64)
    collision[is_hard] = np.arange(n_hard)
    collision[~is_hard] = n_hard + chosen
    rotation = np.where(is_hard, 0.0, rng.uniform(-np.pi, np.pi, starts[-1]))
    z = draw_vertices(starts[-1], seed=rng, sigma_z=sigma_z)
    return drawn, Crossings(starts, collision, rotation, z)


def _overlay(hard, pileup, mu, rng, sigma_z, dz_reference):
    """Events with pileup, and the number in its crossing of each track's collision."""
    drawn, (starts, collision, rotation, z) = draw_crossings(len(hard), pileup, mu, rng, sigma_z)
    n_collisions = np.diff(starts)
    number = ranges(n_collisions)
    sources, offsets = zip(to_columns(hard), to_columns(drawn), strict=True)
    first = np.concatenate([offsets[0][:-1], offsets[0][-1] + offsets[1][:-1]])[collision]
    counts = np.concatenate([np.diff(o) for o in offsets])[collision]

    track = np.repeat(first, counts) + ranges(counts)
    columns = {name: np.concatenate([s[name] for s in sources])[track] for name in FEATURES}
    phi = columns["phi"] + np.repeat(rotation, counts)
    columns["phi"] = np.where(np.abs(phi) > np.pi, phi - 2 * np.pi * np.sign(phi), phi)
    if dz_reference == "hard":
        z = z - np.repeat(z[starts[:-1]], n_collisions)
    columns["dz"] = columns["dz"] + np.repeat(z, counts)

    sizes = np.add.reduceat(counts, starts[:-1])
    if dz_reference == "reconstructed":
        vertex = reconstruct_vertex(make_events(columns, sizes))
        columns["dz"] -= np.repeat(vertex, sizes)
    truth = ak.unflatten(np.repeat(number, counts).astype(np.int32), sizes)
    return make_events(columns, sizes), truth


def draw(pileup, n_events: int, rng: np.random.Generator) -> tuple[ak.Array, np.ndarray]:
    """Events to draw from, and which ``n_events`` of them: a generator's, each used once, or real
    ones with replacement."""
    if hasattr(pileup, "sample"):
        seed = int(rng.integers(2**63))
        drawn = pileup.sample(n_events, seed=seed) if n_events else empty_sample()
        return drawn, np.arange(n_events)
    check_events(pileup, name="pileup events")
    return pileup, rng.integers(len(pileup), size=n_events)


def empty_sample() -> ak.Array:
    """No event at all."""
    return make_events({name: [] for name in FEATURES}, [])


def reconstruct_vertex(
    events: ak.Array,
    *,
    window: float = 1.0,
    d0_max: float = 0.1,
    pt_min: float = 0.5,
    abs_eta_max: float = 4.5,
) -> np.ndarray:
    r"""Find z of the hardest vertex from the tracks.

    Accepted tracks with abs(d0) < ``d0_max`` look prompt. Around each of them a window of
    z ± ``window`` is laid; the window with the largest :math:`\sum p_T^2` wins, and the vertex is
    the :math:`p_T^2`-weighted mean of dz in it.

    Parameters
    ----------
    events
        Events with dz relative to the origin.
    window
        Half width of the window in mm.
    d0_max
        In mm.
    pt_min
        In GeV.
    abs_eta_max
        Largest abs(eta).

    Returns
    -------
    numpy.ndarray
        float64 ``(n_events,)`` in mm; 0, the detector's centre, for an event without such tracks.

    Raises
    ------
    ValueError
        If ``window`` isn't positive.

    Examples
    --------
    >>> track = {"pt": [1.0, 1.0, 1.2], "eta": [0.0] * 3, "phi": [0.0] * 3, "d0": [0.0] * 3}
    >>> reconstruct_vertex(make_events({**track, "dz": [9.9, 10.1, -30.0]}, [3])).round(3)
    array([10.])
    """
    if not window > 0:
        raise ValueError(f"window = {window} mm: give a positive half width")
    columns, offsets = to_columns(events)
    prompt = (columns["pt"] > pt_min) & (np.abs(columns["eta"]) < abs_eta_max)
    prompt &= np.abs(columns["d0"]) < d0_max
    event = np.repeat(np.arange(len(events)), np.diff(offsets))[prompt]
    z = columns["dz"][prompt].astype(np.float64)
    order = np.lexsort((z, event))
    event, z = event[order], z[order]
    weight = columns["pt"][prompt][order].astype(np.float64) ** 2
    # Events side by side on one axis, too far apart to share a window.
    axis = z + event * ((np.ptp(z) if len(z) else 0.0) + 4 * window)
    low = np.searchsorted(axis, axis - window, side="left")
    high = np.searchsorted(axis, axis + window, side="right")
    sums = np.concatenate([[0.0], np.cumsum(weight)])
    moments = np.concatenate([[0.0], np.cumsum(weight * z)])
    score = sums[high] - sums[low]
    best = np.lexsort((score, event))
    # The last track of each event in this order has the event's largest score.
    last = best[np.flatnonzero(np.diff(event, append=-1))]
    vertex = np.zeros(len(events))
    vertex[event[last]] = (moments[high] - moments[low])[last] / score[last]
    return vertex


def split_events(n_events: int, *, fractions, seed) -> list[np.ndarray]:
    """Disjoint random sets of events, for training, validation and test.

    Parameters
    ----------
    n_events
        How many events there are.
    fractions
        Share of each set; together at most 1.
    seed
        int or ``SeedSequence``.

    Returns
    -------
    list of numpy.ndarray
        Sorted event numbers of each set; all events are used if the shares sum to 1.

    Raises
    ------
    ValueError
        If a share is negative or they sum to more than 1.

    Examples
    --------
    >>> train, test = split_events(10, fractions=[0.8, 0.2], seed=1)
    >>> len(train), len(test), sorted({*train.tolist(), *test.tolist()}) == list(range(10))
    (8, 2, True)
    """
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.ndim != 1 or not (shares >= 0).all() or shares.sum() > 1 + 1e-9:
        raise ValueError(f"fractions = {fractions}: give shares of at least 0, together at most 1")
    bounds = np.rint(np.cumsum([0.0, *shares]) * n_events).astype(int)
    shuffled = np.random.default_rng(seed).permutation(n_events)
    return [np.sort(shuffled[a:b]) for a, b in pairwise(bounds)]


#: Of ``reconstruct_vertex``: half width of the window and largest abs(d0) in mm, least pT in GeV
#: and largest abs(eta) of its tracks.
VERTEX = tuple(
    signature(reconstruct_vertex).parameters[name].default
    for name in ("window", "d0_max", "pt_min", "abs_eta_max")
)


def overlay_select(
    hard: ak.Array,
    pileup,
    *,
    mu: float = 60,
    seed,
    sigma_z: float = 53.0,
    dz_reference: str = "origin",
    pt_min: float = 0.5,
    abs_eta_max: float = 4.5,
    max_tracks: int = 80,
    return_hard: bool = False,
):
    """The same as ``select(overlay(...))``, many times faster: no crossing is written out.

    Parameters
    ----------
    hard, pileup, mu, seed, sigma_z, dz_reference
        As for :func:`hepgmm.overlay`; all events at once, in one stream of random numbers.
    pt_min, abs_eta_max, max_tracks
        As for :func:`hepgmm.select`.
    return_hard
        Whether to return which tracks are of the hard event, too.

    Returns
    -------
    X : numpy.ndarray
        float32 ``(n_kept, max_tracks, 6)``: pT relative to the sum of all accepted tracks, eta,
        phi in rad, d0 and dz in mm, pT in GeV; zeros where there is no track.
    mask : numpy.ndarray
        bool ``(n_kept, max_tracks)``.
    index : numpy.ndarray
        int64 ``(n_kept,)``: events without accepted tracks are left out.
    hard : numpy.ndarray
        bool ``(n_kept, max_tracks)``: tracks of the hard event; only with ``return_hard``.

    Raises
    ------
    ValueError
        For bad events, an empty pileup sample, an impossible ``mu`` or an unknown reference.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> event = make_events({name: [1.0, 2.0] for name in FEATURES}, [2])
    >>> X, mask, index = overlay_select(event, event, mu=20, seed=1, max_tracks=5)
    >>> X.shape, mask.all(), index.tolist(), X[0, :, 5].tolist()
    ((1, 5, 6), np.True_, [0], [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    check_overlay(mu, dz_reference)
    check_events(hard, name="hard events")
    if max_tracks < 1:
        raise ValueError(f"max_tracks = {max_tracks}: give at least 1")
    drawn, crossings = draw_crossings(len(hard), pileup, mu, np.random.default_rng(seed), sigma_z)
    sources, offsets = zip(to_columns(hard), to_columns(drawn), strict=True)
    columns = [np.concatenate([s[name] for s in sources]) for name in FEATURES]
    firsts = np.concatenate([offsets[0], offsets[0][-1] + offsets[1][1:]])
    X = np.zeros((len(hard), max_tracks, 6), dtype=np.float32)
    is_hard = np.zeros(X.shape[:2], dtype=np.bool_)
    counts = np.zeros(len(hard), dtype=np.int64)
    _fill(
        X,
        is_hard,
        counts,
        *columns,
        firsts,
        crossings.starts,
        crossings.collision,
        crossings.rotation,
        crossings.z,
        DZ_REFERENCES.index(dz_reference),
        pt_min,
        abs_eta_max,
        VERTEX,
    )
    index = np.flatnonzero(counts)
    kept = X[index], np.arange(max_tracks) < counts[index, None], index
    return (*kept, is_hard[index]) if return_hard else kept


@njit(nogil=True, cache=True)
def _fill(
    X,
    is_hard,
    counts,
    pt,
    eta,
    phi,
    d0,
    dz,
    firsts,
    starts,
    collision,
    rotation,
    z,
    reference,
    pt_min,
    abs_eta_max,
    vertex,
):
    """Rows of X, which of their tracks are of the hard collision, and how many tracks each has.

    Collision c has the tracks ``firsts[c]:firsts[c + 1]``; crossing i is made of the collisions
    ``collision[starts[i]:starts[i + 1]]``, the hard one first, each with its rotation and z.
    """
    size = 4096
    track, of = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for i in range(len(starts) - 1):
        n, total = 0, 0.0
        for j in range(starts[i], starts[i + 1]):
            for t in range(firsts[collision[j]], firsts[collision[j] + 1]):
                if pt[t] > pt_min and abs(eta[t]) < abs_eta_max:
                    if n == size:
                        size *= 2
                        track = np.concatenate((track, np.empty(n, dtype=np.int64)))
                        of = np.concatenate((of, np.empty(n, dtype=np.int64)))
                    track[n], of[n] = t, j
                    total += pt[t]
                    n += 1
        origin = 0.0
        if reference == 1:
            origin = z[starts[i]]
        elif reference == 2:
            own = slice(starts[i], starts[i + 1])
            origin = _vertex(collision[own], z[own], firsts, pt, eta, d0, dz, vertex)
        kept = hardest(pt[track[:n]], X.shape[1])
        counts[i] = len(kept)
        for row in range(len(kept)):
            t, j = track[kept[row]], of[kept[row]]
            is_hard[i, row] = j == starts[i]
            angle = phi[t] + rotation[j]
            if abs(angle) > math.pi:
                angle -= math.copysign(2 * math.pi, angle)
            X[i, row, 0] = pt[t] / total
            X[i, row, 1], X[i, row, 2] = eta[t], angle
            X[i, row, 3], X[i, row, 4] = d0[t], dz[t] + z[j] - origin
            X[i, row, 5] = pt[t]


@njit(nogil=True, cache=True)
def hardest(pt, n_most):
    """Numbers of the hardest tracks by falling pT, at most ``n_most``; equal ones in order."""
    n = len(pt)
    if n <= n_most:
        return np.argsort(-pt, kind="mergesort")
    least = np.partition(pt, n - n_most)[n - n_most]
    above = np.flatnonzero(pt > least)
    equal = np.flatnonzero(pt == least)[: n_most - len(above)]
    return np.concatenate((above[np.argsort(-pt[above], kind="mergesort")], equal))


@njit(nogil=True, cache=True)
def _vertex(collision, z, firsts, pt, eta, d0, dz, settings):
    """What ``reconstruct_vertex`` finds in a crossing."""
    window, d0_max, pt_min, eta_max = settings
    most = 0
    for j in range(len(collision)):
        most += firsts[collision[j] + 1] - firsts[collision[j]]
    place, weight, n = np.empty(most), np.empty(most), 0
    for j in range(len(collision)):
        for t in range(firsts[collision[j]], firsts[collision[j] + 1]):
            if pt[t] > pt_min and abs(eta[t]) < eta_max and abs(d0[t]) < d0_max:
                place[n], weight[n] = dz[t] + z[j], float(pt[t]) ** 2
                n += 1
    if n == 0:
        return 0.0
    order = np.argsort(place[:n], kind="mergesort")
    place, weight = place[order], weight[order]
    sums, moments = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(n):
        sums[k + 1], moments[k + 1] = sums[k] + weight[k], moments[k] + weight[k] * place[k]
    best, vertex, low, high = -1.0, 0.0, 0, 0
    for k in range(n):
        while place[low] < place[k] - window:
            low += 1
        while high < n and place[high] <= place[k] + window:
            high += 1
        score = sums[high] - sums[low]
        if score >= best:
            best, vertex = score, (moments[high] - moments[low]) / score
    return vertex
