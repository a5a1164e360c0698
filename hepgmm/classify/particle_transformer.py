"""The Particle Transformer: attention between tracks that knows how they lie to each other."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.classify.features import TrackFeatures
from hepgmm.classify.layers import ClassAttention, HiddenLayers, TransformerBlock, initialised
from hepgmm.classify.models import check_heads
from hepgmm.classify.samples import COLUMNS

__all__ = ["PAIR_FEATURES", "ParticleTransformer", "pair_features"]

#: What is known of two tracks.
PAIR_FEATURES = ("ln ΔR", "ln kT", "ln z", "ln m²")
# Tracks at the same place have no logarithm of their distance: far below what a detector resolves,
# also for the square of the mass of soft tracks.
_FLOOR = 1e-16


def pair_features(pt, eta, phi, first, second):
    r"""Logarithms of what two massless particles have in common.

    :math:`\Delta R = \sqrt{\Delta\eta^2 + \Delta\phi^2}`,
    :math:`k_T = \min(p_{T,a}, p_{T,b}) \Delta R`,
    :math:`z = \min(p_{T,a}, p_{T,b}) / (p_{T,a} + p_{T,b})` and
    :math:`m^2 = 2 p_{T,a} p_{T,b} (\cosh\Delta\eta - \cos\Delta\phi)`,
    each with a floor of 10⁻¹⁶ under the logarithm.

    Parameters
    ----------
    pt, eta, phi : torch.Tensor, shape (n, T)
        pT in GeV, or relative, φ in rad.
    first, second : torch.Tensor of int, shape (n_pairs,)
        Numbers of the tracks of each pair.

    Returns
    -------
    torch.Tensor, shape (n, n_pairs, 4)
        In the order of ``PAIR_FEATURES``.

    References
    ----------
    Qu, Li, Qian, Particle Transformer for jet tagging, arXiv:2202.03772, equation 3.

    Examples
    --------
    >>> pt, eta, phi = torch.tensor([[1.0, 3.0]]), torch.zeros(1, 2), torch.tensor([[0.0, 0.5]])
    >>> pair_features(pt, eta, phi, torch.tensor([0]), torch.tensor([1])).exp()[0, 0, :3]
    tensor([0.5000, 0.5000, 0.2500])
    """
    a, b = pt[:, first], pt[:, second]
    delta_eta = eta[:, first] - eta[:, second]
    delta_phi = phi[:, first] - phi[:, second]
    delta_phi = delta_phi - 2 * torch.pi * torch.round(delta_phi / (2 * torch.pi))
    softer = torch.minimum(a, b)
    distance = (delta_eta**2 + delta_phi**2).clamp_min(_FLOOR).sqrt()
    # cosh x - 1 = 2 sinh²(x / 2) and 1 - cos x = 2 sin²(x / 2) lose nothing for near tracks.
    mass = 4 * a * b * (torch.sinh(delta_eta / 2) ** 2 + torch.sin(delta_phi / 2) ** 2)
    values = distance, softer * distance, softer / (a + b).clamp_min(_FLOOR), mass
    return torch.stack([value.clamp_min(_FLOOR).log() for value in values], dim=-1)


class ParticleTransformer(nn.Module):
    """Self-attention with a bias for each pair of tracks, then class attention.

    Inputs → 2 × (Linear → LayerNorm → GELU) → ``n_blocks`` × pre-norm self-attention, whose logits
    have ln ΔR, ln kT, ln z and ln m² of the two tracks, made into one number for each head by a
    small network that the blocks share, added → 2 × class attention, in which a learnt summary
    collects what it needs from the tracks → LayerNorm → Linear → 1 logit.

    The reference has more LayerNorms in its blocks and is far larger; tracks are massless here.

    Parameters
    ----------
    features : str, Path or dict
        Inputs, see :class:`~hepgmm.classify.TrackFeatures`.
    width, n_blocks, n_heads, feedforward : int
    pair_width : int
        Hidden layer of the network of pairs.
    dropout : float
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads.

    References
    ----------
    Qu, Li, Qian, Particle Transformer for jet tagging, arXiv:2202.03772.

    Examples
    --------
    >>> model = ParticleTransformer(n_blocks=1)
    >>> model(torch.rand(4, 80, 6), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        *,
        features="full",
        width=32,
        n_blocks=2,
        n_heads=4,
        feedforward=128,
        pair_width=8,
        dropout=0.1,
        seed=0,
    ):
        super().__init__()
        check_heads("ParticleTransformer", width, n_heads)
        self.features = TrackFeatures(features)
        self.hyperparameters = {
            "features": self.features.table,
            "width": width,
            "n_blocks": n_blocks,
            "n_heads": n_heads,
            "feedforward": feedforward,
            "pair_width": pair_width,
            "dropout": dropout,
            "seed": seed,
        }
        with initialised(seed):
            self.encoder = HiddenLayers(len(self.features.rows), width, 2, F.gelu)
            self.pairs = nn.Sequential(
                nn.Linear(len(PAIR_FEATURES), pair_width), nn.GELU(), nn.Linear(pair_width, n_heads)
            )
            self.blocks = nn.ModuleList(
                [
                    TransformerBlock(width, n_heads, feedforward, dropout, 0.0)
                    for _ in range(n_blocks)
                ]
            )
            self.summary = nn.Parameter(torch.randn(1, 1, width) * 0.02)
            self.class_blocks = nn.ModuleList(
                [ClassAttention(width, n_heads, feedforward, dropout) for _ in range(2)]
            )
            self.norm = nn.LayerNorm(width)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5 or 6), where mask, bool (n, T)."""
        bias = self._bias(X, mask)
        tracks = self.encoder(self.features(X, mask), mask)
        for block in self.blocks:
            tracks = block(tracks, bias)
        summary = self.summary.expand(X.shape[0], -1, -1)
        for block in self.class_blocks:
            summary = block(summary, tracks, mask)
        return self.output(self.norm(summary[:, 0])).squeeze(-1)

    def _bias(self, X, mask):
        """Logits to be added for each head, query and key, shape (n, n_heads, T, T)."""
        n_tracks = X.shape[1]
        X = X.masked_fill(~mask.unsqueeze(-1), 0.0)
        pt, eta, phi = (X[..., COLUMNS.index(name)] for name in ("pt_relative", "eta", "phi"))
        # Each pair once; in numpy, so that they are constants of an exported model.
        first, second = np.triu_indices(n_tracks)
        pair = np.empty((n_tracks, n_tracks), dtype=np.int64)
        pair[first, second] = pair[second, first] = np.arange(len(first))
        first, second, pair = (torch.as_tensor(x, device=X.device) for x in (first, second, pair))
        # Logarithms from some -20 to 2 become numbers of order one.
        values = self.pairs(pair_features(pt, eta, phi, first, second) / 5 + 1)
        bias = values[:, pair.flatten()].unflatten(1, (n_tracks, n_tracks)).permute(0, 3, 1, 2)
        # An event without tracks attends to its padding: softmax over nothing would be NaN.
        ignored = ~(mask | ~mask.any(1, keepdim=True))
        return bias.masked_fill(ignored[:, None, None, :], -torch.inf)
