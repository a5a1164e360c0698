"""Synthetic events from templates: their parts oriented, moved within components, balanced."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from hepgmm.pileup.templates import LOG_CLOSE, REACH

__all__ = ["Draws", "fill_events"]


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
    normal
        Standard normals ``(n, 2)`` of the boost and of the momentum scale.
    rotation
        Azimuth of the event, ``(n,)`` in rad.
    mirrors
        Signs of phi and of eta, ``(n, 2)``.
    uniform
        Uniform numbers ``(m,)`` that choose components.
    track_normal
        Standard normals ``(m, 4)``.
    """

    turns: np.ndarray
    flips: np.ndarray
    normal: np.ndarray
    rotation: np.ndarray
    mirrors: np.ndarray
    uniform: np.ndarray
    track_normal: np.ndarray


@njit(nogil=True, cache=True)
def fill_events(tracks, starts, chosen, partner, templates, draws, redraw, widths, pulls):
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
    draws
        The :class:`Draws`.
    redraw
        Fresh part h of each coordinate of prompt and of displaced tracks, ``(2, 4)``.
    widths
        Standard deviations ``(3,)`` of the boost in eta, of the logarithm of the scale, and in rad
        of the azimuth of a prompt track.
    pulls
        What is added to eta and to log pT of the prompt tracks of each template, ``(n, 2)``, before
        the event is mirrored, boosted and scaled.
    """
    keep, reach = np.sqrt(1 - redraw**2), np.abs(templates.limits[:, 0]).max()
    point = np.empty(4)
    for i in range(len(chosen)):
        a, b = chosen[i], partner[i]
        n_prompt, displaced = templates.n_prompt[a], templates.offsets[b] + templates.n_prompt[b]
        best = orient(
            templates, a, displaced, templates.offsets[b + 1], draws.turns[i], draws.flips[i]
        )
        scale = math.exp(pulls[a, 1] + widths[1] * draws.normal[i, 1])
        boost = draws.mirrors[i, 1] * pulls[a, 0] + widths[0] * draws.normal[i, 0]
        for to in range(starts[i], starts[i + 1]):
            number = to - starts[0]
            t, d, turn, flip = templates.offsets[a] + to - starts[i], 2, 0.0, 1.0
            if to - starts[i] >= n_prompt:
                t, d = displaced + to - starts[i] - n_prompt, 4
                turn, flip = draws.turns[i, best], draws.flips[i, best]
            if d == 2:
                place(point, templates, t, 2, draws, number, keep[0], redraw[0])
                turn = widths[2] * draws.track_normal[number, 2]
            else:
                place(point, templates, t, 4, draws, number, keep[1], redraw[1])
            flip *= draws.mirrors[i, 1]
            pt = math.exp(point[1]) * (scale if d == 2 else 1.0)
            tracks[0, to] = pt * math.cos(templates.phi[t] + turn)
            eta = flip * point[0]
            tracks[1, to] = eta + boost * max(0.0, 1 - (eta / reach) ** 2)
            tracks[2, to] = pt * math.sin(templates.phi[t] + turn)
            tracks[3, to], tracks[4, to] = 0.0, 0.0
            if d == 4:
                tracks[3, to] = draws.mirrors[i, 0] * templates.signs[t, 0] * math.exp(point[2])
                tracks[4, to] = flip * templates.signs[t, 1] * math.exp(point[3])
        own = tracks[:, starts[i] : starts[i + 1]]
        balance(own, templates.sums[a], draws.mirrors[i, 0], draws.rotation[i])


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
def place(point, templates, t, d, draws, number, keep, redraw):
    """Put ``point`` where track t moves to within one of its components, drawn at random.

    It stays where it is if it, or its new place, is in the outer hundredth of the component, or
    the new place outside the range of all templates. The step is a Metropolis step: it leaves what
    is Gaussian inside as it is, and what is not Gaussian outside.

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
    keep, redraw
        √(1 - h²) and h of each coordinate, ``(4,)``.
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
        point[row] = keep[row] * whitened + redraw[row] * draws.track_normal[number, row]
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
    if stays:
        for row in range(d):
            point[row] = old[t, row]


@njit(nogil=True, cache=True)
def balance(tracks, sums, mirror, rotation):
    """Give px and py (rows 0 and 2) the template's balance, then turn them into pT and phi.

    The tracks share what is missing from √(Σ pT² / Σ pT² of the template) times the template's
    vector sum in proportion to their pT².
    """
    x, y, square = 0.0, 0.0, 0.0
    for t in range(tracks.shape[1]):
        x += tracks[0, t]
        y += tracks[2, t]
        square += tracks[0, t] ** 2 + tracks[2, t] ** 2
    ratio = math.sqrt(square / sums[2])
    x, y = (ratio * sums[0] - x) / square, (ratio * sums[1] - y) / square
    c, s = math.cos(rotation), math.sin(rotation)
    for t in range(tracks.shape[1]):
        weight = tracks[0, t] ** 2 + tracks[2, t] ** 2
        px, py = tracks[0, t] + weight * x, mirror * (tracks[2, t] + weight * y)
        tracks[0, t] = math.hypot(px, py)
        tracks[2, t] = math.atan2(px * s + py * c, px * c - py * s)
