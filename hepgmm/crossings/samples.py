"""From hard events and pileup to the samples that classifiers train and are tested on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import awkward as ak
import numpy as np
from tqdm.auto import tqdm

from hepgmm.crossings.overlay import CHUNK, overlay_select, select
from hepgmm.events import accept
from hepgmm.io.atomic import atomic_write
from hepgmm.io.parquet import load_tracks

__all__ = [
    "COLUMNS",
    "SPLITS",
    "HardEvents",
    "Sample",
    "check_tracks",
    "label_events",
    "load_samples",
    "save_samples",
    "split_events",
    "split_hard_events",
]

#: Columns of X; the last, pT in GeV, may be missing.
COLUMNS = ("pt_relative", "eta", "phi", "d0", "dz", "pt")
#: Columns of a limited range, with some room for rounding.
RANGES = {"pt_relative": (0.0, 1.0001), "phi": (-3.1417, 3.1417), "pt": (0.0, np.inf)}


def check_tracks(X, mask, n_columns=None):
    """An error unless X and mask are those of the same events, with the columns that are needed.

    What cannot be a pT or an azimuth is refused, as of columns in another order; d0 and dz, say,
    look alike, and their exchange goes unnoticed.

    Parameters
    ----------
    X : array, shape (n, max_tracks, 5 or 6)
    mask : array, shape (n, max_tracks)
    n_columns : int, optional
        How many columns the classifier was trained on.

    Raises
    ------
    ValueError
        If a shape is another one, or a track has an impossible pT or azimuth.

    Examples
    --------
    >>> check_tracks(np.ones((2, 3, 4)), np.ones((2, 3)))
    Traceback (most recent call last):
    ValueError: X has shape (2, 3, 4); expected (n, max_tracks, 5 or 6)
    """
    shape, columns = tuple(X.shape), (5, len(COLUMNS)) if n_columns is None else (n_columns,)
    if len(shape) != 3 or shape[2] not in columns:
        known = " or ".join(map(str, columns))
        raise ValueError(f"X has shape {shape}; expected (n, max_tracks, {known})")
    if tuple(mask.shape) != shape[:2]:
        raise ValueError(f"mask has shape {tuple(mask.shape)}; expected {shape[:2]}, that of X")
    tracks, names = np.asarray(X)[np.asarray(mask, dtype=bool)], COLUMNS[: shape[2]]
    for name, values in zip(names, tracks.T, strict=True):
        low, high = RANGES.get(name, (-np.inf, np.inf))
        wrong = (values < low) | (values > high)
        if wrong.any():
            raise ValueError(
                f"X has a track with {name} = {values[wrong][0]:.4g}, outside {low:.4g} to "
                f"{high:.4g}; its columns have to be {', '.join(names)}, in this order"
            )


@dataclass(frozen=True, eq=False)
class Sample:
    """Selected events with their labels.

    Indexing with an array of event numbers, a boolean array or a slice gives a smaller sample.

    Parameters
    ----------
    X : array, float32, shape (n, max_tracks, 5 or 6)
        Track features as :func:`hepgmm.select` gives them: pT relative to the event's sum, η,
        φ [rad], d0 [mm], dz [mm], and pT [GeV] if it is asked for.
    mask : array, bool, shape (n, max_tracks)
        True where there is a track, False where there is padding.
    y : array, shape (n,)
        1 for signal, 0 for background.
    mass : array, shape (n,), optional
        Mass of the long-lived particle [GeV]; 0 for background.
    hard : array, bool, shape (n, max_tracks), optional
        True where the track is of the hard collision, False for pileup and padding: a truth that
        only a simulation has.

    Raises
    ------
    ValueError
        If the shapes disagree, a label is not 0 or 1, or a track has a value that is not finite
        or impossible.

    Examples
    --------
    >>> sample = Sample(np.ones((3, 2, 5)), np.ones((3, 2), dtype=bool), [0, 1, 1])
    >>> len(sample), len(sample[sample.y == 1])
    (3, 2)
    """

    X: np.ndarray
    mask: np.ndarray
    y: np.ndarray
    mass: np.ndarray | None = None
    hard: np.ndarray | None = None

    def __post_init__(self):
        X = np.asarray(self.X, dtype=np.float32)
        mask, y = np.asarray(self.mask, dtype=bool), np.asarray(self.y)
        n = len(y)
        check_tracks(X, mask)
        if len(X) != n:
            raise ValueError(f"Sample: X has {len(X)} events, y has {n}")
        if not np.isin(y, (0, 1)).all():
            raise ValueError("Sample: y holds labels other than 0 (background) and 1 (signal)")
        broken = (~np.isfinite(X) & mask[..., None]).any(axis=(1, 2))
        if broken.any():
            raise ValueError(
                f"Sample: X of event {np.argmax(broken)} has a value that is not finite"
            )
        if self.mass is not None and np.shape(self.mass) != (n,):
            raise ValueError(f"Sample: mass has shape {np.shape(self.mass)}, expected ({n},)")
        if self.hard is not None and np.shape(self.hard) != mask.shape:
            raise ValueError(f"Sample: hard has shape {np.shape(self.hard)}, not {mask.shape}")
        mass = None if self.mass is None else np.asarray(self.mass)
        hard = None if self.hard is None else np.asarray(self.hard, dtype=bool)
        values = {"X": X, "mask": mask, "y": y.astype(np.int8), "mass": mass, "hard": hard}
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        mass, hard = (None if x is None else x[index] for x in (self.mass, self.hard))
        return Sample(self.X[index], self.mask[index], self.y[index], mass, hard)

    def check_classes(self, name="sample"):
        """An error unless there are events of both classes.

        Examples
        --------
        >>> Sample(np.ones((2, 1, 5)), np.ones((2, 1)), [1, 1]).check_classes("training")
        Traceback (most recent call last):
        ValueError: training: no background event; both classes are needed
        """
        for label, role in enumerate(("background", "signal")):
            if not (self.y == label).any():
                raise ValueError(f"{name}: no {role} event; both classes are needed")


SPLITS = ("train", "validation", "test")
_FIELDS = ("X", "mask", "y", "mass", "hard")


@dataclass(frozen=True, eq=False)
class HardEvents:
    """Hard events of one split and the pileup that is laid over them, as often as wanted.

    Attributes
    ----------
    events
        Hard events.
    mass
        Neutralino mass [GeV] of each, 0 for background, shape (n,).
    pileup
        A fitted generator, or an awkward array of real pileup events.
    options
        The ``overlay`` group of a preset.
    seed
        Decides the pileup and the vertices.
    """

    events: ak.Array
    mass: np.ndarray
    pileup: object
    options: Mapping
    seed: np.random.SeedSequence

    def part(self, share: float, *, seed) -> HardEvents:
        """A random part of the events; a smaller one is within a larger one.

        Parameters
        ----------
        share
            Of the events, up to 1.
        seed
            Anything that ``numpy.random.default_rng`` takes.

        Returns
        -------
        HardEvents
        """
        order = np.random.default_rng(seed).permutation(len(self.events))
        own = np.sort(order[: round(share * len(order))])
        return replace(self, events=self.events[own], mass=self.mass[own])

    def sample(
        self,
        epoch: int = 0,
        *,
        workers: int = 1,
        description: str = "overlay",
        progress: bool = False,
    ):
        """Put pileup on each hard event and select tracks.

        Parameters
        ----------
        epoch
            Each has other pileup and vertices.
        workers
            Threads; no effect on the events.
        description
            What the progress bar is called.
        progress
            Whether to show it.

        Returns
        -------
        Sample
            Without the events that have no accepted tracks.
        """
        options = {k: v for k, v in self.options.items() if k != "pileup"}
        key = (*self.seed.spawn_key, epoch) if epoch else self.seed.spawn_key
        seed = np.random.SeedSequence(self.seed.entropy, spawn_key=key)
        n_chunks = -(-len(self.events) // CHUNK)
        chunks = np.array_split(np.arange(len(self.events)), n_chunks)

        def overlaid(chunk, chunk_seed):
            X, mask, kept, hard = overlay_select(
                self.events[chunk], self.pileup, seed=chunk_seed, **options, return_hard=True
            )
            mass = self.mass[chunk][kept]
            return X, mask, mass > 0, mass, hard

        look = {"desc": description, "unit": f"{CHUNK} events", "disable": not progress}
        with ThreadPoolExecutor(workers) as pool:
            parts = pool.map(overlaid, chunks, seed.spawn(n_chunks))
            parts = list(tqdm(parts, total=n_chunks, **look))
        return Sample(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def split_hard_events(
    hard: Mapping[float, ak.Array],
    pileup,
    *,
    options: Mapping,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
) -> dict[str, HardEvents]:
    """Split hard events into those for training, validation and test.

    When ``pileup`` is an array of real events it is split as well, so that no pileup event is in
    two of the samples.

    Parameters
    ----------
    hard
        Neutralino mass [GeV] -> its events; mass 0 stands for the background.
    pileup
        A fitted generator, or an awkward array of real pileup events.
    options
        The ``overlay`` group of a preset.
    test_fraction
        Share of all events that goes into ``test``.
    validation_fraction
        Share of the remaining ones that goes into ``validation``.
    seed
        Decides the split, the pileup and the vertices.

    Returns
    -------
    dict of str to HardEvents
        ``train``, ``validation`` and ``test``.
    """
    rest = 1 - test_fraction
    fractions = (rest * (1 - validation_fraction), rest * validation_fraction, test_fraction)
    cuts = {"pt_min": options["pt_min"], "abs_eta_max": options["abs_eta_max"]}
    pool_seed, *seeds = np.random.SeedSequence(seed).spawn(1 + len(SPLITS))
    # Each mass by a seed of its own, so that it is split alike whatever the others are.
    members = {
        mass: split_events(len(each), fractions=fractions, seed=[seed, round(1000 * mass)])
        for mass, each in hard.items()
    }
    pools = [pileup] * len(SPLITS)
    if isinstance(pileup, ak.Array):
        parts = split_events(len(pileup), fractions=fractions, seed=pool_seed)
        pools = [accept(pileup[part], **cuts) for part in parts]
    parts = {}
    for number, (name, pool, own) in enumerate(zip(SPLITS, pools, seeds, strict=True)):
        events = [each[members[mass][number]] for mass, each in hard.items()]
        mass = np.repeat(np.array(list(hard), dtype=float), [len(each) for each in events])
        parts[name] = HardEvents(ak.concatenate(events), mass, pool, options, own)
    return parts


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


def label_events(background: Path, signal: Path) -> Sample:
    """Read two files of overlaid events and select the tracks of both.

    Parameters
    ----------
    background, signal
        Parquet files of tracks.

    Returns
    -------
    Sample
        The background events with ``y = 0``, then the signal events with ``y = 1``; with ``hard``
        if both files know which collision each track is of.
    """
    files = [load_tracks(path, return_truth=True) for path in (background, signal)]
    known = all(truth is not None for _, truth in files)
    parts = [
        select(events, absolute_pt=True, truth=truth if known else None) for events, truth in files
    ]
    X, mask, *hard = (np.concatenate(column) for column in zip(*parts, strict=True))
    y = np.repeat([0, 1], [len(part[0]) for part in parts])
    return Sample(X, mask, y, hard=hard[0] if hard else None)


def save_samples(path: Path, samples: Mapping[str, Sample]) -> None:
    """Write samples to one npz file, without pickle.

    Parameters
    ----------
    path
        The file; it appears only when it is complete.
    samples
        By name: ``train``, ``validation`` and ``test``.
    """
    fields = {(name, field): getattr(samples[name], field) for name in samples for field in _FIELDS}
    arrays = {f"{name}.{field}": x for (name, field), x in fields.items() if x is not None}
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_samples(path: Path) -> dict[str, Sample]:
    """Read what :func:`save_samples` wrote.

    Parameters
    ----------
    path
        The npz file.

    Returns
    -------
    dict of str to Sample

    Raises
    ------
    ValueError
        If the file is truncated, of another kind, or without one of the arrays.
    """
    try:
        # np.load itself leaves a truncated file open
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            known = {
                name: {f: arrays[f"{name}.{f}"] for f in _FIELDS if f"{name}.{f}" in arrays}
                for name in SPLITS
            }
            return {name: Sample(**fields) for name, fields in known.items()}
    except FileNotFoundError:
        raise
    except (TypeError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a file of samples, or truncated ({error})") from None
