"""Compiled sampling of ``hepgmm.pileup.shared``: tables of templates, their moves, their decays."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from scipy.special import ndtri

from hepgmm.collide.perigee import CURVATURE
from hepgmm.collide.processes import KAON, LAMBDA, PION, PROTON

__all__ = [
    "Decays",
    "Draws",
    "Templates",
    "fill_events",
    "find_decays",
    "make_templates",
    "to_points",
]

# Templates ----------------------------------------------------------------------------------

#: Cells in eta and phi for counting close tracks, and the reach of the cells in |eta|.
CELLS, REACH = (24, 16), 6.0
#: Tracks below this logarithm of pT in GeV are not counted.
LOG_CLOSE = float(np.log(0.3))
#: Responsibilities below this are taken for 0.
LEAST = 1e-4
#: Blocks that share a stretch of multiplicity.
STRETCH = 5
#: Rows whose responsibilities are computed at once.
ROWS = 20_000


class Templates(NamedTuple):
    """Tables of N tracks of n events; event i has the tracks ``offsets[i]:offsets[i + 1]``."""

    offsets: np.ndarray  # int64 (n + 1,)
    n_prompt: np.ndarray  # int64 (n,), how many of an event's tracks are prompt; these come first
    # float64 (N, 4): eta, log pT, log |d0| and log |dz|; the last two only of displaced tracks.
    points: np.ndarray
    phi: np.ndarray  # float64 (N,), in rad
    signs: np.ndarray  # float64 (N, 2), of d0 and dz; 0 for an exact zero
    # int64 (C,): components that a track may come from, and float64 (C,): their cumulative
    # responsibilities, the last one 1. Track t has the choices first[t]:first[t + 1], a track of a
    # decay none.
    choices: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    # float64 (K, 4), (K, 4, 4), (K, 4, 4): means, Cholesky factors and their inverses of all
    # components, prompt ones first, in the upper left 2 x 2 corner.
    means: np.ndarray
    factors: np.ndarray
    inverses: np.ndarray
    recoil: np.ndarray  # float64 (n,): |Σ pT vector|² / Σ pT²
    # int64 (n,): events block after block, the place of each event in that order, its block; block
    # i has the places bounds[i]:bounds[i + 1]. All events of a block have an odd or all an even
    # number of displaced tracks, and are drawn at random from a stretch of five blocks in the order
    # of multiplicity.
    order: np.ndarray
    place: np.ndarray
    block: np.ndarray
    bounds: np.ndarray
    maps: np.ndarray  # float32 (n, 24, 16): prompt tracks near each cell of eta and phi
    # float64 (2, 4): least and largest point; of eta, minus and plus the largest |eta|.
    limits: np.ndarray


def make_templates(
    tracks, offsets, n_prompt, prompt, displaced, in_decay, *, block_size
) -> Templates:
    """Build the tables of tracks ``(N, 5)``, whose mixtures are None where there are no tracks.

    ``in_decay``, bool ``(N,)``, marks tracks that move with their decay, and need no component; a
    block has at least ``block_size`` events, unless there are fewer of their parity.
    """
    points, signs = to_points(tracks)
    pt, _, phi = tracks.T[:3].astype(np.float64)
    counts = np.diff(offsets)
    event = np.repeat(np.arange(len(counts)), counts)
    is_prompt = np.arange(len(tracks)) < (offsets[:-1] + n_prompt)[event]
    momenta = [pt * np.cos(phi), pt * np.sin(phi), pt**2]
    x, y, square = (np.bincount(event, w, len(counts)) for w in momenta)
    odd = (counts - n_prompt) % 2
    order, bounds = _blocks(counts, odd, block_size)
    place = np.argsort(order)
    seen = is_prompt & (points[:, 1] > LOG_CLOSE)
    return Templates(
        offsets,
        n_prompt,
        points,
        phi,
        signs,
        *_choices(points, is_prompt, ~is_prompt & ~in_decay, prompt, displaced),
        *_components(prompt, displaced),
        (x**2 + y**2) / square,
        order,
        place,
        np.searchsorted(bounds, place, side="right") - 1,
        bounds,
        _maps(points[seen, 0], phi[seen], event[seen], len(counts)),
        _limits(points, ~is_prompt),
    )


def to_points(tracks):
    """Points ``(N, 4)`` of tracks ``(N, 5)``, and the signs of d0 and dz."""
    pt, eta, _, *offsets = tracks.T.astype(np.float64)
    sizes = np.abs(offsets)
    logs = np.log(np.where(sizes > 0, sizes, 1.0))
    return np.stack([eta, np.log(pt), *logs], axis=1), np.sign(offsets).T.copy()


def _blocks(counts, odd, block_size):
    """Events in the order of their blocks, and where blocks begin and end."""
    rng, order, ends = np.random.default_rng(0), [], [0]
    for parity in (0, 1):
        alike = np.flatnonzero(odd == parity)
        alike = alike[np.argsort(counts[alike], kind="stable")]
        n_blocks = max(1, len(alike) // block_size)
        edges = np.arange(n_blocks + 1) * len(alike) // n_blocks
        for first in range(0, n_blocks, STRETCH):
            stretch = edges[first : first + STRETCH + 1]
            order.append(rng.permutation(alike[stretch[0] : stretch[-1]]))
        if len(alike):
            ends += (ends[-1] + edges[1:]).tolist()
    return np.concatenate(order), np.array(ends)


def _choices(points, is_prompt, is_single, prompt, displaced):
    """Components that each track may come from, and their cumulative responsibilities.

    Tracks of decays come from none.
    """
    n_prompt = prompt.n_components if prompt else 0
    rows, columns, values = [np.empty(0, int)], [np.empty(0, int)], [np.empty(0)]
    for mixture, mask, d, shift in (
        (prompt, is_prompt, 2, 0),
        (displaced, is_single, 4, n_prompt),
    ):
        of_class = np.flatnonzero(mask)
        for begin in range(0, len(of_class), ROWS):
            part = of_class[begin : begin + ROWS]
            shares = mixture.responsibilities(points[part, :d])
            row, column = np.nonzero(shares >= LEAST)
            rows.append(part[row])
            columns.append(column + shift)
            values.append(shares[row, column])
    row, column, value = (np.concatenate(x) for x in (rows, columns, values))
    by_track = np.argsort(row, kind="stable")
    row, column, value = row[by_track], column[by_track], value[by_track]
    first = np.searchsorted(row, np.arange(len(points) + 1))
    total = np.concatenate([[0.0], np.cumsum(value)])
    edges = (total[1:] - total[first[row]]) / np.diff(total[first])[row]
    edges[first[1:][np.diff(first) > 0] - 1] = 1.0
    return column, edges, first


def _components(prompt, displaced):
    """Means, Cholesky factors and their inverses of both classes, in four dimensions."""
    mixtures = [mixture for mixture in (prompt, displaced) if mixture]
    k = sum(mixture.n_components for mixture in mixtures)
    means, factors, inverses, begin = np.zeros((k, 4)), np.zeros((k, 4, 4)), np.zeros((k, 4, 4)), 0
    for mixture in mixtures:
        part, d = slice(begin, begin + mixture.n_components), mixture.means.shape[1]
        means[part, :d] = mixture.means
        factors[part, :d, :d] = np.linalg.cholesky(mixture.covariances)
        inverses[part, :d, :d] = np.linalg.inv(factors[part, :d, :d])
        begin = part.stop
    return means, factors, inverses


def _limits(points, displaced):
    """Range of the points; a displaced track's for the distances, which prompt ones do not have."""
    reach = np.abs(points[:, 0]).max()
    limits = np.stack([points.min(axis=0), points.max(axis=0)])
    limits[:, 0] = -reach, reach
    if displaced.any():
        distances = points[displaced, 2:]
        limits[:, 2:] = distances.min(axis=0), distances.max(axis=0)
    return limits


def _maps(eta, phi, event, n_events):
    """For each event and cell, how many tracks are in it or in one of the cells around it."""
    n_eta, n_phi = CELLS
    inside = np.abs(eta) < REACH
    row = ((eta[inside] + REACH) * n_eta / (2 * REACH)).astype(int)
    column = ((phi[inside] / (2 * np.pi) + 0.5) * n_phi).astype(int) % n_phi
    counts = np.zeros((n_events, n_eta + 2, n_phi), dtype=np.float32)
    np.add.at(counts, (event[inside], row + 1, column), 1)
    counts = counts + np.roll(counts, 1, axis=2) + np.roll(counts, -1, axis=2)
    return counts[:, :-2] + counts[:, 1:-1] + counts[:, 2:]


# Moves --------------------------------------------------------------------------------------

#: Prompt tracks beyond this abs(eta) are in the forward region.
FORWARD = 4.5
#: Squared distance from the mean, in standard deviations, that a hundredth of a Gaussian in two and
#: in four dimensions exceeds: quantiles of χ².
OUTER_2, OUTER_4 = 9.210, 13.277


class Draws(NamedTuple):
    """Random numbers of a batch of n events with m tracks and k trial orientations."""

    turns: np.ndarray  # (n, k), trial azimuths of the displaced tracks, in rad
    flips: np.ndarray  # (n, k), trial signs of their eta
    rotation: np.ndarray  # (n,), azimuth of the event, in rad
    mirrors: np.ndarray  # (n, 2), signs of phi and of eta
    uniform: np.ndarray  # (m,), to choose components
    # (m, 4), standard normals of the coordinates. Prompt tracks have two of them: their third
    # number turns them. Tracks of a decay have none: the first number of its first one moves it.
    track_normal: np.ndarray


@njit(nogil=True, cache=True)
def fill_events(
    tracks, starts, chosen, partner, templates, decays, draws, redraw, redraw_decays, width
):
    """Make events of the prompt tracks of one template and the displaced ones of another.

    Overwritten are ``tracks``, float32 ``(5, N)``, in GeV, rad and mm: event i of the batch has
    those from ``starts[i]`` to ``starts[i + 1]``, of the templates ``chosen[i]`` and
    ``partner[i]``. ``redraw``, ``(3, 4)``, is the fresh part h of each coordinate of prompt tracks,
    of those in the forward region, and of displaced tracks without a decay, ``redraw_decays`` that
    of the proper time of decays, and ``width`` the standard deviation in rad of the azimuth by
    which a prompt track is turned.
    """
    point = np.empty(4)
    for i in range(len(chosen)):
        a, b = chosen[i], partner[i]
        n_prompt, displaced = templates.n_prompt[a], templates.offsets[b] + templates.n_prompt[b]
        best = orient(
            templates, a, displaced, templates.offsets[b + 1], draws.turns[i], draws.flips[i]
        )
        event = tracks[:, starts[i] : starts[i + 1]]
        for to in range(event.shape[1]):
            number, flip = starts[i] - starts[0] + to, draws.mirrors[i, 1]
            if to < n_prompt:
                t, turn = templates.offsets[a] + to, width * draws.track_normal[number, 2]
                forward = int(abs(templates.points[t, 0]) > FORWARD)
                place(point, templates, t, 2, draws, number, redraw[forward])
                phi, d0, dz = templates.phi[t], 0.0, 0.0
            else:
                t, turn = displaced + to - n_prompt, draws.turns[i, best]
                flip *= draws.flips[i, best]
                decay = decays.number[t]
                if decay < 0:
                    place(point, templates, t, 4, draws, number, redraw[2])
                    phi = templates.phi[t]
                    d0 = templates.signs[t, 0] * math.exp(point[2])
                    dz = templates.signs[t, 1] * math.exp(point[3])
                else:
                    point[0], point[1] = templates.points[t, 0], templates.points[t, 1]
                    # Both tracks of a decay share the number of the first, in the same event.
                    normal = draws.track_normal[number + decays.first[decay] - t, 0]
                    slope = math.sinh(point[0])
                    phi, d0, dz = redecay(decays, t, slope, normal, redraw_decays)
            pt = math.exp(point[1])
            event[0, to], event[2, to] = pt * math.cos(phi + turn), pt * math.sin(phi + turn)
            event[1, to], event[4, to] = flip * point[0], flip * dz
            event[3, to] = draws.mirrors[i, 0] * d0
        balance(event, n_prompt, templates.recoil[a], draws.mirrors[i, 0], draws.rotation[i])


@njit(nogil=True, cache=True)
def orient(templates, a, first, last, turns, flips):
    """Number of the trial that brings most tracks ``first:last`` close to those of template a."""
    best, most = 0, -1.0
    cells = templates.maps[a]
    n_eta, n_phi = cells.shape
    for k in range(len(turns)):
        near = 0.0
        for t in range(first, last):
            eta = flips[k] * templates.points[t, 0]
            if abs(eta) < REACH and templates.points[t, 1] > LOG_CLOSE:
                row = int((eta + REACH) * n_eta / (2 * REACH))
                turned = (templates.phi[t] + turns[k]) / (2 * math.pi)
                near += cells[row, int((turned - math.floor(turned) + 0.5) * n_phi) % n_phi]
        if near > most:
            best, most = k, near
    return best


@njit(nogil=True, cache=True)
def place(point, templates, t, d, draws, number, redraw):
    """Put ``point`` where track t moves to within one of its components, drawn at random.

    It stays where it is if it, or its new place, is in the outer hundredth of the component, if the
    new place is outside the range of all templates, or if a prompt track would enter or leave the
    forward region. The step is a Metropolis step: it leaves what is Gaussian inside as it is, and
    what is not Gaussian outside. Of d = 2 coordinates of a prompt track or 4 of a displaced one,
    ``redraw`` gives h; ``number`` is the track's in the batch.
    """
    old, limits = templates.points, templates.limits
    means, factors, inverses = templates.means, templates.factors, templates.inverses
    j = templates.first[t]
    while templates.edges[j] <= draws.uniform[number]:
        j += 1
    k = templates.choices[j]
    before, after = 0.0, 0.0
    for row in range(d):
        whitened = 0.0
        for column in range(row + 1):
            whitened += inverses[k, row, column] * (old[t, column] - means[k, column])
        h = redraw[row]
        point[row] = math.sqrt(1 - h * h) * whitened + h * draws.track_normal[number, row]
        before += whitened**2
        after += point[row] ** 2
    stays = max(before, after) > (OUTER_2 if d == 2 else OUTER_4)
    # From the last coordinate to the first: each needs those before it whitened.
    for row in range(d - 1, -1, -1):
        coordinate = means[k, row]
        for column in range(row + 1):
            coordinate += factors[k, row, column] * point[column]
        point[row] = coordinate
        stays |= coordinate < limits[0, row] or coordinate > limits[1, row]
    if d == 2:
        stays |= (abs(point[0]) > FORWARD) != (abs(old[t, 0]) > FORWARD)
    if stays:
        for row in range(d):
            point[row] = old[t, row]


@njit(nogil=True, cache=True)
def redecay(decays, t, slope, normal, h):
    """phi, d0 and dz of track t whose parent decays elsewhere on its line of flight.

    The normal score s of the parent's ρ / pT becomes √(1 - h²) s + h ξ, and ρ / pT the quantile of
    its group there: h = 1 draws the proper time anew. The momenta at the vertex stay, and so do
    the parent's mass and its line of flight. A vertex that would be further out than all others
    stays where it is. The perigee is that of :func:`hepgmm.collide.perigee`. ``slope`` is sinh of
    the track's eta, ``normal`` is ξ, the same for both tracks of a decay.
    """
    n = decays.number[t]
    first = decays.bounds[decays.group[n]]
    size = decays.bounds[decays.group[n] + 1] - first
    score = math.sqrt(1 - h * h) * decays.score[n] + h * normal
    place = 0.5 * math.erfc(-score / math.sqrt(2)) * size - 0.5
    below = min(max(math.floor(place), 0), max(size - 2, 0))
    share = min(max(place - below, 0.0), 1.0)
    ends = decays.ordered[first + below], decays.ordered[first + min(below + 1, size - 1)]
    factor = math.exp((1 - share) * ends[0] + share * ends[1] - decays.ratio[n])
    x, y, z = decays.vertex[n, 0], decays.vertex[n, 1], decays.vertex[n, 2]
    if factor * math.hypot(x, y) > decays.reach[0] or factor * abs(z) > decays.reach[1]:
        factor = 1.0
    x, y, z = factor * x, factor * y, factor * z
    k, c, s = decays.curvature[t], math.cos(decays.phi[t]), math.sin(decays.phi[t])
    u, w = 1 + k * (x * s - y * c), k * (x * c + y * s)
    d0 = (k * (x * x + y * y) + 2 * (x * s - y * c)) / (1 + math.hypot(u, w))
    return math.atan2(s + k * x, c - k * y), d0, z - math.atan2(w, u) / k * slope


@njit(nogil=True, cache=True)
def balance(tracks, n_prompt, recoil, mirror, rotation):
    """Give px and py (rows 0 and 2) a recoil, then turn them into pT and phi.

    The vector sum is lengthened or shortened until its square is ``recoil`` times Σ pT². Prompt
    tracks share what is missing in proportion to their pT²; all tracks do, if the prompt ones have
    less than half of Σ pT², and then decays are bent a little.
    """
    x, y, square, prompt = 0.0, 0.0, 0.0, 0.0
    for t in range(tracks.shape[1]):
        x += tracks[0, t]
        y += tracks[2, t]
        square += tracks[0, t] ** 2 + tracks[2, t] ** 2
        if t < n_prompt:
            prompt = square
    last, whole = (n_prompt, prompt) if 2 * prompt > square else (tracks.shape[1], square)
    missing = (math.sqrt(recoil * square / (x * x + y * y)) - 1) / whole if x or y else 0.0
    c, s = math.cos(rotation), math.sin(rotation)
    for t in range(tracks.shape[1]):
        share = missing * (tracks[0, t] ** 2 + tracks[2, t] ** 2) if t < last else 0.0
        px, py = tracks[0, t] + share * x, mirror * (tracks[2, t] + share * y)
        tracks[0, t] = math.hypot(px, py)
        tracks[2, t] = math.atan2(px * s + py * c, px * c - py * s)


# Decays -------------------------------------------------------------------------------------

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
    """Decays of N tracks."""

    number: np.ndarray  # int64 (N,): the decay that a track comes from, or -1
    # float64 (N,): azimuth of a track's momentum at its decay vertex in rad, and its signed
    # curvature in 1/mm; 0 without a decay.
    phi: np.ndarray
    curvature: np.ndarray
    first: np.ndarray  # int64 (n,): the first track of each decay
    vertex: np.ndarray  # float64 (n, 3): x, y and z in mm
    # int64 (n,): decays of one species and of similar momentum along the beam, which decides how
    # far they can fly in the tracker.
    group: np.ndarray
    # float64 (n,): log ρ / pT. ρ is the distance of the vertex from the beam in mm and pT the
    # momentum of both tracks in GeV, so that ρ / pT is the proper time over the mass.
    ratio: np.ndarray
    score: np.ndarray  # float64 (n,): normal quantile at the rank of that in the group
    # float64 (n,) and int64 (n_groups + 1,): log ρ / pT in rising order, group after group; those
    # of group g are bounds[g]:bounds[g + 1].
    ordered: np.ndarray
    bounds: np.ndarray
    reach: np.ndarray  # float64 (2,): largest ρ and abs(z) of all vertices, in mm


def find_decays(tracks, offsets, *, field: float) -> Decays:
    """Find tracks that come from K_S → ππ or Λ → pπ.

    Two displaced tracks of an event are a decay if their helices, bent in opposite ways (which of
    the two is positive is tried out), meet in space, their momentum points away from the origin,
    and their mass is that of K_S or Λ. No track is in two decays: the pair that meets best is taken
    first. This is for exact tracks of events with their vertex at the origin: with the resolution
    of a detector most decays are missed.

    ``tracks`` are ``(N, 5)`` in GeV, rad and mm, event i has ``offsets[i]:offsets[i + 1]``, and
    ``field`` is that of the solenoid, in tesla.
    """
    tracks = tracks.astype(np.float64)
    pairs, table = _candidates(tracks, offsets, CURVATURE * field)
    taken, disjoint = np.zeros(len(tracks), dtype=bool), []
    for row in np.argsort(table[:, 0], kind="stable"):
        if not taken[pairs[row]].any():
            taken[pairs[row]] = True
            disjoint.append(row)
    pairs, table = pairs[disjoint], table[disjoint]
    number, (phi, curvature) = np.full(len(tracks), -1), np.zeros((2, len(tracks)))
    for side in (0, 1):
        number[pairs[:, side]] = np.arange(len(pairs))
        phi[pairs[:, side]], curvature[pairs[:, side]] = table[:, 6 + side], table[:, 8 + side]
    species, ratio, vertex = table[:, 1], table[:, 2], table[:, 3:6].copy()
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
        members = np.flatnonzero(species == kind)
        members = members[np.argsort(momentum[members], kind="stable")]
        for part in np.array_split(members, max(1, len(members) // GROUP)):
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
