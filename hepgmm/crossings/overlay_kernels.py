"""Compiled crossings behind ``overlay``, ``select`` and the pass that does both.

Their arguments are the fields of a ``Crossings``. The readable twins are in the tests.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hepgmm.events import wrap

__all__ = ["find_vertices", "hardest", "select_tracks", "write_tracks"]

#: Numbers of the references that dz may be measured from, beside the origin.
HARD, RECONSTRUCTED = 1, 2


_wrap = njit(wrap)


@njit(nogil=True, cache=True, inline="always")
def turned(phi, rotation):
    """An azimuth after a rotation; what is not turned stays as it is, to the last bit."""
    return _wrap(phi + rotation) if rotation != 0.0 else phi


@njit(nogil=True, cache=True)
def zero_of_dz(reference, vertex, pt, eta, d0, dz, offsets, collision, z):
    """What is taken from z of a crossing's collisions, and from dz of its tracks after that."""
    if reference == HARD:
        return z[0], 0.0
    if reference == RECONSTRUCTED:
        return 0.0, find_vertex(vertex, pt, eta, d0, dz, offsets, collision, z)
    return 0.0, 0.0


@njit(nogil=True, cache=True)
def write_tracks(out, columns, offsets, starts, collision, rotation, z, reference, vertex):
    """All tracks of all crossings, one after the other, into ``out``, float32 ``(5, n)``."""
    pt, eta, phi, d0, dz = columns
    n = 0
    for i in range(len(starts) - 1):
        here = slice(starts[i], starts[i + 1])
        zero, found = zero_of_dz(
            reference, vertex, pt, eta, d0, dz, offsets, collision[here], z[here]
        )
        for j in range(starts[i], starts[i + 1]):
            shift = z[j] - zero
            for t in range(offsets[collision[j]], offsets[collision[j] + 1]):
                out[0, n], out[1, n], out[3, n] = pt[t], eta[t], d0[t]
                out[2, n], out[4, n] = turned(phi[t], rotation[j]), dz[t] + shift - found
                n += 1


@njit(nogil=True, cache=True)
def select_tracks(
    X,
    tracks,
    counts,
    columns,
    offsets,
    starts,
    collision,
    rotation,
    z,
    reference,
    vertex,
    pt_min,
    abs_eta_max,
):
    """Rows of X, the numbers of their tracks, and how many each crossing has."""
    pt, eta, phi, d0, dz = columns
    size = 4096
    track, of = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for i in range(len(starts) - 1):
        n, total = 0, 0.0
        for j in range(starts[i], starts[i + 1]):
            for t in range(offsets[collision[j]], offsets[collision[j] + 1]):
                if pt[t] > pt_min and abs(eta[t]) < abs_eta_max:
                    if n == size:
                        size *= 2
                        track = np.concatenate((track, np.empty(n, dtype=np.int64)))
                        of = np.concatenate((of, np.empty(n, dtype=np.int64)))
                    track[n], of[n] = t, j
                    total += pt[t]
                    n += 1
        here = slice(starts[i], starts[i + 1])
        zero, found = zero_of_dz(
            reference, vertex, pt, eta, d0, dz, offsets, collision[here], z[here]
        )
        best = hardest(pt[track[:n]], X.shape[1])
        counts[i] = len(best)
        for row in range(len(best)):
            t, j = track[best[row]], of[best[row]]
            tracks[i, row] = t
            X[i, row, 0], X[i, row, 5] = pt[t] / total, pt[t]
            X[i, row, 1], X[i, row, 3] = eta[t], d0[t]
            X[i, row, 2], X[i, row, 4] = turned(phi[t], rotation[j]), dz[t] + (z[j] - zero) - found


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
def find_vertices(columns, offsets, starts, collision, rotation, z, vertex):
    """The vertex of every crossing, float64 ``(n,)``."""
    pt, eta, _, d0, dz = columns
    found = np.empty(len(starts) - 1)
    for i in range(len(found)):
        here = slice(starts[i], starts[i + 1])
        found[i] = find_vertex(vertex, pt, eta, d0, dz, offsets, collision[here], z[here])
    return found


@njit(nogil=True, cache=True)
def find_vertex(settings, pt, eta, d0, dz, offsets, collision, z):
    """Mean dz, weighted with pT², of the prompt tracks around the one with the most Σ pT²; or 0."""
    window, d0_max, pt_min, eta_max = settings
    most = 0
    for j in range(len(collision)):
        most += offsets[collision[j] + 1] - offsets[collision[j]]
    place, weight, n = np.empty(most), np.empty(most), 0
    for j in range(len(collision)):
        for t in range(offsets[collision[j]], offsets[collision[j] + 1]):
            if pt[t] > pt_min and abs(eta[t]) < eta_max and abs(d0[t]) < d0_max:
                # In single precision, as the events of an overlay hold it.
                place[n], weight[n] = np.float32(dz[t] + z[j]), float(pt[t]) ** 2
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
