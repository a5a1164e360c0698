"""Two-body decays in training events: the tracks of K_S and Λ, found by their common vertex."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import ndtri

from hepgmm.collide.helix import CURVATURE
from hepgmm.particles import KAON, LAMBDA, PION, PROTON

__all__ = ["Decays", "find_decays"]

#: Largest distance along z of two helices where they meet in the transverse plane, in mm per cosh
#: eta, and of the mass from that of K_S or Λ, in GeV.
GAP, WINDOW = 0.01, 0.005
#: Largest angle in rad between the momentum and the line of flight, in azimuth and in polar angle.
ANGLE = 0.02
#: Vertices closer to the beam than this, in mm, are not looked at.
NEAREST = 0.02
#: Fewest decays in a group, if there are so many.
GROUP = 50


class Decays(NamedTuple):
    """Decays of N tracks.

    Attributes
    ----------
    number
        int64 ``(N,)``: the decay that a track comes from, or -1.
    phi, curvature
        float64 ``(N,)``: azimuth of a track's momentum at its decay vertex in rad, and its signed
        curvature in 1/mm; 0 without a decay.
    first
        int64 ``(n,)``: the first track of each decay.
    vertex
        float64 ``(n, 3)``: x, y and z in mm.
    group
        int64 ``(n,)``: decays of one species and of similar momentum along the beam, which decides
        how far they can fly in the tracker.
    ratio
        float64 ``(n,)``: log ρ / pT. ρ is the distance of the vertex from the beam in mm and pT the
        momentum of both tracks in GeV, so that ρ / pT is the proper time over the mass.
    score
        float64 ``(n,)``: quantile of the normal distribution at the rank of that in the group.
    ordered, bounds
        float64 ``(n,)`` and int64 ``(n_groups + 1,)``: log ρ / pT in rising order, group after
        group; those of group g are ``bounds[g]:bounds[g + 1]``.
    reach
        float64 ``(2,)``: largest ρ and abs(z) of all vertices, in mm.
    """

    number: np.ndarray
    phi: np.ndarray
    curvature: np.ndarray
    first: np.ndarray
    vertex: np.ndarray
    group: np.ndarray
    ratio: np.ndarray
    score: np.ndarray
    ordered: np.ndarray
    bounds: np.ndarray
    reach: np.ndarray


def find_decays(tracks, offsets, *, field: float) -> Decays:
    """Find tracks that come from K_S → ππ or Λ → pπ.

    Two displaced tracks of an event are a decay if their helices, bent in opposite ways (which of
    the two is positive is tried out), meet in space, their momentum points away from the origin,
    and their mass is that of K_S or Λ. No track is in two decays: the pair that meets best is taken
    first. This is for exact tracks of events with their vertex at the origin: with the resolution
    of a detector most decays are missed.

    Parameters
    ----------
    tracks
        ``(N, 5)``: pT, eta, phi, d0 and dz in GeV, rad and mm.
    offsets
        int64 ``(n + 1,)``: event i has the tracks ``offsets[i]:offsets[i + 1]``.
    field
        Of the solenoid, in tesla.
    """
    tracks = tracks.astype(np.float64)
    pairs, found = _candidates(tracks, offsets, CURVATURE * field)
    taken, kept = np.zeros(len(tracks), dtype=bool), []
    for row in np.argsort(found[:, 0], kind="stable"):
        if not taken[pairs[row]].any():
            taken[pairs[row]] = True
            kept.append(row)
    pairs, found = pairs[kept], found[kept]
    number, (phi, curvature) = np.full(len(tracks), -1), np.zeros((2, len(tracks)))
    for side in (0, 1):
        number[pairs[:, side]] = np.arange(len(pairs))
        phi[pairs[:, side]], curvature[pairs[:, side]] = found[:, 6 + side], found[:, 8 + side]
    species, ratio, vertex = found[:, 1], found[:, 2], found[:, 3:6].copy()
    momentum = (np.sinh(tracks[pairs, 1]) * tracks[pairs, 0]).sum(axis=1)
    group, bounds = _groups(species, np.abs(momentum))
    order, rank = np.lexsort((ratio, group)), np.empty(len(pairs), dtype=np.int64)
    rank[order] = np.arange(len(pairs))
    rank -= bounds[group]
    score = ndtri((rank + 0.5) / np.diff(bounds)[group])
    distances = np.hypot(*vertex.T[:2]), np.abs(vertex[:, 2])
    reach = np.array([distance.max(initial=0.0) for distance in distances])
    columns = number, phi, curvature, pairs[:, 0].copy(), vertex
    return Decays(*columns, group, ratio.copy(), score, ratio[order], bounds, reach)


def _groups(species, momentum):
    """Number of the group of each decay, and where groups begin and end."""
    group, bounds = np.zeros(len(species), dtype=np.int64), [0]
    for kind in np.unique(species):
        own = np.flatnonzero(species == kind)
        own = own[np.argsort(momentum[own], kind="stable")]
        for part in np.array_split(own, max(1, len(own) // GROUP)):
            group[part] = len(bounds) - 1
            bounds.append(bounds[-1] + len(part))
    return group, np.array(bounds)


@njit(cache=True)
def _candidates(tracks, offsets, unit):
    """Pairs of tracks that may be decays, ``(n, 2)``, and the rows of :func:`_decay`, ``(n, 10)``.

    ``unit`` is the curvature of a track of 1 GeV.
    """
    pairs, rows, row = [(0, 0) for _ in range(0)], [np.empty(10) for _ in range(0)], np.empty(10)
    for event in range(len(offsets) - 1):
        for a in range(offsets[event], offsets[event + 1]):
            if tracks[a, 3] == 0:
                continue
            for b in range(a + 1, offsets[event + 1]):
                if tracks[b, 3] != 0:
                    for sign in (unit, -unit):
                        for side in (1.0, -1.0):
                            if _decay(row, tracks[a], tracks[b], sign, side):
                                pairs.append((a, b))
                                rows.append(row.copy())
    numbers, table = np.empty((len(pairs), 2), dtype=np.int64), np.empty((len(pairs), 10))
    for i in range(len(pairs)):
        numbers[i], table[i] = pairs[i], rows[i]
    return numbers, table


@njit(cache=True)
def _decay(row, one, two, unit, side):
    """Whether two tracks come from a decay where their circles cross, and what is known of it.

    Two circles cross twice; ``side`` says where. The row is gap in mm, species (0 for K_S, 1 for
    Λ), log ρ / pT, x, y and z of the vertex, phi of both tracks there, and their curvatures.
    """
    bend_one, bend_two = unit / one[0], -unit / two[0]
    radius_one, radius_two = one[3] + 1 / bend_one, two[3] + 1 / bend_two
    # The centre of a circle, and the line from it to the other one.
    cx, cy = radius_one * math.sin(one[2]), -radius_one * math.cos(one[2])
    ex, ey = radius_two * math.sin(two[2]) - cx, -radius_two * math.cos(two[2]) - cy
    distance, square = math.hypot(ex, ey), 1 / bend_one**2
    along = (distance**2 + square - 1 / bend_two**2) / (2 * distance) if distance else math.inf
    if along**2 > square:
        return False
    across = side * math.sqrt(square - along**2)
    x = cx + (along * ex - across * ey) / distance
    y = cy + (along * ey + across * ex) / distance
    phi_one, z_one = _at(one, bend_one, x - cx, y - cy)
    phi_two, z_two = _at(two, bend_two, x - cx - ex, y - cy - ey)
    gap, z, rho = abs(z_one - z_two), (z_one + z_two) / 2, math.hypot(x, y)
    if rho < NEAREST or gap > GAP * math.cosh(max(abs(one[1]), abs(two[1]))):
        return False
    px = one[0] * math.cos(phi_one) + two[0] * math.cos(phi_two)
    py = one[0] * math.sin(phi_one) + two[0] * math.sin(phi_two)
    pz, pt = one[0] * math.sinh(one[1]) + two[0] * math.sinh(two[1]), math.hypot(px, py)
    turned = abs(math.atan2(x * py - y * px, x * px + y * py))
    if max(turned, abs(math.atan2(z, rho) - math.atan2(pz, pt))) > ANGLE:
        return False
    momenta = one[0] * math.cosh(one[1]), two[0] * math.cosh(two[1])
    species = _species(max(momenta), min(momenta), px**2 + py**2 + pz**2)
    row[0], row[1], row[2] = gap, species, math.log(rho / pt)
    row[3], row[4], row[5] = x, y, z
    row[6], row[7], row[8], row[9] = phi_one, phi_two, bend_one, bend_two
    return species >= 0


@njit(cache=True)
def _at(track, curvature, x, y):
    """Azimuth of the momentum where a track is at (x, y) from its circle's centre, and z there."""
    phi = math.atan2(-curvature * x, curvature * y)
    turn = (track[2] - phi + math.pi) % (2 * math.pi) - math.pi
    return phi, track[4] + turn / curvature * math.sinh(track[1])


@njit(cache=True)
def _species(harder, softer, square):
    """0 for K_S, 1 for Λ, whose proton is the harder track, and -1 for neither.

    ``square`` is that of the momentum of both.
    """
    light = math.hypot(softer, PION)
    if abs(math.sqrt((math.hypot(harder, PION) + light) ** 2 - square) - KAON) < WINDOW:
        return 0
    if abs(math.sqrt((math.hypot(harder, PROTON) + light) ** 2 - square) - LAMBDA) < WINDOW:
        return 1
    return -1
