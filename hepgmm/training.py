"""The training of every network of the package: one loop, resumable to the last bit.

A network is trained by :func:`fit` with a loss, batches and validation batches; what it learns is
up to the caller.
"""

from __future__ import annotations

import copy
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn
from torch.optim import lr_scheduler
from tqdm.auto import tqdm

from hepgmm.io.atomic import atomic_write

__all__ = [
    "Loss",
    "best_epoch",
    "fit",
    "has_stalled",
    "learning_rate_factor",
    "read_history",
    "seeded",
]

#: Share of the steps over which "cosine" rises.
_WARM_UP = 0.05
#: Decides the random numbers of every validation.
_VALIDATION = np.random.default_rng(0).integers(2**63)


class Loss(NamedTuple):
    """What a loss function says of a batch.

    Attributes
    ----------
    mean : torch.Tensor, shape ()
        Over the events of the batch, by their weights: what the history shows.
    weight : float, optional
        Sum of the events' weights; their number when not given.
    extra : torch.Tensor, shape (), optional
        Added to what is minimised, such as the loss of a second task.
    outputs : tuple of torch.Tensor
        Of the events, for ``metrics``.
    """

    mean: torch.Tensor
    weight: float | None = None
    extra: torch.Tensor | None = None
    outputs: tuple = ()


@contextmanager
def seeded(number):
    """Torch's random numbers from a number of 64 bits, without a trace in its global generator."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(int(number))
        yield


def learning_rate_factor(step, *, schedule, steps_per_epoch, epochs, step_epochs):
    """Learning rate at an optimiser step, in units of the highest one.

    "step" is the paper's: 0.1 to the number of times that ``step_epochs`` epochs have passed.
    "cosine" rises linearly over the first 5% of the steps, then falls as (1 + cos πx) / 2.
    """
    if schedule == "step":
        return 0.1 ** (step // (steps_per_epoch * step_epochs))
    total = steps_per_epoch * epochs
    warm_up = max(1, round(_WARM_UP * total))
    if step < warm_up:
        return (step + 1) / warm_up
    return (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up))) / 2


def _scheduler(optimizer, schedule, *, steps_per_epoch, epochs, step_epochs):
    total, rate = steps_per_epoch * epochs, optimizer.param_groups[0]["lr"]
    if schedule == "falling":
        return lr_scheduler.CosineAnnealingLR(optimizer, total)
    if schedule == "one_cycle":
        return lr_scheduler.OneCycleLR(optimizer, rate, total_steps=total, pct_start=0.1)
    return lr_scheduler.LambdaLR(
        optimizer,
        lambda step: learning_rate_factor(
            step,
            schedule=schedule,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            step_epochs=step_epochs,
        ),
    )


def fit(
    network: nn.Module,
    loss: Callable,
    batches: Callable[[int], Iterable[tuple]],
    validation: Iterable[tuple],
    *,
    epochs: int,
    steps_per_epoch: int,
    learning_rate: float,
    schedule: str = "cosine",
    step_epochs: int = 100,
    weight_decay: float = 0.01,
    patience: int | None = None,
    average: float | None = None,
    seed: int | None = None,
    metrics: Callable | None = None,
    directory: str | Path | None = None,
    identity: Mapping[str, Any] | None = None,
    save: Callable | None = None,
    label: str = "training",
    progress: bool = False,
    accelerator: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
    precision: str = "32-true",
) -> list[dict]:
    """Minimise a loss; in the end the network has the weights of its best epoch.

    AdamW, gradients clipped at norm 1. With a ``directory``, which receives ``history.parquet`` and
    ``last.ckpt`` after every epoch, the same call goes on after the last finished epoch, to the
    same result to the last bit (on one machine), if the batches depend on nothing but the epoch.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place; on the CPU in the end.
    loss : callable
        (network, *batch) → mean over the events of the batch, or a :class:`Loss`; validation asks
        with a network that is not ``training``.
    batches : callable
        Epoch, from 0 → its batches, tuples of tensors with an entry an event. Each of several
        processes trains on its part of every batch.
    validation : iterable of tuple
        Batches, seen after every epoch with the same random numbers.
    epochs, steps_per_epoch : int
        Epochs, and batches of each.
    learning_rate : float
        The highest one.
    schedule : {"step", "cosine", "falling", "one_cycle"}
        "step", with ``step_epochs`` between its steps, and "cosine", with a warm-up, as
        :func:`learning_rate_factor` says; "falling", a cosine from the first step on; "one_cycle",
        up over a tenth and down, the momentum the other way (Smith, Topin, arXiv:1708.07120).
    weight_decay : float
    patience : int, optional
        End after so many epochs in a row without a lower validation loss.
    average : float, optional
        Weight of the past, per step, in a running average of the weights, which soon forgets the
        first of them; it is what is validated and kept.
    seed : int, optional
        With it the loss draws its random numbers, such as dropout, by (seed, step), and torch's
        global generator is left alone; otherwise from the latter as it stands.
    metrics : callable, optional
        Outputs of the validation events, one argument each → dict of figures for the history.
    directory : str or Path, optional
        One for each training.
    identity : mapping, optional
        What decides the training: name → value. A checkpoint of another one is refused.
    save : callable, optional
        Called with the network after each epoch that is the best so far; then the caller reads the
        best weights from where it put them, and the network is left with those of the last epoch.
        Needed with a ``directory``.
    label : str
        What errors and the progress bar call the training.
    progress : bool
        Whether to show a progress bar over the epochs.
    accelerator, devices, nodes, precision
        As Lightning Fabric has them.

    Returns
    -------
    list of dict
        One for each epoch: ``epoch`` (from 1), ``train_loss`` and ``val_loss``, the figures of
        ``metrics``, ``lr`` (at the last step) and ``seconds``.

    Raises
    ------
    ValueError
        If ``directory`` holds another training, or if a loss becomes NaN or infinite.

    Examples
    --------
    >>> x = torch.linspace(-1, 1, 64)[:, None]
    >>> line = nn.Linear(1, 1)
    >>> def squares(network, x):
    ...     return (network(x) - 3 * x).square().mean()
    >>> run = {"epochs": 40, "steps_per_epoch": 4, "learning_rate": 0.1, "weight_decay": 0.0}
    >>> history = fit(line, squares, lambda epoch: zip(x.split(16)), [(x,)], **run)
    >>> len(history), history[-1]["val_loss"] < 1e-3
    (40, True)
    """
    last = directory and Path(directory, "last.ckpt")
    history, state = _resumed(last, identity)
    if len(history) == epochs or has_stalled(history, patience):
        return history
    with _quiet(), torch.random.fork_rng(enabled=seed is not None):
        fabric = _fabric(accelerator, devices, nodes, precision)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, weight_decay=weight_decay
        )
        run = {"steps_per_epoch": steps_per_epoch, "epochs": epochs, "step_epochs": step_epochs}
        scheduler = _scheduler(optimizer, schedule, **run)
        loop = _Loop(fabric, network, optimizer, scheduler, loss, average, seed)
        loop.load(state)
        bar = tqdm(
            total=epochs,
            initial=len(history),
            desc=label,
            unit="epoch",
            disable=not (progress and fabric.is_global_zero),
        )
        best = None
        with bar:
            while len(history) < epochs and not has_stalled(history, patience):
                epoch, start = len(history), time.perf_counter()
                figures = loop.train(batches(epoch), epoch * steps_per_epoch)
                figures |= loop.validate(validation, metrics)
                row = {"epoch": epoch + 1, **figures, "lr": loop.rate}
                # The same on all processes, so that they end together.
                row = fabric.broadcast(row | {"seconds": time.perf_counter() - start})
                for name in ("val_loss", "train_loss"):
                    if not math.isfinite(row[name]):
                        what = f"{name} of epoch {epoch + 1} is {row[name]}"
                        raise ValueError(f"{label}: {what}; lower the learning rate")
                is_best = row["val_loss"] < min((r["val_loss"] for r in history), default=math.inf)
                history.append(row)
                if is_best and save is None:
                    best = {name: x.cpu().clone() for name, x in loop.judged.state_dict().items()}
                elif is_best and fabric.is_global_zero:
                    save(loop.judged)
                if directory and fabric.is_global_zero:
                    # The checkpoint comes last: a kill before it repeats this epoch alike.
                    with atomic_write(last.with_name("history.parquet")) as temporary:
                        pq.write_table(pa.Table.from_pylist(history), temporary)
                    about = {"hepgmm": {"identity": identity, "history": history}}
                    with atomic_write(last) as temporary:
                        torch.save(about | loop.state(), temporary)
                bar.set_postfix(figures, refresh=False)
                bar.update()
        fabric.barrier()
    network.cpu().eval()
    if best:
        network.load_state_dict(best)
    return history


class _Loop:
    """A training under way: steps, validation, and what a checkpoint holds of it."""

    def __init__(self, fabric, network, optimizer, scheduler, loss, average, seed):
        self.fabric, self.scheduler, self.seed = fabric, scheduler, seed
        self.network, self.optimizer = fabric.setup(network, optimizer)
        self.parts = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
        self.average, self._loss = average, loss
        #: What is validated and saved.
        self.judged = network
        if average is not None:
            self.judged = self.parts["average"] = copy.deepcopy(network)

    def loss(self, network, batch):
        value = self._loss(network, *batch)
        value = value if isinstance(value, Loss) else Loss(value)
        return value if value.weight is not None else value._replace(weight=len(batch[0]))

    def train(self, batches, step):
        """One epoch, whose first step has the number ``step``."""
        rank, processes = self.fabric.global_rank, self.fabric.world_size
        self.network.train()
        means, weights = [], []
        for batch in batches:
            # Every process has at least one event, also of a last batch of few.
            batch = tuple(x[rank % len(x) :: processes] for x in batch)
            if self.seed is not None:
                # The first process draws as a single one does.
                key = (1, step, *[rank] * bool(rank))
                number = np.random.SeedSequence(self.seed, spawn_key=key)
                torch.manual_seed(int(number.generate_state(1, np.uint64)[0]))
            loss = self.loss(self.network, self.fabric.to_device(batch))
            self.optimizer.zero_grad()
            self.fabric.backward(loss.mean if loss.extra is None else loss.mean + loss.extra)
            self.fabric.clip_gradients(
                self.network, self.optimizer, max_norm=1.0, error_if_nonfinite=False
            )
            self.optimizer.step()
            self.rate = self.optimizer.param_groups[0]["lr"]
            self.scheduler.step()
            step += 1
            if self.average is not None:
                self._update_average(step)
            means.append(loss.mean.detach())
            weights.append(loss.weight)
        total = _sums(means, weights)
        if processes > 1:
            total = self.fabric.all_reduce(total, reduce_op="sum").cpu()
        return {"train_loss": float(total[0] / total[1])}

    @torch.no_grad()
    def _update_average(self, step):
        # It soon forgets the first weights.
        share = max(1 - self.average, 9 / (9 + step))
        averages, weights = ([*x.parameters()] for x in (self.judged, self.network))
        torch._foreach_lerp_(averages, weights, share)

    @torch.no_grad()
    def validate(self, batches, metrics):
        """Validation loss and metrics, the same on each process."""
        self.judged.eval()
        with seeded(_VALIDATION), self.fabric.autocast():
            losses = [self.loss(self.judged, self.fabric.to_device(batch)) for batch in batches]
        total = _sums([loss.mean for loss in losses], [loss.weight for loss in losses])
        figures = {"val_loss": float(total[0] / total[1])}
        if metrics and math.isfinite(figures["val_loss"]):
            outputs = zip(*(loss.outputs for loss in losses), strict=True)
            figures |= metrics(*(torch.cat(column).cpu() for column in outputs))
        return figures

    def state(self):
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load(self, state):
        for name, part in self.parts.items() if state else ():
            part.load_state_dict(state[name])


def _sums(means, weights):
    """Weighted sum of losses, and that of the weights."""
    means, weights = (np.array([float(x) for x in values]) for values in (means, weights))
    return torch.tensor([means @ weights, weights.sum()])


def _fabric(accelerator, devices, nodes, precision):
    from lightning.fabric import Fabric
    from lightning.fabric.plugins.environments import LightningEnvironment

    alone = devices == nodes == 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        strategy="auto" if alone else "ddp_find_unused_parameters_true",
        precision=precision,
        # A single process must not take over a batch system's whole allocation.
        plugins=[LightningEnvironment()] if alone else None,
    )
    fabric.launch()
    return fabric


@contextmanager
def _quiet():
    """Silence Lightning's tips and warnings, none of which is about this training."""
    logger = logging.getLogger("lightning.fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _resumed(checkpoint, identity):
    """History in a checkpoint of the same training, and its state; nothing if there is none."""
    if not checkpoint or not checkpoint.exists():
        return [], None
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        history, known = state["hepgmm"]["history"], state["hepgmm"]["identity"]
        other = [name for name, value in identity.items() if known.get(name) != value]
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
    if "state_dict" in state:  # as Lightning's trainer wrote it, before this loop
        weights = {k.removeprefix("model."): v for k, v in state["state_dict"].items()}
        (optimizer,), (scheduler,) = state["optimizer_states"], state["lr_schedulers"]
        state = {"network": weights, "optimizer": optimizer, "scheduler": scheduler}
    return history, state


def read_history(directory):
    """History of the training in a folder, one dict for each epoch."""
    return pq.read_table(Path(directory, "history.parquet")).to_pylist()


def best_epoch(history):
    """The epoch, from 1, of least validation loss, the first of equals."""
    return min(history, key=lambda row: row["val_loss"])["epoch"]


def has_stalled(history, patience):
    """Whether the last ``patience`` epochs brought no lower validation loss."""
    if patience is None or len(history) <= patience:
        return False
    losses = [row["val_loss"] for row in history]
    return min(losses[-patience:]) >= min(losses[:-patience])
