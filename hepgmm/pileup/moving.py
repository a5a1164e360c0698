"""Synthetic events from templates: their parts oriented, moved within components, balanced."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from hepgmm.pileup.templates import LOG_CLOSE, REACH

__all__ = ["FORWARD", "Draws", "fill_events"]

#: Prompt tracks beyond this abs(eta) are in the forward region.
FORWARD = 4.5
#: Squared distance from the mean, in standard deviations, that a hundredth of a Gaussian in two and
#: in four dimensions exceeds: quantiles of χ².
OUTER_2, OUTER_4 = 9.210, 13.277


class Draws(NamedTuple):
    """Random numbers of a batch of n events with m tracks and k trial orientations.

    Attributes
    ----------
    turns
        Trial azimuths of the displaced tracks, ``(n, k)`` in rad.
    flips
        Trial signs of their eta, ``(n, k)``.
    rotation
        Azimuth of the event, ``(n,)`` in rad.
    mirrors
        Signs of phi and of eta, ``(n, 2)``.
    uniform
        Uniform numbers ``(m,)`` that choose components.
    track_normal
        Standard normals ``(m, 4)`` of the coordinates. Prompt tracks have two of them: their third
        number turns them. Tracks of a decay have none: the first number of its first one moves it.
    """

    turns: np.ndarray
    flips: np.ndarray
    rotation: np.ndarray
    mirrors: np.ndarray
    uniform: np.ndarray
    track_normal: np.ndarray


@njit(nogil=True, cache=True)
def fill_events(
    tracks, starts, chosen, partner, templates, decays, draws, redraw, redraw_decays, width
):
    """Make events of the prompt tracks of one template and the displaced ones of another.

    Parameters
    ----------
    tracks
        float32 ``(5, N)``: pT, eta, phi, d0 and dz in GeV, rad and mm; those of the batch are
        overwritten.
    starts
        Event i of the batch has the tracks ``starts[i]:starts[i + 1]``.
    chosen, partner
        Template of the prompt and of the displaced tracks, ``(n,)``.
    templates
        The ``Templates``.
    decays
        The ``Decays`` of their tracks.
    draws
        The :class:`Draws`.
    redraw
        Fresh part h of each coordinate of prompt tracks, of those in the forward region, and of
        displaced tracks without a decay, ``(3, 4)``.
    redraw_decays
        Fresh part of the proper time of decays.
    width
        Standard deviation in rad of the azimuth by which a prompt track is turned.
    """
    point = np.empty(4)
    for i in range(len(chosen)):
        a, b = chosen[i], partner[i]
        n_prompt, displaced = templates.n_prompt[a], templates.offsets[b] + templates.n_prompt[b]
        best = orient(
            templates, a, displaced, templates.offsets[b + 1], draws.turns[i], draws.flips[i]
        )
        own = tracks[:, starts[i] : starts[i + 1]]
        for to in range(own.shape[1]):
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
            own[0, to], own[2, to] = pt * math.cos(phi + turn), pt * math.sin(phi + turn)
            own[1, to], own[4, to] = flip * point[0], flip * dz
            own[3, to] = draws.mirrors[i, 0] * d0
        balance(own, n_prompt, templates.recoil[a], draws.mirrors[i, 0], draws.rotation[i])


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
    what is not Gaussian outside.

    Parameters
    ----------
    point
        ``(4,)``, of which d are overwritten.
    templates
        The ``Templates``.
    t
        Row of the track.
    d
        2 for a prompt track, 4 for a displaced one.
    draws
        The :class:`Draws`, of which the track takes those of row ``number``.
    number
        Its number in the batch.
    redraw
        h of each coordinate, ``(4,)``.
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
    """phi, d0 and dz of a track whose parent decays elsewhere on its line of flight.

    The normal score s of the parent's ρ / pT becomes √(1 - h²) s + h ξ, and ρ / pT the quantile of
    its group there: h = 1 draws the proper time anew. The momenta at the vertex stay, and so do
    the parent's mass and its line of flight. A vertex that would be further out than all others
    stays where it is. The perigee is that of :func:`hepgmm.collide.perigee`.

    Parameters
    ----------
    decays
        The ``Decays``.
    t
        Row of the track.
    slope
        sinh of its eta.
    normal
        ξ, a standard normal number, the same for both tracks of a decay.
    h
        From 0 to 1.
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
