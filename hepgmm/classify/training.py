"""Train a classifier with Lightning: one progress bar, resumable to the last bit."""

from __future__ import annotations

import copy
import logging
import math
import signal
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch.utils.data import DataLoader

from hepgmm.classify.checkpoints import (
    AtomicCheckpoints,
    Keeper,
    best_epoch,
    digest,
    finished_epochs,
    has_stalled,
)
from hepgmm.classify.epochs import OrderedBatches, ShuffledBatches, check_fresh
from hepgmm.classify.learning import Learner
from hepgmm.classify.storage import check_architecture, load_model

__all__ = ["TrainingResult", "train"]

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
    directory,
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
    step).

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
        See ``hepgmm.classify.learning.learning_rate_factor``.
    step_epochs : int
        Epochs between the steps of the "step" schedule.
    weight_decay : float
    patience : int, optional
        End after so many epochs in a row without a lower validation loss; all epochs are trained
        when not given. The "cosine" schedule is at its best with all of them.
    mirror : bool
        Whether to show half of the events mirrored along the beam, and half of them mirrored at a
        plane through it, anew in each epoch; see ``hepgmm.classify.epochs.mirrored``.
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
    directory : str or Path
        One for each training.
    progress : bool
        Whether to show a progress bar over the epochs.
    accelerator : {"auto", "cpu", "gpu", ...}
        As Lightning has it.
    devices, nodes : int
        Devices of each machine, and machines. With more than one process each sees a part of every
        batch, and gradients are averaged: to rounding the training of one, without dropout, mirrors
        and track task, and if all batches divide evenly.
    precision : str
        As Lightning has it; "bf16-mixed" gains on a GPU that has it.

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
    }
    _check(training, validation, **settings)
    _check_tracks(model, track_weight, training, validation)
    directory = Path(directory)
    model = copy.deepcopy(model)
    model.features.fit(training.X, training.mask)
    settings |= {"track_weight": track_weight, "seed": seed}
    identity = {
        "architecture": type(model).__name__,
        **{f"model {name}": value for name, value in model.hyperparameters.items()},
        "initial weights": digest(*(w.numpy() for w in model.state_dict().values())),
        **settings,
        "training events": digest(training.X, training.mask, training.y),
        "validation events": digest(validation.X, validation.mask, validation.y),
        "hard tracks": digest(training.hard) if track_weight else None,
        "fresh events": None,
        "processes": devices * nodes,
        "precision": precision,
    }
    second = fresh(1) if fresh and epochs > 1 else None
    if second is not None:
        check_fresh(second, training, track_weight)
        identity["fresh events"] = digest(second.X, second.mask, second.y)
    last = directory / "last.ckpt"
    history = finished_epochs(last, identity)
    if len(history) < epochs and not has_stalled(history, patience):
        alone = devices == nodes == 1
        keeper = Keeper(directory, identity, history, epochs, patience, progress)
        with _quiet(), torch.random.fork_rng():
            trainer = L.Trainer(
                max_epochs=epochs,
                accelerator=accelerator,
                devices=devices,
                num_nodes=nodes,
                strategy="auto" if alone else "ddp_find_unused_parameters_true",
                precision=precision,
                gradient_clip_val=1.0,
                callbacks=[keeper],
                # A single process must not take over a batch system's whole allocation.
                plugins=[AtomicCheckpoints()] + [LightningEnvironment()] * alone,
                use_distributed_sampler=False,
                default_root_dir=directory,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            batches = ShuffledBatches(training, fresh, second, settings, trainer)
            try:
                _fit(trainer, model, settings, batches, validation, last)
            finally:
                batches.close()
    best = load_model(directory / "best.safetensors")
    return TrainingResult(best, history, best_epoch(history))


def _check(
    training,
    validation,
    epochs,
    batch_size,
    learning_rate,
    schedule,
    step_epochs,
    weight_decay,
    patience,
    mirror,
):
    training.check_classes("training")
    validation.check_classes("validation")
    for name, value in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("step_epochs", step_epochs),
        ("patience", 1 if patience is None else patience),
    ):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"train: {name}={value!r} is not a whole number above 0")
    if batch_size > len(training):
        raise ValueError(
            f"train: batch_size={batch_size} is more than the {len(training)} training events"
        )
    if not isinstance(learning_rate, Real) or not 0 < learning_rate < math.inf:
        raise ValueError(f"train: learning_rate={learning_rate!r} is not finite and above 0")
    if not isinstance(weight_decay, Real) or not 0 <= weight_decay < math.inf:
        raise ValueError(f"train: weight_decay={weight_decay!r} is not finite and at least 0")
    if not isinstance(mirror, bool | np.bool_):
        raise ValueError(f"train: mirror={mirror!r} is neither true nor false")
    if schedule not in ("step", "cosine"):
        raise ValueError(f'train: schedule={schedule!r} is unknown; choose "step" or "cosine"')


def _check_tracks(model, track_weight, training, validation):
    if not isinstance(track_weight, Real) or not 0 <= track_weight < math.inf:
        raise ValueError(f"train: track_weight={track_weight!r} is not finite and at least 0")
    if track_weight and not getattr(model, "track_task", False):
        raise ValueError(
            f"train: track_weight={track_weight!r}, but the {type(model).__name__} says nothing of "
            "tracks; make it with track_task=True"
        )
    if track_weight and (training.hard is None or validation.hard is None):
        raise ValueError("train: a sample does not know which tracks are hard; give it hard=…")


@contextmanager
def _quiet():
    """Silence Lightning's tips and warnings, none of which is about this training."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _fit(trainer, model, settings, batches, validation, last):
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            Learner(model, settings, len(batches)),
            DataLoader(batches, batch_size=None),
            DataLoader(OrderedBatches(validation, _PREDICTION_BATCH), batch_size=None),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        # Lightning turns Ctrl-C into an exit with Ctrl-C disabled, which would end a notebook.
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from None
