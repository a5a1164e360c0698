"""Training events as templates: everything that synthetic events are made from, as flat tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["CELLS", "LOG_CLOSE", "REACH", "Templates", "make_templates"]

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
    """Tables of N tracks of n events; event i has the tracks ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    offsets
        int64 ``(n + 1,)``.
    n_prompt
        How many of an event's tracks are prompt; these come first, int64 ``(n,)``.
    points
        float64 ``(N, 4)``: eta, log pT, log |d0| and log |dz|; the last two only of displaced ones.
    phi
        float64 ``(N,)``, in rad.
    signs
        float64 ``(N, 2)``: of d0 and dz; 0 for an exact zero.
    choices
        int64 ``(C,)``: components that a track may come from, row j of ``edges`` with it. Tracks of
        decays come from none.
    edges
        float64 ``(C,)``: cumulative responsibilities of a track's components, the last one 1.
    first
        int64 ``(N + 1,)``: track t has the choices ``first[t]:first[t + 1]``.
    means, factors, inverses
        float64 ``(K, 4)``, ``(K, 4, 4)``, ``(K, 4, 4)``: means, Cholesky factors and their inverses
        of all components, prompt ones first, in the upper left 2 x 2 corner.
    recoil
        float64 ``(n,)``: square of the vector sum of an event's pT over the sum of the squares.
    order, place
        int64 ``(n,)``: events block after block, and the place of each event in that order. All
        events of a block have an odd or all an even number of displaced tracks, and are drawn at
        random from a stretch of five blocks in the order of multiplicity.
    block
        int64 ``(n,)``: the block of each event.
    bounds
        int64 ``(n_blocks + 1,)``: block i has the places ``bounds[i]:bounds[i + 1]``.
    maps
        float32 ``(n, 24, 16)``: prompt tracks near each cell of eta and phi.
    limits
        float64 ``(2, 4)``: least and largest point; of eta, minus and plus the largest |eta|.
    """

    offsets: np.ndarray
    n_prompt: np.ndarray
    points: np.ndarray
    phi: np.ndarray
    signs: np.ndarray
    choices: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    means: np.ndarray
    factors: np.ndarray
    inverses: np.ndarray
    recoil: np.ndarray
    order: np.ndarray
    place: np.ndarray
    block: np.ndarray
    bounds: np.ndarray
    maps: np.ndarray
    limits: np.ndarray


def make_templates(
    tracks, offsets, n_prompt, prompt, displaced, in_decay, *, block_size
) -> Templates:
    """Build the tables.

    Parameters
    ----------
    tracks
        float32 ``(N, 5)``: pT, eta, phi, d0 and dz in GeV, rad and mm; an event's prompt first.
    offsets
        int64 ``(n + 1,)``.
    n_prompt
        int64 ``(n,)``.
    prompt
        The ``GaussianMixture`` of prompt tracks in (eta, log pT), or None if there are none.
    displaced
        The one of displaced tracks without a decay in (eta, log pT, log |d0|, log |dz|), or None.
    in_decay
        bool ``(N,)``: tracks that move with their decay, and need no component.
    block_size
        Least number of events in a block, unless there are fewer of their parity.
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
        own = np.flatnonzero(odd == parity)
        own = own[np.argsort(counts[own], kind="stable")]
        n_blocks = max(1, len(own) // block_size)
        edges = np.arange(n_blocks + 1) * len(own) // n_blocks
        for first in range(0, n_blocks, STRETCH):
            stretch = edges[first : first + STRETCH + 1]
            order.append(rng.permutation(own[stretch[0] : stretch[-1]]))
        if len(own):
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
        own = np.flatnonzero(mask)
        for begin in range(0, len(own), ROWS):
            part = own[begin : begin + ROWS]
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
        own, d = slice(begin, begin + mixture.n_components), mixture.means.shape[1]
        means[own, :d] = mixture.means
        factors[own, :d, :d] = np.linalg.cholesky(mixture.covariances)
        inverses[own, :d, :d] = np.linalg.inv(factors[own, :d, :d])
        begin = own.stop
    return means, factors, inverses


def _limits(points, displaced):
    """Range of the points; a displaced track's for the distances, which prompt ones do not have."""
    reach = np.abs(points[:, 0]).max()
    limits = np.stack([points.min(axis=0), points.max(axis=0)])
    limits[:, 0] = -reach, reach
    if displaced.any():
        own = points[displaced, 2:]
        limits[:, 2:] = own.min(axis=0), own.max(axis=0)
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
