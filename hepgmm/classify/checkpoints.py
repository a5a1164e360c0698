"""What a training leaves on disk after each epoch, so that it can go on from there."""

from __future__ import annotations

import hashlib
import math
import time

import lightning as L
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only
from tqdm.auto import tqdm

from hepgmm.classify.metrics import auc
from hepgmm.classify.storage import save_model
from hepgmm.io.atomic import atomic_write

__all__ = ["AtomicCheckpoints", "Keeper", "digest", "finished_epochs", "has_stalled"]


def digest(*arrays):
    """Hexadecimal digest of the shapes, types and values of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.shape}{array.dtype}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def finished_epochs(checkpoint, identity):
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


def read_history(directory):
    """History of the training in a folder, one dict for each epoch."""
    return pq.read_table(directory / "history.parquet").to_pylist()


def best_epoch(history):
    """The epoch, from 1, of least validation loss, the first of equals.

    Examples
    --------
    >>> best_epoch([{"epoch": 1, "val_loss": 0.6}, {"epoch": 2, "val_loss": 0.5}])
    2
    """
    return min(history, key=lambda row: row["val_loss"])["epoch"]


def has_stalled(history, patience):
    """Whether the last ``patience`` epochs brought no lower validation loss.

    Examples
    --------
    >>> history = [{"val_loss": loss} for loss in (0.7, 0.5, 0.6, 0.5)]
    >>> has_stalled(history, 2), has_stalled(history, 3), has_stalled(history, None)
    (True, False, False)
    """
    if patience is None or len(history) <= patience:
        return False
    losses = [row["val_loss"] for row in history]
    return min(losses[-patience:]) >= min(losses[:-patience])


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints that are whole or absent."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        with atomic_write(path) as temporary:
            torch.save(checkpoint, temporary)


class Keeper(L.Callback):
    """After every epoch: history, best weights, checkpoint, in an order that survives a kill."""

    def __init__(self, directory, identity, history, epochs, patience, progress):
        self.directory, self.identity, self.history = directory, identity, history
        self.patience = patience
        self.bar = tqdm(
            total=epochs,
            initial=len(history),
            desc=f"training {identity['architecture']}",
            unit="epoch",
            disable=not (progress and rank_zero_only.rank == 0),
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
        figures = losses | {"val_auc": auc(*learner.validated())}
        row = {"epoch": epoch, **figures, "lr": self.learning_rate}
        self.history.append(row | {"seconds": now - self.started})
        self.started = now
        # The checkpoint comes last: a kill before it repeats this epoch, with the same outcome.
        if trainer.is_global_zero:
            if is_best:
                save_model(self.directory / "best.safetensors", learner.model)
            with atomic_write(self.directory / "history.parquet") as temporary:
                pq.write_table(pa.Table.from_pylist(self.history), temporary)
        trainer.save_checkpoint(self.directory / "last.ckpt")
        trainer.should_stop = has_stalled(self.history, self.patience)
        self.bar.set_postfix(figures, refresh=False)
        self.bar.update()

    def on_save_checkpoint(self, trainer, learner, checkpoint):
        checkpoint["hepgmm"] = {"identity": self.identity, "history": self.history}

    def teardown(self, trainer, learner, stage):
        self.bar.close()

    def on_exception(self, trainer, learner, exception):
        self.bar.close()
