"""Pileup laid over hard events and the hardest tracks selected, in one pass."""

from __future__ import annotations

import math
from inspect import signature

import awkward as ak
import numpy as np
from numba import njit

from hepgmm.events import FEATURES, check_events, to_columns
from hepgmm.pileup.overlay import (
    DZ_REFERENCES,
    check_overlay,
    draw_crossings,
    reconstruct_vertex,
)

__all__ = ["overlay_select"]

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
