"""How many floating-point operations a network takes."""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["training_operations"]


def training_operations(model, n_tracks: int) -> float:
    """Floating-point operations of one event, forward and backward: matrix products alone.

    Counted by PyTorch, two for each multiplication with its addition.

    Parameters
    ----------
    model : torch.nn.Module
        A network of this package.
    n_tracks
        Of the event.

    Returns
    -------
    float

    Examples
    --------
    >>> from hepgmm.classify import MLP
    >>> forward = 2 * (5 * 32 + 32 * 32) * 80 + 2 * 32
    >>> training_operations(MLP(n_layers=2), 80) == 3 * forward - 2 * 5 * 32 * 80
    True
    """
    # Only this way of computing attention is made of products that the counter knows.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        X, mask = torch.rand(2, n_tracks, 6) + 0.1, torch.ones(2, n_tracks, dtype=torch.bool)
        model(X, mask).sum().backward()
    model.zero_grad()
    return counter.get_total_flops() / 2
