"""The events of each epoch: all of them in memory, in another order, with fresh pileup if asked."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch.utils.data import IterableDataset

from hepgmm.crossings.samples import COLUMNS

__all__ = ["OrderedBatches", "ShuffledBatches", "check_fresh", "mirrored", "tensors"]


def tensors(sample):
    """X, mask, y and, for each track, whether it is of the hard collision, as torch tensors.

    The last is all False where the sample doesn't know it.
    """
    hard = np.zeros_like(sample.mask) if sample.hard is None else sample.hard
    X, mask, hard = map(torch.from_numpy, (sample.X, sample.mask, hard))
    return X, mask, torch.from_numpy(sample.y).float(), hard


def check_fresh(sample, training, track_weight):
    """An error unless a fresh sample can stand for the training events."""
    sample.check_classes("fresh")
    if sample.X.shape[1:] != training.X.shape[1:]:
        shapes = f"{sample.X.shape[1:]}, not {training.X.shape[1:]}"
        raise ValueError(f"fresh: an event has the shape {shapes}")
    if track_weight and sample.hard is None:
        raise ValueError("fresh: the sample does not know which tracks are hard")


class OrderedBatches(IterableDataset):
    """Batches of a sample in its own order."""

    def __init__(self, sample, batch_size):
        self.columns, self.batch_size = tensors(sample), batch_size

    def __len__(self):
        return -(-len(self.columns[0]) // self.batch_size)

    def __iter__(self):
        yield from zip(*(c.split(self.batch_size) for c in self.columns), strict=True)


class ShuffledBatches(IterableDataset):
    """Batches of one epoch; the order depends on (seed, epoch).

    Each of several processes sees its own part of every batch, so that together they see what one
    would.

    Parameters
    ----------
    sample : Sample
        Events of the first epoch, and of all others unless ``fresh`` is given.
    fresh : callable or None
        Epoch, from 1 → Sample of it; called in a thread of its own while the epoch before it is
        trained.
    second : Sample or None
        What ``fresh`` gives for epoch 1, if it is known already.
    settings : dict
        ``batch_size``, ``seed`` and ``track_weight`` of the training.
    trainer : lightning.Trainer
        Knows the epoch and the process.
    """

    def __init__(self, sample, fresh, second, settings, trainer):
        self.sample, self.fresh, self.trainer = sample, fresh, trainer
        self.batch_size, self.seed = settings["batch_size"], settings["seed"]
        self.track_weight = settings["track_weight"]
        self.thread, self.coming = ThreadPoolExecutor(1), (1, second)

    def __len__(self):
        return -(-len(self.sample) // self.batch_size)

    def __iter__(self):
        # Runs when the first batch is asked for: before that, a resumed trainer says epoch 0.
        epoch = self.trainer.current_epoch
        sample = self._sample(epoch)
        order = np.random.SeedSequence(self.seed, spawn_key=(0, epoch))
        # A fresh sample may have some events more or fewer: those without any accepted track.
        events = np.random.default_rng(order).permutation(len(sample))
        events = np.resize(events, len(self.sample))
        columns = tensors(sample)
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        for batch in torch.from_numpy(events).split(self.batch_size):
            # Every process has at least one event, also of a last batch of few.
            yield tuple(column[batch[rank % len(batch) :: processes]] for column in columns)

    def _sample(self, epoch):
        """The events of an epoch; those of the next one are begun."""
        if self.fresh is None:
            return self.sample
        known, coming = self.coming
        if epoch == 0:
            return self.sample
        if known != epoch:
            coming = self.fresh(epoch)
        sample = coming.result() if isinstance(coming, Future) else coming
        check_fresh(sample, self.sample, self.track_weight)
        if epoch + 1 < self.trainer.max_epochs:
            self.coming = epoch + 1, self.thread.submit(self.fresh, epoch + 1)
        return sample

    def close(self):
        """Wait for what the thread has begun, and end it."""
        self.thread.shutdown(cancel_futures=True)


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
