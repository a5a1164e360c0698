"""Trainings of one rung, each kept in the cache with its scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from hepgmm.analysis.stages import rung_stage
from hepgmm.classify.files import ARCHITECTURES, save_model
from hepgmm.classify.ladder import classifier_class, code_of, make_classifier
from hepgmm.io.atomic import atomic_write
from hepgmm.io.cache import code_fingerprint, digest

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
    models
        Files of the trained models; those of one's own rungs need not exist.
    """

    scores: np.ndarray
    seconds: float
    key: str
    models: list[Path]


def trained_scores(
    name: str,
    samples,
    *,
    key: str,
    test_key: str,
    cache: Path,
    seeds: Sequence,
    fresh=None,
    training: dict | None = None,
    progress: Callable = print,
) -> Trainings:
    """Scores of the test events from each training of a rung; what is kept is read.

    A network that is kept scores further test events without another training. Whatever else is
    fitted within minutes is fitted again.

    Parameters
    ----------
    name
        Of the rung.
    samples
        ``train``, ``validation`` and ``test``; a function that makes them, so that they need not be
        made if all trainings are kept.
    key
        Digest of what decides the training and validation events.
    test_key
        The same of the test events.
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
    rows, keys, models = [], [], []
    code = [code_fingerprint(*rung_stage(name).code), *code_of(classifier_class(name))]
    for number, entropy in enumerate(seeds):
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        trained = digest([key, name, training, seed, code, fresh is not None])
        keys.append(digest([trained, test_key]))
        model = cache / f"rung-{name}-{trained}.safetensors"
        models.append(model)
        path = cache / f"rung-{name}-{trained}-{keys[-1]}.npz"
        if not path.exists():
            progress(f"{name}, {number + 1}")
            parts, start = samples(), time.perf_counter()
            rung = fit(name, parts, seed, fresh, training, model.with_suffix(""))
            seconds = time.perf_counter() - start
            if hasattr(rung, "history"):  # of epochs before an interruption, too
                seconds = sum(epoch["seconds"] for epoch in rung.history)
            scores = rung.predict_proba(parts["test"].X, parts["test"].mask)
            if type(getattr(rung, "model", None)) in ARCHITECTURES.values():
                save_model(model, rung.model)
            with atomic_write(path) as temporary, temporary.open("wb") as file:
                np.savez(file, scores=scores, seconds=seconds)
        with np.load(path, allow_pickle=False) as kept:
            rows.append((kept["scores"], float(kept["seconds"])))
    scores, seconds = zip(*rows, strict=True)
    return Trainings(np.stack(scores), float(np.mean(seconds)), digest(keys), models)


def fit(name, samples, seed, fresh, training, directory):
    """A trained rung; a network keeps its checkpoints in ``directory``, and goes on from there."""
    options = {}
    if classifier_class(name).is_network:
        options = {"directory": directory, "training": {**(training or {})}}
        if fresh:
            options["training"]["fresh"] = fresh
    parts = samples["train"], samples["validation"]
    return make_classifier(name, **options).fit(*parts, seed=seed, progress=True)
