"""What rungs have in common once they are fitted: a model that gives probabilities."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hepgmm.classify.networks import predict

__all__ = ["FittedModel"]


class FittedModel:
    """A rung whose fit leaves a ``model``, to be saved, exported and asked.

    Attributes
    ----------
    model : torch.nn.Module
        Whose ``forward(X, mask)`` gives logits.
    settings : dict
        How it is trained.
    """

    model: torch.nn.Module
    settings: Mapping = {}

    def predict_proba(self, X, mask):
        """Probability that each event is signal, float64, shape (n,)."""
        return predict(self.model, X, mask)
