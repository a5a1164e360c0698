"""Bunch crossings: pileup laid over hard events, all tracks or the hardest ones alone."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import awkward as ak
import numpy as np
from tqdm.auto import tqdm

from hepgmm.collide.detector import draw_vertices
from hepgmm.crossings.overlay_kernels import find_vertices, select_tracks, write_tracks
from hepgmm.events import FEATURES, check_events, make_events, ranges, to_columns

__all__ = ["DZ_REFERENCES", "overlay", "overlay_select", "reconstruct_vertex", "select"]

#: What dz may be measured from.
DZ_REFERENCES = ("origin", "hard", "reconstructed")
#: The largest mean pileup, five times what the upgraded LHC expects.
MAX_MU = 1000
#: Hard events that are overlaid at a time: 500 with 60 pileup events of 70 tracks take 0.5 GB.
CHUNK = 500
#: How :func:`reconstruct_vertex` finds the vertex that ``dz_reference="reconstructed"`` means: half
#: width of the window and largest abs(d0) in mm, least pT in GeV, largest abs(eta).
VERTEX = (1.0, 0.1, 0.5, 4.5)


class Crossings(NamedTuple):
    """Tracks of some collisions, and which of these make up each crossing, the hard one first.

    Collision c has the tracks ``offsets[c]:offsets[c + 1]`` of the columns; crossing i is made of
    the collisions ``collision[starts[i]:starts[i + 1]]``, each turned by its ``rotation`` [rad] and
    shifted by its ``z`` [mm].
    """

    columns: tuple[np.ndarray, ...]  # (n_tracks,) each, as in FEATURES
    offsets: np.ndarray  # (n_collisions + 1,)
    starts: np.ndarray  # (n_crossings + 1,)
    collision: np.ndarray  # (n,)
    rotation: np.ndarray  # (n,), 0 for hard collisions
    z: np.ndarray  # (n,)


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
    reference = DZ_REFERENCES.index(dz_reference)
    parts = list(draw_crossings(hard, pileup, mu, seed, sigma_z))
    counts = [np.diff(part.offsets)[part.collision] for part in parts]
    sizes = [np.add.reduceat(n, part.starts[:-1]) for n, part in zip(counts, parts, strict=True)]
    bounds = np.cumsum([0, *map(np.sum, sizes)])
    tracks = np.empty((len(FEATURES), bounds[-1]), dtype=np.float32)
    with tqdm(total=len(hard), desc="overlay", unit="event", disable=not progress) as bar:
        for part, (begin, end) in zip(parts, pairwise(bounds), strict=True):
            write_tracks(tracks[:, begin:end], *part, reference, VERTEX)
            bar.update(len(part.starts) - 1)
    provenance = {
        "process": "overlay",
        "hard": hard.attrs.get("provenance", {}),
        "pileup": getattr(pileup, "attrs", {}).get("provenance", type(pileup).__name__),
        "mu": float(mu),
        "sigma_z": float(sigma_z),
        "dz_reference": dz_reference,
        "seed": str(seed),
    }
    sizes = np.concatenate(sizes)
    columns = dict(zip(FEATURES, tracks, strict=True))
    events = make_events(columns, sizes, provenance=provenance)
    if not return_truth:
        return events
    numbers = [ranges(np.diff(part.starts)).astype(np.int32) for part in parts]
    truth = np.concatenate(list(map(np.repeat, numbers, counts)))
    return events, ak.unflatten(truth, sizes)


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
        As for :func:`hepgmm.overlay`.
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
    options = DZ_REFERENCES.index(dz_reference), pt_min, abs_eta_max, max_tracks
    parts, first = [], 0
    for crossings in draw_crossings(hard, pileup, mu, seed, sigma_z):
        X, mask, index, tracks = hardest_tracks(crossings, *options)
        last_hard = crossings.collision[crossings.starts[:-1]].max()
        of_hard = tracks < crossings.offsets[last_hard + 1]
        parts.append((X, mask, index + first, mask & of_hard))
        first += len(crossings.starts) - 1
    kept = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
    return kept if return_hard else kept[:3]


def select(
    events: ak.Array,
    *,
    pt_min: float = 0.5,
    abs_eta_max: float = 4.5,
    max_tracks: int = 80,
    absolute_pt: bool = False,
    truth: ak.Array | None = None,
    return_index: bool = False,
):
    """Padded matrices of the hardest accepted tracks: what a classifier reads.

    Tracks with pT > ``pt_min`` and abs(eta) < ``abs_eta_max`` are kept, events without any are
    dropped, pT is divided by the event's sum over its accepted tracks, tracks are sorted by
    falling pT, and the ``max_tracks`` hardest are kept.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.
    pt_min
        In GeV.
    abs_eta_max
        Largest abs(eta).
    max_tracks
        Length of the padded axis.
    absolute_pt
        Whether to add pT in GeV as a sixth column.
    truth
        Which collision each track is of, as :func:`hepgmm.overlay` gives it.
    return_index
        Whether to return the numbers of the kept events too.

    Returns
    -------
    X : numpy.ndarray
        float32 ``(n_kept, max_tracks, 5)``, or 6, in the order of ``FEATURES``; pT relative, eta,
        phi in rad, d0 and dz in mm; zeros where there is no track.
    mask : numpy.ndarray
        bool ``(n_kept, max_tracks)``, True where there is a track.
    hard : numpy.ndarray
        bool ``(n_kept, max_tracks)``, True where the track is of the hard collision; only with
        ``truth``.
    index : numpy.ndarray
        int64 ``(n_kept,)``, only with ``return_index``.

    Raises
    ------
    ValueError
        For bad events (see :func:`check_events`), a truth of other numbers of tracks, or
        ``max_tracks`` below 1.

    Examples
    --------
    >>> events = make_events({name: [1.0, 3.0, 0.1] for name in FEATURES}, [2, 1])
    >>> X, mask = select(events, max_tracks=4)
    >>> X.shape, X[0, :, 0].tolist(), mask.sum()
    ((1, 4, 5), [0.75, 0.25, 0.0, 0.0], np.int64(2))
    """
    check_events(events, min_events=0)
    columns, offsets = to_columns(events)
    X, mask, index, tracks = hardest_tracks(
        alone(columns, offsets), DZ_REFERENCES.index("origin"), pt_min, abs_eta_max, max_tracks
    )
    selected = [X if absolute_pt else np.ascontiguousarray(X[..., :5]), mask]
    if truth is not None:
        if not ak.array_equal(ak.num(truth), ak.num(events.pt)):
            raise ValueError("truth: other numbers of tracks than the events")
        is_hard = np.append(ak.to_numpy(ak.flatten(truth)) == 0, False)
        selected.append(mask & is_hard[tracks])
    return (*selected, index) if return_index else tuple(selected)


def reconstruct_vertex(
    events: ak.Array,
    *,
    window: float = VERTEX[0],
    d0_max: float = VERTEX[1],
    pt_min: float = VERTEX[2],
    abs_eta_max: float = VERTEX[3],
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
    crossings = alone(*to_columns(events))
    return find_vertices(*crossings, (window, d0_max, pt_min, abs_eta_max))


def check_overlay(mu, dz_reference):
    """An error for an impossible ``mu`` or an unknown reference."""
    if dz_reference not in DZ_REFERENCES:
        raise ValueError(
            f"dz_reference = {dz_reference!r}: choose one of {', '.join(DZ_REFERENCES)}"
        )
    if not 0 <= mu <= MAX_MU:
        raise ValueError(f"mu = {mu}: give a mean from 0 to {MAX_MU}")


def draw_crossings(hard, pileup, mu, seed, sigma_z) -> Iterator[Crossings]:
    """Crossings of all hard events, at most ``CHUNK`` at a time, each part with its own stream."""
    real = not hasattr(pileup, "sample")
    if real:
        check_events(pileup, name="pileup events")
        columns, offsets = together(hard, pileup)
    starts = range(0, len(hard), CHUNK)
    seeds = [seed]
    if len(starts) > 1:
        root = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        seeds = root.spawn(len(starts))
    for start, part_seed in zip(starts, seeds, strict=True):
        rng, n_hard = np.random.default_rng(part_seed), min(CHUNK, len(hard) - start)
        n_pileup = rng.poisson(mu, n_hard)
        n_drawn = int(n_pileup.sum())
        if real:
            first, n_before = start, len(hard)
            chosen = rng.integers(len(pileup), size=n_drawn)
        else:
            first, n_before = 0, n_hard
            sample_seed, chosen = int(rng.integers(2**63)), np.arange(n_drawn)
            drawn = [pileup.sample(n_drawn, seed=sample_seed)] if n_drawn else []
            columns, offsets = together(hard[start : start + n_hard], *drawn)
        starts_of = np.concatenate([[0], np.cumsum(n_pileup + 1)])
        is_hard = np.zeros(starts_of[-1], dtype=bool)
        is_hard[starts_of[:-1]] = True
        collision = np.empty(len(is_hard), dtype=np.int64)
        collision[is_hard] = np.arange(first, first + n_hard)
        collision[~is_hard] = n_before + chosen
        rotation = np.where(is_hard, 0.0, rng.uniform(-np.pi, np.pi, len(is_hard)))
        z = draw_vertices(len(is_hard), seed=rng, sigma_z=sigma_z)
        yield Crossings(columns, offsets, starts_of, collision, rotation, z)


def together(*samples):
    """Columns and offsets of all tracks of several samples, one sample after the other."""
    sources, offsets = zip(*map(to_columns, samples), strict=True)
    columns = tuple(np.concatenate([source[name] for source in sources]) for name in FEATURES)
    return columns, np.concatenate([[0], np.cumsum(np.concatenate(list(map(np.diff, offsets))))])


def alone(columns, offsets) -> Crossings:
    """Events as crossings of one collision each, where it is."""
    n_events = len(offsets) - 1
    zeros, numbers = np.zeros(n_events), np.arange(n_events + 1)
    return Crossings(
        tuple(columns[name] for name in FEATURES), offsets, numbers, numbers[:-1], zeros, zeros
    )


def hardest_tracks(crossings, reference, pt_min, abs_eta_max, max_tracks):
    """X ``(n_kept, max_tracks, 6)``, mask, numbers of the crossings, numbers of the tracks."""
    if max_tracks < 1:
        raise ValueError(f"max_tracks = {max_tracks}: give at least 1")
    n_crossings = len(crossings.starts) - 1
    X = np.zeros((n_crossings, max_tracks, 6), dtype=np.float32)
    tracks = np.full(X.shape[:2], -1)
    counts = np.zeros(n_crossings, dtype=np.int64)
    select_tracks(X, tracks, counts, *crossings, reference, VERTEX, pt_min, abs_eta_max)
    index = np.flatnonzero(counts)
    return X[index], np.arange(max_tracks) < counts[index, None], index, tracks[index]
