"""A network that takes the noise off clouds of tracks, at a cost linear in their number."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Denoiser"]


def pool(x, counts):
    """Sums over the tracks of every event, divided by their number n and by √n.

    A mean says what an event is like; the sum over √n is of order 1 for pure noise, however many
    tracks there are, so that small common shifts stand out.
    """
    total = torch.segment_reduce(x, "sum", lengths=counts, unsafe=True)
    n = counts[:, None]
    return total / n, total / n.sqrt()


class Layer(nn.Module):
    """Tracks speak to a vector of the event, and the vector to the tracks (EPiC).

    g ← g + W SiLU(V g + P pool(LayerNorm(x))); x ← x + B SiLU(A LayerNorm(x) + C g).

    Parameters
    ----------
    width, global_width : int
        Features of a track and of the event.
    """

    def __init__(self, width, global_width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.pooled = nn.Linear(2 * width, global_width, bias=False)
        self.event = nn.Linear(global_width, global_width)
        self.update = nn.Linear(global_width, global_width)
        self.expand = nn.Linear(width, width)
        self.shared = nn.Linear(global_width, width, bias=False)
        self.contract = nn.Linear(width, width)
        nn.init.zeros_(self.contract.weight)

    def forward(self, x, g, counts):
        """Tracks x, shape (N, width), and event vectors g, shape (n, global_width), updated."""
        h = self.norm(x)
        pooled = self.pooled(torch.cat(pool(h, counts), 1))
        g = g + self.update(F.silu(pooled + self.event(g)))
        h = self.expand(h) + self.shared(g).repeat_interleave(counts, 0)
        return x + self.contract(F.silu(h)), g


class Denoiser(nn.Module):
    """The mean of clean tracks given noisy ones, D(x; σ), for any number and order of tracks.

    D = x / (σ² + 1) + σ / √(σ² + 1) F(x / √(σ² + 1); σ, n), the preconditioning of Karras et al.
    (arXiv:2206.00364, table 1) for features of unit variance, with F made of layers of EPiC-GAN
    (Buhmann et al., arXiv:2301.08128). The vector of the event starts from log σ, the number n of
    tracks, and the sums of the noisy features and of their squares. Events lie one after the other,
    so that there is no padding.

    Parameters
    ----------
    n_features, width, global_width, n_layers : int
    typical : float
        Unit of the number of tracks.

    Examples
    --------
    >>> network = Denoiser(7, width=8, global_width=4, n_layers=1, typical=3.0)
    >>> network(torch.rand(5, 7), torch.ones(2, 1), torch.tensor([2, 3])).shape
    torch.Size([5, 7])
    """

    def __init__(self, n_features, *, width, global_width, n_layers, typical):
        super().__init__()
        self.typical = typical
        self.register_buffer("frequencies", 2.0 ** torch.arange(-3, 5), persistent=False)
        self.condition = nn.Sequential(
            nn.Linear(2 + 2 * len(self.frequencies) + 2 * n_features, global_width),
            nn.SiLU(),
            nn.Linear(global_width, global_width),
        )
        self.embed = nn.Linear(n_features, width)
        self.layers = nn.ModuleList([Layer(width, global_width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, n_features)
        nn.init.zeros_(self.output.weight)

    def forward(self, x, sigma, counts):
        """Clean tracks, shape (N, F), of x, shape (N, F), with noise sigma, shape (n, 1)."""
        noise = sigma.log() / 4
        waves = noise * self.frequencies
        n = (counts[:, None] / self.typical).float()
        sigma = sigma.repeat_interleave(counts, 0)
        root = (sigma**2 + 1).sqrt()
        scaled = x / root
        _, sums = pool(torch.cat([scaled, scaled**2 - 1], 1), counts)
        g = self.condition(torch.cat([noise, n.log(), waves.sin(), waves.cos(), sums], 1))
        h = self.embed(scaled)
        for layer in self.layers:
            h, g = layer(h, g, counts)
        return x / root**2 + sigma / root * self.output(self.norm(h))
