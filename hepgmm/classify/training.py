"""Train a classifier with Lightning: one progress bar, a CSV log, resumable to the last bit."""

from __future__ import annotations

import copy
import csv
import hashlib
import logging
import math
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch.utils.data import DataLoader, Sampler, TensorDataset
from tqdm.auto import tqdm

from hepgmm.classify.samples import COLUMNS
from hepgmm.classify.storage import check_architecture, load_model, save_model
from hepgmm.io_utils import atomic_write

__all__ = ["TrainingResult", "learning_rate_factor", "mirrored", "train"]

_PREDICTION_BATCH = 512
_WARM_UP = 0.05


@dataclass(frozen=True)
class TrainingResult:
    """A trained classifier and how it got there.

    Attributes
    ----------
    model : torch.nn.Module
        With the weights of the best epoch, ready to predict.
    history : list of dict
        One for each epoch: ``epoch`` (from 1), ``train_loss`` (mean over the epoch, with dropout),
        ``val_loss``, ``lr`` (at the last step) and ``seconds``.
    best_epoch : int
        The epoch (from 1) of least validation loss, the first of equals.
    """

    model: torch.nn.Module
    history: list
    best_epoch: int


def learning_rate_factor(step, *, schedule, steps_per_epoch, epochs, step_epochs):
    """Learning rate at an optimiser step, in units of the highest one.

    "step" is the paper's: 0.1 to the number of times that ``step_epochs`` epochs have passed.
    "cosine" rises linearly over the first 5% of the steps, then falls as (1 + cos πx) / 2.

    Examples
    --------
    >>> run = dict(steps_per_epoch=10, epochs=100, step_epochs=30)
    >>> [learning_rate_factor(step, schedule="step", **run) for step in (0, 299, 300)]
    [1.0, 1.0, 0.1]
    >>> [learning_rate_factor(step, schedule="cosine", **run) for step in (0, 49, 1000)]
    [0.02, 1.0, 0.0]
    """
    if schedule == "step":
        return 0.1 ** (step // (steps_per_epoch * step_epochs))
    total = steps_per_epoch * epochs
    warm_up = max(1, round(_WARM_UP * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up))) / 2


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
    mirror=False,
    seed,
    directory,
    progress=True,
    accelerator="auto",
):
    """Train a classifier and keep its best epoch on the validation sample.

    Binary cross-entropy, AdamW with betas (0.9, 0.999), gradients clipped at norm 1. The given
    model is left as it is; a copy is trained. After every epoch ``directory`` receives
    ``best.safetensors``, ``history.csv`` and ``last.ckpt``; when the same call finds them there, it
    goes on after the last finished epoch, and the result is the same to the last bit as without
    interruption (on one machine): shuffling depends on (seed, epoch), dropout on (seed, step).

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
        See :func:`learning_rate_factor`.
    step_epochs : int
        Epochs between the steps of the "step" schedule.
    weight_decay : float
    mirror : bool
        Whether to show half of the events mirrored along the beam, and half of them mirrored at a
        plane through it, anew in each epoch; see ``hepgmm.classify.training.mirrored``.
    seed : int
        Of shuffling and dropout; initial weights come from the model's own seed.
    directory : str or Path
        One for each training.
    progress : bool
        Whether to show a progress bar over the epochs.
    accelerator : {"auto", "cpu", "gpu", ...}
        As Lightning has it; one device is used.

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
    _check(training, validation, epochs, batch_size, learning_rate, schedule, step_epochs)
    directory = Path(directory)
    model = copy.deepcopy(model)
    model.features.fit(training.X, training.mask)
    settings = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": schedule,
        "step_epochs": step_epochs,
        "weight_decay": weight_decay,
        "mirror": mirror,
        "seed": seed,
    }
    identity = {
        "architecture": type(model).__name__,
        **{f"model {name}": value for name, value in model.hyperparameters.items()},
        "initial weights": _digest(*(w.numpy() for w in model.state_dict().values())),
        **settings,
        "training events": _digest(training.X, training.mask, training.y),
        "validation events": _digest(validation.X, validation.mask, validation.y),
    }
    last = directory / "last.ckpt"
    history = _finished_epochs(last, identity)
    if len(history) < epochs:
        keeper = _Keeper(directory, identity, history, epochs, progress)
        with _quiet(), torch.random.fork_rng():
            trainer = L.Trainer(
                max_epochs=epochs,
                accelerator=accelerator,
                devices=1,
                gradient_clip_val=1.0,
                callbacks=[keeper],
                # Without the second, Lightning takes over a batch system's whole allocation.
                plugins=[_AtomicCheckpoints(), LightningEnvironment()],
                default_root_dir=directory,
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                num_sanity_val_steps=0,
            )
            _fit(trainer, model, settings, training, validation, last)
    best = min(history, key=lambda row: row["val_loss"])
    return TrainingResult(load_model(directory / "best.safetensors"), history, best["epoch"])


def mirrored(X, along, across):
    """Events mirrored along the beam (η and dz), or at a plane through it (φ and d0).

    Collisions of protons with protons have both symmetries, so that a network need not learn from
    the events that they do.

    Parameters
    ----------
    X : torch.Tensor, shape (n, max_tracks, 5 or 6)
    along, across : torch.Tensor of 0 and 1, shape (n,)
        Which events are mirrored.

    Returns
    -------
    torch.Tensor, shape of X

    Examples
    --------
    >>> X = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    >>> mirrored(X, torch.tensor([1]), torch.tensor([0])).tolist()
    [[[1.0, -2.0, 3.0, 4.0, -5.0]]]
    """
    signs = torch.ones(len(X), 1, X.shape[2], dtype=X.dtype, device=X.device)
    for which, names in ((along, ("eta", "dz")), (across, ("phi", "d0"))):
        for name in names:
            signs[:, 0, COLUMNS.index(name)] = 1.0 - 2.0 * which
    return X * signs


def _check(training, validation, epochs, batch_size, learning_rate, schedule, step_epochs):
    training.check_classes("training")
    validation.check_classes("validation")
    for name, value in (
        ("epochs", epochs),
        ("batch_size", batch_size),
        ("step_epochs", step_epochs),
    ):
        if value != int(value) or value < 1:
            raise ValueError(f"train: {name}={value!r} is not a whole number above 0")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"train: learning_rate={learning_rate!r} is not finite and above 0")
    if schedule not in ("step", "cosine"):
        raise ValueError(f'train: schedule={schedule!r} is unknown; choose "step" or "cosine"')


def _digest(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _finished_epochs(checkpoint, identity):
    """History in a checkpoint of the same training; empty if there is no checkpoint."""
    if not checkpoint.exists():
        return []
    try:
        kept = torch.load(checkpoint, map_location="cpu", weights_only=True)["hepgmm"]
        history, found = kept["history"], kept["identity"]
        other = [name for name, value in identity.items() if found.get(name) != value]
    except Exception:  # a damaged file, or one that holds anything else, fails in many ways
        raise ValueError(
            f"{checkpoint}: not a checkpoint of hepgmm.classify.train; delete it or choose another"
            " directory"
        ) from None
    if other:
        raise ValueError(
            f"{checkpoint}: belongs to another training (other {', '.join(other)}); delete it or"
            " choose another directory"
        )
    return history


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


def _fit(trainer, model, settings, training, validation, last):
    shuffled = _ShuffledBatches(len(training), settings["batch_size"], settings["seed"], trainer)
    ordered = torch.arange(len(validation)).split(_PREDICTION_BATCH)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(
            _Learner(model, settings, len(shuffled)),
            DataLoader(_tensors(training), sampler=shuffled, batch_size=None),
            DataLoader(_tensors(validation), sampler=ordered, batch_size=None),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        # Lightning turns Ctrl-C into an exit with Ctrl-C disabled, which would end a notebook.
        signal.signal(signal.SIGINT, interrupt)
        raise KeyboardInterrupt from None


def _tensors(sample):
    return TensorDataset(
        torch.from_numpy(sample.X),
        torch.from_numpy(sample.mask),
        torch.from_numpy(sample.y).float(),
    )


class _ShuffledBatches(Sampler):
    """Event numbers of each batch; the order depends on (seed, epoch)."""

    def __init__(self, n_events, batch_size, seed, trainer):
        self.n_events, self.batch_size, self.seed = n_events, batch_size, seed
        self.trainer = trainer

    def __len__(self):
        return -(-self.n_events // self.batch_size)

    def __iter__(self):
        # Runs when the first batch is asked for: before that, a resumed trainer says epoch 0.
        order = np.random.SeedSequence(self.seed, spawn_key=(0, self.trainer.current_epoch))
        events = np.random.default_rng(order).permutation(self.n_events)
        yield from torch.from_numpy(events).split(self.batch_size)


class _Learner(L.LightningModule):
    """Loss, optimiser and schedule of a classifier."""

    def __init__(self, model, settings, steps_per_epoch):
        super().__init__()
        self.model, self.settings, self.steps_per_epoch = model, settings, steps_per_epoch

    def _loss(self, batch, name):
        X, mask, y = batch
        loss = F.binary_cross_entropy_with_logits(self.model(X, mask), y)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(y))
        return loss

    def training_step(self, batch, batch_idx):
        dropout = np.random.SeedSequence(self.settings["seed"], spawn_key=(1, self.global_step))
        torch.manual_seed(int(dropout.generate_state(1, np.uint64)[0]))
        if self.settings["mirror"]:
            X, mask, y = batch
            batch = mirrored(X, *torch.randint(0, 2, (2, len(y)), device=X.device)), mask, y
        return self._loss(batch, "train_loss")

    def validation_step(self, batch, batch_idx):
        self._loss(batch, "val_loss")

    def configure_optimizers(self):
        settings = self.settings
        optimizer = torch.optim.AdamW(
            self.model.parameters(),
            lr=settings["learning_rate"],
            betas=(0.9, 0.999),
            weight_decay=settings["weight_decay"],
        )

        def factor(step):
            return learning_rate_factor(
                step,
                schedule=settings["schedule"],
                steps_per_epoch=self.steps_per_epoch,
                epochs=settings["epochs"],
                step_epochs=settings["step_epochs"],
            )

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }


class _Keeper(L.Callback):
    """After every epoch: history, best weights, checkpoint, in an order that survives a kill."""

    def __init__(self, directory, identity, history, epochs, progress):
        self.directory, self.identity, self.history = directory, identity, history
        self.bar = tqdm(
            total=epochs,
            initial=len(history),
            desc=f"training {identity['architecture']}",
            unit="epoch",
            disable=not progress,
        )
        self.started = time.perf_counter()

    def on_train_batch_start(self, trainer, learner, batch, batch_idx):
        self.learning_rate = trainer.optimizers[0].param_groups[0]["lr"]

    def on_train_epoch_end(self, trainer, learner):
        epoch = len(self.history) + 1
        losses = {
            name: float(trainer.callback_metrics[name]) for name in ("train_loss", "val_loss")
        }
        for name, loss in reversed(losses.items()):
            if not math.isfinite(loss):
                message = f"{name} of epoch {epoch} is {loss}; lower the learning rate"
                raise ValueError(f"train: {message}")
        is_best = losses["val_loss"] < min(
            (row["val_loss"] for row in self.history), default=math.inf
        )
        now = time.perf_counter()
        row = {"epoch": epoch, **losses, "lr": self.learning_rate}
        self.history.append(row | {"seconds": now - self.started})
        self.started = now
        if is_best:
            save_model(self.directory / "best.safetensors", learner.model)
        # The checkpoint comes last: a kill before it repeats this epoch, with the same outcome.
        with (
            atomic_write(self.directory / "history.csv") as temporary,
            open(temporary, "w", newline="") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)
        trainer.save_checkpoint(self.directory / "last.ckpt")
        self.bar.set_postfix(losses, refresh=False)
        self.bar.update()

    def on_save_checkpoint(self, trainer, learner, checkpoint):
        checkpoint["hepgmm"] = {"identity": self.identity, "history": self.history}

    def teardown(self, trainer, learner, stage):
        self.bar.close()

    def on_exception(self, trainer, learner, exception):
        self.bar.close()


class _AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        with atomic_write(path) as temporary:
            torch.save(checkpoint, temporary)
