"""Parts that the networks of tracks share: hidden layers, attention, pooling over tracks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.classify.fast import Dropout, is_narrow, narrow_attention
from hepgmm.training import seeded

__all__ = [
    "POOLINGS",
    "SUM_UNIT",
    "ClassAttention",
    "HiddenLayers",
    "TransformerBlock",
    "VertexBias",
    "attended_keys",
    "initialised",
    "pool",
]

#: Unit of a sum over tracks. A decoder's weights could make up for any unit, but they start out
#: for inputs of order one, and the sum over 80 tracks is not.
SUM_UNIT = 80.0


def initialised(seed):
    """A context with random numbers for initial weights."""
    return seeded(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


class HiddenLayers(nn.Module):
    """Linear → LayerNorm → activation, repeated; a mask is applied after the first activation."""

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
    as ``torch.nn.TransformerEncoderLayer(norm_first=True)``, and with an attention bias if asked.
    Narrow heads train with :func:`~hepgmm.classify.fast.narrow_attention` on a CPU.
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
        self.dropout = Dropout(dropout)

    def forward(self, x, attended):
        """Tracks x, shape (n, T, width), after the block.

        ``attended`` is bool, True for keys that count, or a number that is added to the logit of
        each query and key; its shape is that of (n, n_heads, T, T) or one that is broadcast to it.
        """
        heads, dropout = self._heads(x), self.attention_dropout if self.training else 0.0
        if is_narrow(heads, attended, dropout):
            attention = narrow_attention(heads, attended.flatten(1))
        else:
            q, k, v = heads.permute(2, 0, 3, 1, 4)
            attention = F.scaled_dot_product_attention(
                q, k, v, attn_mask=attended, dropout_p=dropout
            )
            attention = torch.cat(attention.unbind(1), dim=-1)
        x = x + self.dropout(self.attention_output(attention))
        hidden = self.dropout(F.gelu(self.expand(self.feedforward_norm(x))))
        return x + self.dropout(self.contract(hidden))

    def weights(self, x, attended):
        """Attention weights, shape (n, n_heads, T, T), of tracks x, shape (n, T, width)."""
        q, k, _ = self._heads(x).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        if attended.dtype == torch.bool:
            logits = logits.masked_fill(~attended, -torch.inf)
        else:
            logits = logits + attended
        return logits.softmax(-1)

    def _heads(self, x):
        """Queries, keys and values, shape (n, T, 3, n_heads, width / n_heads)."""
        n, n_tracks, width = x.shape
        heads = self.queries_keys_values(self.attention_norm(x))
        return heads.view(n, n_tracks, 3, self.n_heads, width // self.n_heads)


class ClassAttention(nn.Module):
    """A summary of the event that attends to itself and to the tracks, which it leaves alone.

    c ← c + Attention(query LayerNorm(c), keys and values LayerNorm([c, x])), then the same
    feed-forward as in a :class:`TransformerBlock` (arXiv:2103.17239, section 3).
    """

    def __init__(self, width, n_heads, feedforward, dropout):
        super().__init__()
        self.n_heads = n_heads
        self.attention_norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.keys_values = nn.Linear(width, 2 * width)
        self.attention_output = nn.Linear(width, width)
        self.feedforward_norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, feedforward)
        self.contract = nn.Linear(feedforward, width)
        self.dropout = Dropout(dropout)

    def forward(self, summary, x, mask):
        """Summary, shape (n, 1, width), of tracks x, shape (n, T, width), where mask is True."""
        n, n_tracks, width = x.shape
        both = self.attention_norm(torch.cat([summary, x], dim=1))
        q = self.query(both[:, :1]).view(n, 1, self.n_heads, width // self.n_heads)
        q = q.transpose(1, 2)
        k, v = (
            self.keys_values(both)
            .view(n, n_tracks + 1, 2, self.n_heads, width // self.n_heads)
            .permute(2, 0, 3, 1, 4)
        )
        attended = F.pad(mask, (1, 0), value=True)[:, None, None, :]
        attention = F.scaled_dot_product_attention(q, k, v, attn_mask=attended)
        attention = torch.cat(attention.unbind(1), dim=-1)
        summary = summary + self.dropout(self.attention_output(attention))
        hidden = self.dropout(F.gelu(self.expand(self.feedforward_norm(summary))))
        return summary + self.dropout(self.contract(hidden))


class VertexBias(nn.Module):
    r"""Attention between tracks that come from near each other along the beam.

    The logit of a query and a key gets :math:`-a_h \ln(1 + (\Delta d_z / s_h)^2)` added, with a
    strength a and a scale s in mm of each head that are learnt. At first the strengths are 1, and
    the scales go from 0.1 mm, the distance at which tracks share a vertex, to 100 mm, at which they
    share a crossing.
    """

    def __init__(self, n_heads):
        super().__init__()
        self.log_strength = nn.Parameter(torch.zeros(n_heads))
        self.log_scale = nn.Parameter(torch.linspace(np.log(0.1), np.log(100.0), n_heads))

    def forward(self, dz):
        """Logits to be added, shape (n, n_heads, T, T), of tracks with dz in mm, shape (n, T)."""
        distance = (dz[:, None, :, None] - dz[:, None, None, :]).square()
        closeness = torch.log1p(distance * torch.exp(-2 * self.log_scale)[:, None, None])
        return -self.log_strength.exp()[:, None, None] * closeness


def attended_keys(mask):
    """Which keys count in attention, bool, shape (n, 1, 1, T).

    An event without tracks attends to its padding: softmax over nothing would be NaN.
    """
    return (mask | ~mask.any(1, keepdim=True))[:, None, None, :]


def _mean(x, mask):
    return (x * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp_min(1)


def _maximum(x, mask):
    # Not amax, whose gradient is shared among equal tracks and takes several times as long.
    largest = x.masked_fill(~mask.unsqueeze(-1), torch.finfo(x.dtype).min).max(1).values
    return largest * mask.any(1, keepdim=True)


POOLINGS = {
    "sum": lambda x, mask: (x * mask.unsqueeze(-1)).sum(1) / SUM_UNIT,
    "mean": _mean,
    "mean_max": lambda x, mask: torch.cat([_mean(x, mask), _maximum(x, mask)], dim=-1),
}
"""From tracks to the event: the sum in units of 80, the mean, or mean and maximum."""


def pool(x, mask, how):
    """Tracks x, shape (n, T, width), to events, shape (n, width), or 2 width for "mean_max"."""
    return POOLINGS[how](x, mask)
