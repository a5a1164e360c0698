"""From hard events and pileup to the samples that classifiers train and are tested on."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
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
    "label_events",
    "load_samples",
    "make_samples",
    "overlay_sample",
    "save_samples",
]

SPLITS = ("train", "validation", "test")
_FIELDS = ("X", "mask", "y", "mass")


def make_samples(
    hard: Mapping[float, ak.Array],
    pileup,
    *,
    options: Mapping,
    test_fraction: float,
    validation_fraction: float,
    seed: int,
    progress: bool = False,
) -> dict[str, Sample]:
    """Split hard events, put pileup on each, select tracks.

    Events are split before pileup is drawn. When ``pileup`` is an array of real events it is
    split as well, so that no pileup event is in two of the samples.

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
    progress
        Show a progress bar over the events.

    Returns
    -------
    dict of str to Sample
        ``train``, ``validation`` and ``test``.
    """
    events = ak.concatenate(list(hard.values()))
    mass = np.repeat(np.array(list(hard), dtype=float), [len(each) for each in hard.values()])
    rest = 1 - test_fraction
    fractions = (rest * (1 - validation_fraction), rest * validation_fraction, test_fraction)
    cuts = {"pt_min": options["pt_min"], "abs_eta_max": options["abs_eta_max"]}
    split_seed, pool_seed, *seeds = np.random.SeedSequence(seed).spawn(2 + len(SPLITS))
    members = split_events(len(events), fractions=fractions, seed=split_seed)
    pools = [pileup] * len(SPLITS)
    if isinstance(pileup, ak.Array):
        parts = split_events(len(pileup), fractions=fractions, seed=pool_seed)
        pools = [accept(pileup[part], **cuts) for part in parts]
    samples = {}
    for name, member, pool, split_seed in zip(SPLITS, members, pools, seeds, strict=True):
        samples[name] = overlay_sample(
            events[member],
            mass[member],
            pool,
            options=options,
            seed=split_seed,
            description=f"overlay, {name}",
            progress=progress,
        )
    return samples


def overlay_sample(
    hard: ak.Array,
    mass,
    pileup,
    *,
    options: Mapping,
    seed: np.random.SeedSequence,
    description: str = "overlay",
    progress: bool = False,
) -> Sample:
    """Put pileup on each hard event and select tracks; events without accepted tracks are left out.

    Parameters
    ----------
    hard
        Hard events.
    mass
        Neutralino mass [GeV] of each, 0 for background, shape (n,).
    pileup
        A fitted generator, or an awkward array of real pileup events.
    options
        The ``overlay`` group of a preset.
    seed
        Decides the pileup and the vertices.
    description
        What the progress bar is called.
    progress
        Whether to show it.

    Returns
    -------
    Sample
    """
    cuts = {"pt_min": options["pt_min"], "abs_eta_max": options["abs_eta_max"]}
    n_chunks = -(-len(hard) // CHUNK)
    chunks = zip(np.array_split(np.arange(len(hard)), n_chunks), seed.spawn(n_chunks), strict=True)
    parts = []
    for chunk, chunk_seed in tqdm(
        chunks, total=n_chunks, desc=description, unit=f"{CHUNK} events", disable=not progress
    ):
        X, mask, kept = overlay_select(
            hard[chunk],
            pileup,
            mu=options["mu"],
            seed=chunk_seed,
            sigma_z=options["sigma_z"],
            dz_reference=options["dz_reference"],
            **cuts,
            max_tracks=options["max_tracks"],
        )
        parts.append((X, mask, (mass[chunk] > 0)[kept], mass[chunk][kept]))
    return Sample(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def label_events(background: Path, signal: Path) -> Sample:
    """Read two files of overlaid events and select the tracks of both.

    Parameters
    ----------
    background, signal
        Parquet files of tracks.

    Returns
    -------
    Sample
        The background events with ``y = 0``, then the signal events with ``y = 1``.
    """
    parts = [select(load_tracks(path), absolute_pt=True) for path in (background, signal)]
    X, mask = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Sample(X, mask, np.repeat([0, 1], [len(part[0]) for part in parts]))


def save_samples(path: Path, samples: Mapping[str, Sample]) -> None:
    """Write samples to one npz file, without pickle.

    Parameters
    ----------
    path
        The file; it appears only when it is complete.
    samples
        What :func:`make_samples` gives.
    """
    arrays = {
        f"{name}.{field}": getattr(samples[name], field) for name in samples for field in _FIELDS
    }
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
            return {
                name: Sample(*(arrays[f"{name}.{field}"] for field in _FIELDS)) for name in SPLITS
            }
    except FileNotFoundError:
        raise
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not a file of samples, or truncated ({error})") from None
