"""Trainings of one rung, each kept in the cache with its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepgmm.cache import code_fingerprint, digest
from hepgmm.classify.registry import classifier_class, code_of, make_classifier
from hepgmm.classify.storage import ARCHITECTURES, save_model
from hepgmm.io_utils import atomic_write
from hepgmm.stages import RUNG_CODE

__all__ = ["Trainings", "trained_scores"]


class Trainings(NamedTuple):
    """What came of the trainings of a rung.

    Attributes
    ----------
    scores
        Probability of signal of each test event, ``(k, n)``.
    seconds
        Mean of a training.
    key
        Digest of everything that decides the scores: events, settings, the rung and its code.
    paths
        Files of the scores; beside each, with the ending ``.safetensors``, the trained model.
    """

    scores: np.ndarray
    seconds: float
    key: str
    paths: list[Path]


def trained_scores(
    name: str,
    samples,
    *,
    key: str,
    cache: Path,
    seeds: Sequence,
    fresh=None,
    training: dict | None = None,
    progress: Callable = print,
) -> Trainings:
    """Scores of the test events from each training of a rung; a training that is kept is read.

    Parameters
    ----------
    name
        Of the rung.
    samples
        ``train``, ``validation`` and ``test``; a function that makes them, so that they need not be
        made if all trainings are kept.
    key
        Digest of what decides the samples.
    cache
        Folder; a network keeps its checkpoints there, too.
    seeds
        One for each training.
    fresh
        Epoch → training events of it, for networks; see :func:`hepgmm.classify.train`.
    training
        Arguments of :func:`hepgmm.classify.train` for a network.
    progress
        Called with the name and the number of a training before it.

    Returns
    -------
    Trainings
    """
    cls, rows, keys, paths = classifier_class(name), [], [], []
    code = [*map(code_fingerprint, RUNG_CODE), *code_of(cls)]
    for number, seed in enumerate(seeds):
        keys.append(digest([key, name, training, seed, code, fresh is not None]))
        path = cache / f"rung-{name}-{keys[-1]}.npz"
        paths.append(path)
        if not path.exists():
            progress(f"{name}, {number + 1}")
            parts, start = samples(), time.perf_counter()
            rung = fit(name, parts, seed, fresh, training, path)
            seconds = time.perf_counter() - start
            if hasattr(rung, "history"):  # of epochs before an interruption, too
                seconds = sum(epoch["seconds"] for epoch in rung.history)
            scores = rung.predict_proba(parts["test"].X, parts["test"].mask)
            if type(getattr(rung, "model", None)) in ARCHITECTURES.values():
                save_model(path.with_suffix(".safetensors"), rung.model)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, scores=scores, seconds=seconds)
        with np.load(path, allow_pickle=False) as kept:
            rows.append((kept["scores"], float(kept["seconds"])))
    scores, seconds = zip(*rows, strict=True)
    return Trainings(np.stack(scores), float(np.mean(seconds)), digest(keys), paths)


def fit(name, samples, seed, fresh, training, path):
    """A trained rung; a network keeps its checkpoints beside ``path``."""
    options = {}
    if hasattr(classifier_class(name), "architecture"):
        options = {"directory": path.with_suffix(""), "training": {**(training or {})}}
        if fresh:
            options["training"]["fresh"] = fresh
    number = int(np.random.SeedSequence(seed).generate_state(1)[0])
    parts = samples["train"], samples["validation"]
    return make_classifier(name, **options).fit(*parts, seed=number, progress=True)
