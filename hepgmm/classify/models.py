"""The paper's two classifiers of a set of tracks: a multilayer perceptron and a transformer.

Both take the tracks of an event in any order and with any amount of padding, and give one logit.
The paper leaves open, and is here chosen: the transformer's feed-forward width (128), LayerNorm
before attention and feed-forward ("pre-norm") and none after the last block, no dropout on the
attention weights, and one hidden layer in the transformer's encoder of tracks.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.classify.features import TrackFeatures

__all__ = ["ARCHITECTURES", "MLP", "Transformer", "TransformerBlock", "predict"]

#: Unit of the transformer's sum over tracks. A decoder's weights could make up for any unit, but
#: they start out for inputs of order one, and the sum over 80 tracks is not.
SUM_UNIT = 80.0


@contextmanager
def _initialised(seed):
    """Random numbers for initial weights, without a trace in torch's global generator."""
    with torch.random.fork_rng(devices=[]):
        state = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
        torch.random.default_generator.manual_seed(int(state))
        yield


class HiddenLayers(nn.Module):
    """Linear → LayerNorm → activation, repeated; with a mask, applied after the first activation.

    Parameters
    ----------
    n_inputs, width, n_layers : int
    activation : callable
    normalise : bool
        Whether there is a LayerNorm after each linear layer.
    """

    def __init__(self, n_inputs, width, n_layers, activation, *, normalise=True):
        super().__init__()
        sizes = [n_inputs] + [width] * n_layers
        self.activation = activation
        self.linear = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes)])
        self.norm = nn.ModuleList(
            [nn.LayerNorm(width) if normalise else nn.Identity() for _ in range(n_layers)]
        )

    def forward(self, x, mask=None):
        """Hidden features, shape (..., width), of x, shape (..., n_inputs)."""
        for i, (linear, norm) in enumerate(zip(self.linear, self.norm, strict=True)):
            x = self.activation(norm(linear(x)))
            if i == 0 and mask is not None:
                x = x * mask.unsqueeze(-1)
        return x


class TransformerBlock(nn.Module):
    """Pre-norm self-attention and feed-forward, each added to its input.

    x ← x + Attention(LayerNorm(x)); x ← x + Feedforward(LayerNorm(x)), with GELU; the same function
    as ``torch.nn.TransformerEncoderLayer(norm_first=True)``, several times faster on a CPU.

    Parameters
    ----------
    width, n_heads, feedforward : int
        Features a track, attention heads (a divisor of the width), width of the hidden layer.
    dropout, attention_dropout : float
        Probability to drop a feature, and to drop an attention weight.
    """

    def __init__(self, width, n_heads, feedforward, dropout, attention_dropout):
        super().__init__()
        self.n_heads = n_heads
        self.attention_dropout = attention_dropout
        self.attention_norm = nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attention_output = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.contract = nn.Linear(feedforward, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, attended):
        """Tracks x, shape (n, T, width); attended, bool (n, 1, 1, T), True for keys that count."""
        n, n_tracks, width = x.shape
        heads = self.queries_keys_values(self.attention_norm(x))
        heads = heads.view(n, n_tracks, 3, self.n_heads, width // self.n_heads)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(
            q, k, v, attn_mask=attended, dropout_p=self.attention_dropout if self.training else 0.0
        )
        attention = attention.transpose(1, 2).reshape(n, n_tracks, width)
        x = x + self.dropout(self.attention_output(attention))
        hidden = self.dropout(F.gelu(self.expand(self.feedforward_norm(x))))
        return x + self.dropout(self.contract(hidden))


class MLP(nn.Module):
    """The paper's multilayer perceptron: every track alone, then the mean over the tracks.

    5 inputs → ``n_layers`` × (Linear → LayerNorm → ReLU), with padded tracks set to 0 after the
    first activation → mean over the tracks of the event → Linear → 1 logit. The paper's is 3 layers
    of 32. (A last linear layer before the mean would be the same function.)

    Parameters
    ----------
    features : {"raw", "scaled", "asinh"}
        Inputs, see :class:`~hepgmm.classify.features.TrackFeatures`.
    width, n_layers : int
    seed : int
        Of the initial weights.

    Examples
    --------
    >>> model = MLP()
    >>> model(torch.rand(4, 80, 5), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(self, *, features="asinh", width=32, n_layers=3, seed=0):
        super().__init__()
        self.hyperparameters = {
            "features": features,
            "width": width,
            "n_layers": n_layers,
            "seed": seed,
        }
        self.features = TrackFeatures(features)
        with _initialised(seed):
            self.encoder = HiddenLayers(5, width, n_layers, F.relu)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5), where mask, bool (n, T), is True."""
        tracks = self.encoder(self.features(X, mask), mask) * mask.unsqueeze(-1)
        mean = tracks.sum(1) / mask.sum(1, keepdim=True).clamp_min(1)
        return self.output(mean).squeeze(-1)


class Transformer(nn.Module):
    """The paper's transformer: tracks look at each other, then are summed.

    5 inputs → Linear → LayerNorm → GELU (``width`` features a track) → ``n_blocks`` ×
    :class:`TransformerBlock` with padded tracks masked as keys → sum over the tracks of the event,
    in units of 80 → 3 × (Linear → GELU), without LayerNorm → Linear → 1 logit.

    Parameters
    ----------
    features : {"raw", "scaled", "asinh"}
        Inputs, see :class:`~hepgmm.classify.features.TrackFeatures`.
    width, n_blocks, n_heads : int
    feedforward : int
        Width of the blocks' hidden layer; the paper does not state it.
    dropout, attention_dropout : float
        The paper states one dropout of 0.1; on the attention weights it triples the training time
        on a CPU, so that it is an argument of its own, 0 unless asked.
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads.

    Examples
    --------
    >>> model = Transformer(n_blocks=1)
    >>> model(torch.rand(4, 80, 5), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        *,
        features="asinh",
        width=32,
        n_blocks=6,
        n_heads=8,
        feedforward=128,
        dropout=0.1,
        attention_dropout=0.0,
        seed=0,
    ):
        super().__init__()
        if width % n_heads:
            raise ValueError(f"Transformer: width={width} is not a multiple of n_heads={n_heads}")
        self.hyperparameters = {
            "features": features,
            "width": width,
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "feedforward": feedforward,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "seed": seed,
        }
        self.features = TrackFeatures(features)
        with _initialised(seed):
            self.encoder = HiddenLayers(5, width, 1, F.gelu)
            self.blocks = nn.ModuleList(
                [
                    TransformerBlock(width, n_heads, feedforward, dropout, attention_dropout)
                    for _ in range(n_blocks)
                ]
            )
            self.decoder = HiddenLayers(width, width, 3, F.gelu, normalise=False)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5), where mask, bool (n, T), is True."""
        # An event without tracks attends to its padding: softmax over nothing would be NaN.
        attended = (mask | ~mask.any(1, keepdim=True))[:, None, None, :]
        tracks = self.encoder(self.features(X, mask), mask)
        for block in self.blocks:
            tracks = block(tracks, attended)
        total = (tracks * mask.unsqueeze(-1)).sum(1) / SUM_UNIT
        return self.output(self.decoder(total)).squeeze(-1)


ARCHITECTURES = {"MLP": MLP, "Transformer": Transformer}
"""The classes by name, as saved files name them."""


def predict(model, X, mask, *, batch_size=512):
    """Probability that each event is signal.

    Parameters
    ----------
    model : MLP or Transformer
        Used on the device on which it lies, without dropout.
    X : array, shape (n, max_tracks, 5)
    mask : array, bool, shape (n, max_tracks)
    batch_size : int
        Events at a time; no effect on the result beyond rounding.

    Returns
    -------
    array, float64, shape (n,)

    Examples
    --------
    >>> predict(MLP(), np.ones((3, 80, 5), np.float32), np.ones((3, 80), bool)).shape
    (3,)
    """
    device = next(model.parameters()).device
    X = torch.as_tensor(X, dtype=torch.float32)
    mask = torch.as_tensor(mask, dtype=torch.bool)
    training = model.training
    model.eval()
    with torch.inference_mode():
        logits = [
            model(x.to(device), m.to(device)).cpu().double()
            for x, m in zip(X.split(batch_size), mask.split(batch_size), strict=True)
        ]
    model.train(training)
    return torch.cat(logits).sigmoid().numpy()
