"""Two-sample classifier of events: a small transformer that sees the 60 hardest accepted tracks."""

from __future__ import annotations

import awkward as ak
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.events import accept
from hepgmm.statistics import weighted_auc
from hepgmm.training import fit, seeded

__all__ = [
    "EventNetwork",
    "hardest_tracks",
    "weighted_transformer_auc",
]

MAX_TRACKS = 60
WIDTH, HEADS, BLOCKS = 24, 2, 2
EPOCHS, BATCH_SIZE, RATE = 20, 128, 3e-3
#: Impact parameters in mm up to which asinh is linear.
_SCALE = 0.01


def hardest_tracks(events):
    """Inputs of the transformer: the 60 hardest accepted tracks of each event.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    tracks : array, float32, shape (n_events, 60, 6)
        log(pT / GeV), η, sin φ and cos φ from the hardest track, asinh(d0 / 10 µm),
        asinh(dz / 10 µm); zeros where there is no track.
    counts : array of int, shape (n_events,)
        Tracks of each event.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> tracks, counts = hardest_tracks(make_events({name: [0.1, 1.0] for name in FEATURES}, [2]))
    >>> counts.tolist(), tracks[0, 0, :4].tolist()
    ([1], [0.0, 1.0, 0.0, 1.0])
    """
    tracks = accept(events)
    tracks = tracks[ak.argsort(tracks.pt, axis=1, ascending=False)][:, :MAX_TRACKS]
    phi = tracks.phi - ak.fill_none(ak.firsts(tracks.phi), 0.0)
    columns = (
        np.log(tracks.pt),
        tracks.eta,
        np.sin(phi),
        np.cos(phi),
        np.arcsinh(tracks.d0 / _SCALE),
        np.arcsinh(tracks.dz / _SCALE),
    )
    padded = [ak.fill_none(ak.pad_none(x, MAX_TRACKS, clip=True), 0.0) for x in columns]
    values = np.stack([ak.to_numpy(x) for x in padded], axis=-1).astype(np.float32)
    return values, ak.to_numpy(ak.num(tracks))


class Block(nn.Module):
    """Self-attention and feed-forward, each on LayerNorm and added to its input."""

    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)])
        self.queries_keys_values = nn.Linear(WIDTH, 3 * WIDTH)
        self.output = nn.Linear(WIDTH, WIDTH)
        self.feedforward = nn.Sequential(
            nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH)
        )

    def forward(self, x, attended):
        """Tracks x, shape (n, T, WIDTH); attended, bool (n, 1, 1, T), True for keys that count."""
        n, n_tracks, _ = x.shape
        heads = self.queries_keys_values(self.norms[0](x))
        heads = heads.view(n, n_tracks, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(*heads, attn_mask=attended)
        x = x + self.output(attention.transpose(1, 2).reshape(n, n_tracks, WIDTH))
        return x + self.feedforward(self.norms[1](x))


class EventNetwork(nn.Module):
    """Tracks that look at each other, then their sum and maximum, to one logit.

    Parameters
    ----------
    mean, std : array, shape (6,)
        Of the features of tracks.

    Examples
    --------
    >>> network = EventNetwork(np.zeros(6), np.ones(6))
    >>> network(torch.rand(4, 60, 6), torch.tensor([60, 3, 1, 0])).shape
    torch.Size([4])
    """

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32))
        self.encoder = nn.Sequential(nn.Linear(len(mean), WIDTH), nn.GELU())
        self.blocks = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.decoder = nn.Sequential(nn.Linear(2 * WIDTH, WIDTH), nn.GELU(), nn.Linear(WIDTH, 1))

    def forward(self, tracks, counts):
        """Logits, shape (n,), of tracks, shape (n, T, 6), the first ``counts`` of which exist."""
        # No longer than the longest event; one without tracks keeps a track, which does not count.
        tracks = tracks[:, : max(int(counts.max()), 1)]
        there = torch.arange(tracks.shape[1]) < counts[:, None]
        attended = there | (counts == 0)[:, None]
        x = self.encoder((tracks - self.mean) / self.std)
        for block in self.blocks:
            x = block(x, attended[:, None, None, :])
        x = x * there[..., None]
        return self.decoder(torch.cat([x.sum(1) / MAX_TRACKS, x.amax(1)], dim=1)).squeeze(1)


def weighted_transformer_auc(real, synthetic, fold, *, seed, epochs=EPOCHS):
    """AUC of a transformer of 11,000 parameters on events, as a function of their weights.

    Angles count from the hardest track, so that a rotation of an event changes nothing. Three of
    the five folds train the network, one chooses the epoch with the least loss, one gives the AUC.

    Parameters
    ----------
    real, synthetic : awkward array of Track records
    fold : array of int, shape (n_real + n_synthetic,)
        As ``hepgmm.validate.two_sample.split`` gives it.
    seed : int
        Of the initial weights and the batches.
    epochs : int

    Returns
    -------
    callable
        From weights of the events, real ones first, to the AUC.
    """
    sides = zip(*map(hardest_tracks, (real, synthetic)), strict=True)
    tracks, counts = map(np.concatenate, sides)
    is_synthetic = (np.arange(len(fold)) >= len(real)).astype(np.float32)
    test, validation, train = (
        [torch.as_tensor(x[rows]) for x in (tracks, counts, is_synthetic)]
        for rows in (fold == 0, fold == 1, fold > 1)
    )
    known = tracks[(fold > 1)[:, None] & (np.arange(MAX_TRACKS) < counts[:, None])]
    with seeded(seed):
        network = EventNetwork(known.mean(axis=0), np.maximum(known.std(axis=0), 1e-6))
    rng, n_batches = np.random.default_rng(seed), -(-len(train[1]) // BATCH_SIZE)

    def batches(epoch):
        # Events of like length together, so that little is padded.
        order = torch.as_tensor(np.lexsort((rng.random(len(train[1])), train[1].numpy())))
        for batch in rng.permutation(n_batches):
            rows = order[batch * BATCH_SIZE : (batch + 1) * BATCH_SIZE]
            yield tuple(x[rows] for x in train)

    def loss(network, tracks, counts, target):
        return F.binary_cross_entropy_with_logits(network(tracks, counts), target)

    fit(
        network,
        loss,
        batches,
        _parts(*validation),
        epochs=epochs,
        steps_per_epoch=n_batches,
        learning_rate=RATE,
        schedule="one_cycle",
        label="two-sample network",
    )
    with torch.inference_mode():
        logits = torch.cat([network(*part) for part in _parts(*test[:2])])
    area = weighted_auc(logits.numpy(), test[2].numpy())
    return lambda weights: area(weights[fold == 0])


def _parts(*columns):
    """Tensors of equal length in parts of 1024 entries."""
    return [*zip(*(x.split(1024) for x in columns), strict=True)]
