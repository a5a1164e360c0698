"""From hard events and pileup to the samples that classifiers train and are tested on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import awkward as ak
import numpy as np
from tqdm.auto import tqdm

from hepgmm.classify.samples import Sample
from hepgmm.io_utils import atomic_write
from hepgmm.pileup.crossings import overlay_select
from hepgmm.pileup.overlay import CHUNK, split_events
from hepgmm.tracks import accept, load_tracks, select

__all__ = [
    "SPLITS",
    "HardEvents",
    "label_events",
    "load_samples",
    "save_samples",
    "split_hard_events",
]

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
