"""Train a classifier: its loss, the events of each epoch, and what decides the outcome."""

from __future__ import annotations

import copy
import hashlib
import math
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from hepgmm.classify.files import check_architecture, load_model, save_model
from hepgmm.classify.metrics import auc
from hepgmm.crossings.samples import COLUMNS
from hepgmm.training import Loss, best_epoch, fit

__all__ = ["TrainingResult", "mirrored", "train"]

_PREDICTION_BATCH = 512


@dataclass(frozen=True)
class TrainingResult:
    """A trained classifier and how it got there.

    Attributes
    ----------
    model : torch.nn.Module
        With the weights of the best epoch, ready to predict.
    history : list of dict
        One for each epoch: ``epoch`` (from 1), ``train_loss`` (mean over the epoch, with dropout),
        ``val_loss`` and ``val_auc``, ``lr`` (at the last step) and ``seconds``.
    best_epoch : int
        The epoch (from 1) of least validation loss, the first of equals.
    """

    model: torch.nn.Module
    history: list
    best_epoch: int


def train(
    model,
    training,
    validation,
    *,
    epochs,
    batch_size=256,
    learning_rate=1e-3,
    schedule="step",
    step_epochs=100,
    weight_decay=0.01,
    patience=None,
    mirror=False,
    fresh=None,
    track_weight=0.0,
    seed,
    directory=None,
    progress=True,
    accelerator="auto",
    devices=1,
    nodes=1,
    precision="32-true",
):
    """Train a classifier and keep its best epoch on the validation sample.

    Binary cross-entropy, AdamW with betas (0.9, 0.999), gradients clipped at norm 1. The given
    model is left as it is; a copy is trained. After every epoch ``directory`` receives
    ``best.safetensors``, ``history.parquet`` and ``last.ckpt``; when the same call finds them
    there, it goes on after the last finished epoch, and the result is the same to the last bit as
    without interruption (on one machine): shuffling depends on (seed, epoch), dropout on (seed,
    step). The loop is ``hepgmm.training.fit``.

    Parameters
    ----------
    model : torch.nn.Module
        With initial weights. The scales of "scaled" features are taken from ``training``.
    training, validation : Sample
        Disjoint parts of the training events; the test events have no place here.
    epochs, batch_size : int
    learning_rate : float
        The highest one.
    schedule : {"step", "cosine"}
        See ``hepgmm.training.learning_rate_factor``.
    step_epochs : int
        Epochs between the steps of the "step" schedule.
    weight_decay : float
    patience : int, optional
        End after so many epochs in a row without a lower validation loss; all epochs are trained
        when not given. The "cosine" schedule is at its best with all of them.
    mirror : bool
        Whether to show half of the events mirrored along the beam, and half of them mirrored at a
        plane through it, anew in each epoch; see ``hepgmm.classify.learning.mirrored``.
    fresh : callable, optional
        Epoch, from 1 → training events of it, such as the same hard events with other pileup
        (``Analysis.hard_events()["train"].sample``); the first epoch sees ``training``. It is
        called in a thread, beside the training of the epoch before, and has to leave torch's
        global random numbers alone.
    track_weight : float
        Weight of a second loss, the cross-entropy of telling tracks of the hard collision from
        those of pileup, for a model with ``track_logits``; both samples need ``hard``.
    seed : int
        Of shuffling and dropout; initial weights come from the model's own seed.
    directory : str or Path, optional
        One for each training; without it nothing is written, and an interrupted one is lost.
    progress : bool
        Whether to show a progress bar over the epochs.
    accelerator : {"auto", "cpu", "gpu", ...}
        As Lightning Fabric has it.
    devices, nodes : int
        Devices of each machine, and machines. With more than one process each sees a part of every
        batch, and gradients are averaged: to rounding the training of one, without dropout, mirrors
        and track task, and if all batches divide evenly.
    precision : str
        As Lightning Fabric has it; "bf16-mixed" gains on a GPU that has it.

    Returns
    -------
    TrainingResult

    Raises
    ------
    ValueError
        If a setting is impossible, if ``directory`` holds another training (another architecture,
        other settings or other events), or if a loss becomes NaN or infinite.
    """
    check_architecture(model)
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "step_epochs": step_epochs,
        "weight_decay": weight_decay,
        "patience": patience,
        "mirror": mirror,
        "track_weight": track_weight,
    }
    _check(model, training, validation, settings)
    model = copy.deepcopy(model)
    model.features.fit(training.X, training.mask)
    identity = {
        "architecture": type(model).__name__,
        **{f"model {name}": value for name, value in model.hyperparameters.items()},
        "initial weights": _digest(*(w.numpy() for w in model.state_dict().values())),
        **settings,
        "seed": seed,
        "training events": _digest(training.X, training.mask, training.y),
        "validation events": _digest(validation.X, validation.mask, validation.y),
        "hard tracks": _digest(training.hard) if track_weight else None,
        "fresh events": None,
        "processes": devices * nodes,
        "precision": precision,
    }
    second = fresh(1) if fresh and epochs > 1 else None
    if second is not None:
        _check_fresh(second, training, track_weight)
        identity["fresh events"] = _digest(second.X, second.mask, second.y)
    best = directory and Path(directory, "best.safetensors")
    batches = _Epochs(training, fresh, second, epochs, batch_size, seed, track_weight)
    try:
        history = fit(
            model,
            _loss(mirror, track_weight),
            batches,
            [*zip(*(x.split(_PREDICTION_BATCH) for x in _tensors(validation)), strict=True)],
            epochs=epochs,
            steps_per_epoch=-(-len(training) // batch_size),
            learning_rate=learning_rate,
            schedule=schedule,
            step_epochs=step_epochs,
            weight_decay=weight_decay,
            patience=patience,
            seed=seed,
            metrics=lambda logits, y: {"val_auc": auc(logits.double().numpy(), y.numpy())},
            directory=directory,
            identity=identity,
            save=best and (lambda network: save_model(best, network)),
            label=f"training {identity['architecture']}",
            progress=progress,
            accelerator=accelerator,
            devices=devices,
            nodes=nodes,
            precision=precision,
        )
    finally:
        batches.close()
    return TrainingResult(load_model(best) if best else model, history, best_epoch(history))


def _digest(*arrays):
    """Hexadecimal digest of the shapes, types and values of arrays."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.shape}{array.dtype}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _loss(mirror, track_weight):
    """Cross-entropy of events, and of tracks beside it; mirrors and tracks in training alone."""

    def loss(network, X, mask, y, hard):
        if mirror and network.training:
            X = mirrored(X, *torch.randint(0, 2, (2, len(y)), device=X.device))
        of_tracks = None
        # Called as a module, so that hooks and wrappers of several processes see it.
        if track_weight and network.training:
            logits, tracks = network(X, mask, tracks=True)
            of_tracks = F.binary_cross_entropy_with_logits(tracks[mask], hard[mask].float())
            of_tracks = track_weight * of_tracks
        else:
            logits = network(X, mask)
        mean = F.binary_cross_entropy_with_logits(logits, y)
        return Loss(mean, extra=of_tracks, outputs=(logits, y))

    return loss


def _tensors(sample):
    """X, mask, y and, for each track, whether it is hard: False where the sample doesn't know."""
    hard = np.zeros_like(sample.mask) if sample.hard is None else sample.hard
    X, mask, hard = map(torch.from_numpy, (sample.X, sample.mask, hard))
    return X, mask, torch.from_numpy(sample.y).float(), hard


class _Epochs:
    """Batches of each epoch; the order depends on (seed, epoch).

    ``fresh`` is called in a thread of its own while the epoch before is trained; what it gives for
    epoch 1 is known already.
    """

    def __init__(self, sample, fresh, second, epochs, batch_size, seed, track_weight):
        self.sample, self.fresh, self.epochs = sample, fresh, epochs
        self.batch_size, self.seed, self.track_weight = batch_size, seed, track_weight
        self.thread, self.coming = ThreadPoolExecutor(1), (1, second)

    def __call__(self, epoch):
        sample = self._sample(epoch)
        order = np.random.SeedSequence(self.seed, spawn_key=(0, epoch))
        # A fresh sample may have some events more or fewer: those without any accepted track.
        events = np.random.default_rng(order).permutation(len(sample))
        events = torch.from_numpy(np.resize(events, len(self.sample)))
        columns = _tensors(sample)
        for batch in events.split(self.batch_size):
            yield tuple(column[batch] for column in columns)

    def _sample(self, epoch):
        """The events of an epoch; those of the next one are begun."""
        if self.fresh is None or epoch == 0:
            return self.sample
        known, coming = self.coming
        if known != epoch:
            coming = self.fresh(epoch)
        sample = coming.result() if isinstance(coming, Future) else coming
        _check_fresh(sample, self.sample, self.track_weight)
        if epoch + 1 < self.epochs:
            self.coming = epoch + 1, self.thread.submit(self.fresh, epoch + 1)
        return sample

    def close(self):
        """Wait for what the thread has begun, and end it."""
        self.thread.shutdown(cancel_futures=True)


def mirrored(X, along, across):
    """Events mirrored along the beam (η and dz), or at a plane through it (φ and d0).

    Collisions of protons with protons have both symmetries, so that a network need not learn them
    from the events. X has the shape (n, max_tracks, 5 or 6); along and across, of 0 and 1 and of
    shape (n,), say which events are mirrored.
    """
    signs = torch.ones(len(X), 1, X.shape[2], dtype=X.dtype, device=X.device)
    for which, names in ((along, ("eta", "dz")), (across, ("phi", "d0"))):
        for name in names:
            signs[:, 0, COLUMNS.index(name)] = 1.0 - 2.0 * which
    return X * signs


def _check_fresh(sample, training, track_weight):
    """An error unless a fresh sample can stand for the training events."""
    sample.check_classes("fresh")
    if sample.X.shape[1:] != training.X.shape[1:]:
        shapes = f"{sample.X.shape[1:]}, not {training.X.shape[1:]}"
        raise ValueError(f"fresh: an event has the shape {shapes}")
    if track_weight and sample.hard is None:
        raise ValueError("fresh: the sample does not know which tracks are hard")


def _check(model, training, validation, settings):
    """An error that names the first setting that cannot be."""
    training.check_classes("training")
    validation.check_classes("validation")
    for name in ("epochs", "batch_size", "step_epochs", "patience"):
        value = settings[name]
        is_whole = isinstance(value, Integral) and value >= 1
        if not is_whole and not (name == "patience" and value is None):
            raise ValueError(f"train: {name}={value!r} is not a whole number above 0")
    if settings["batch_size"] > len(training):
        raise ValueError(
            f"train: batch_size={settings['batch_size']} is more than the {len(training)} training "
            "events"
        )
    for name, low in (
        ("learning_rate", "above"),
        ("weight_decay", "at least"),
        ("track_weight", "at least"),
    ):
        value = settings[name]
        is_number = isinstance(value, Real) and 0 <= value < math.inf
        if not is_number or (low == "above" and value == 0):
            raise ValueError(f"train: {name}={value!r} is not finite and {low} 0")
    if not isinstance(settings["mirror"], bool | np.bool_):
        raise ValueError(f"train: mirror={settings['mirror']!r} is neither true nor false")
    if settings["schedule"] not in ("step", "cosine"):
        raise ValueError(
            f'train: schedule={settings["schedule"]!r} is unknown; choose "step" or "cosine"'
        )
    track_weight = settings["track_weight"]
    if track_weight and not getattr(model, "track_task", False):
        raise ValueError(
            f"train: track_weight={track_weight!r}, but the {type(model).__name__} says nothing of "
            "tracks; make it with track_task=True"
        )
    if track_weight and (training.hard is None or validation.hard is None):
        raise ValueError("train: a sample does not know which tracks are hard; give it hard=…")
