"""What the networks of the deep generators share: seeds, batches of tracks, training."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters
from tqdm.auto import trange

__all__ = ["Training", "restore", "seeded", "tracks_of", "train"]

#: Weight of the past in the running average of the weights, per step.
DECAY = 0.998
#: Of AdamW.
WEIGHT_DECAY = 1e-2


class Training(NamedTuple):
    """A training's outcome.

    Attributes
    ----------
    parameters
        float32, all weights of the best epoch, one after the other.
    losses
        ``(epochs, 2)``: mean training and validation loss after every epoch.
    best_epoch
        The epoch, from 1, of least validation loss.
    """

    parameters: np.ndarray
    losses: np.ndarray
    best_epoch: int


@contextmanager
def seeded(seed):
    """Torch's random numbers from a seed, without a trace in its global generator.

    Parameters
    ----------
    seed
        Anything that ``numpy.random.default_rng`` takes.
    """
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(int(np.random.default_rng(seed).integers(2**63)))
        yield


def tracks_of(chosen, offsets):
    """Numbers of the tracks of chosen events, one event after the other, and their counts.

    Examples
    --------
    >>> tracks, counts = tracks_of(torch.tensor([2, 0]), torch.tensor([0, 2, 3, 5]))
    >>> tracks.tolist(), counts.tolist()
    ([3, 4, 0, 1], [2, 2])
    """
    counts = offsets[chosen + 1] - offsets[chosen]
    first = offsets[chosen] - (counts.cumsum(0) - counts)
    return torch.arange(int(counts.sum())) + first.repeat_interleave(counts), counts


def restore(network, parameters):
    """Put all weights into a network.

    Raises
    ------
    ValueError
        If the network has another number of weights.
    """
    size = sum(weights.numel() for weights in network.parameters())
    if size != len(parameters):
        raise ValueError(
            f"{len(parameters)} fitted weights, but the network has {size}: "
            "its size was changed after the fit; fit again"
        )
    vector_to_parameters(torch.from_numpy(parameters), network.parameters())
    return network.eval()


def train(network: nn.Module, loss, n_events, settings, *, label, progress) -> Training:
    """Minimise a loss with Adam and keep the epoch that serves the validation events best.

    The learning rate falls as a cosine, gradients are clipped at norm 1, and the weights that are
    validated and kept are the running average over the steps. A tenth of the events, always with
    the same random numbers, validates.

    Parameters
    ----------
    network
        Changed in place.
    loss
        ``loss(network, events)``, with the numbers of a batch of events: a tensor, the mean loss.
    n_events
        How many there are.
    settings
        Whatever has ``epochs``, ``batch_size`` (in events) and ``learning_rate``.
    label
        Text of the progress bar.
    progress
        Whether to show it.

    Returns
    -------
    Training

    Raises
    ------
    ValueError
        If the loss becomes NaN or infinite.
    """
    validation, training = torch.randperm(n_events).tensor_split([-(-n_events // 10)])
    epochs, batch_size, rate = settings.epochs, settings.batch_size, settings.learning_rate
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY)
    steps = epochs * -(-len(training) // batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    average = parameters_to_vector(network.parameters()).detach().clone()
    judge = copy.deepcopy(network)
    losses, best = np.empty((epochs, 2)), average
    bar = trange(epochs, desc=label, unit="epoch", disable=not progress)
    for epoch in bar:
        values = []
        for batch in training[torch.randperm(len(training))].split(batch_size):
            value = loss(network, batch)
            optimiser.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            values.append(value.item())
            # The average soon forgets the initial weights.
            step = schedule.last_epoch
            weight = max(1 - DECAY, 9 / (9 + step))
            average.lerp_(parameters_to_vector(network.parameters()).detach(), weight)
        vector_to_parameters(average, judge.parameters())
        losses[epoch] = np.mean(values), _validate(judge, loss, validation, batch_size)
        if not np.isfinite(losses[epoch]).all():
            raise ValueError(f"{label}: the loss became {losses[epoch]}; lower learning_rate")
        if losses[epoch, 1] == losses[: epoch + 1, 1].min():
            best = average.clone()
        bar.set_postfix(loss=f"{losses[epoch, 1]:.4f}")
    return Training(best.numpy(), losses, int(losses[:, 1].argmin()) + 1)


@torch.no_grad()
def _validate(network, loss, events, batch_size):
    with seeded(0):
        batches = events.split(batch_size)
        values = [loss(network, batch).item() * len(batch) for batch in batches]
    return sum(values) / len(events)
