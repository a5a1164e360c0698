"""Dropout from two random bytes a number, for training on a CPU."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Dropout"]

#: How many values two bytes have.
VALUES = 1 << 16


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``, about twice as fast on a CPU.

    torch draws a random number of its own for each feature; here one of 64 bits decides on four of
    them. The probability is therefore rounded to a multiple of 1/65,536, and what is kept is
    divided by exactly the probability to be kept, so that the mean stays as it is. On other
    devices, in compiled models and outside training it is torch's.

    Examples
    --------
    >>> kept = Dropout(0.5).train()(torch.ones(1000))
    >>> sorted(set(kept.tolist()))
    [0.0, 2.0]
    """

    def forward(self, x):
        """Features x, some of them dropped and the others scaled up."""
        dropped = round(self.p * VALUES)
        alone = x.device.type != "cpu" or self.inplace or torch.compiler.is_compiling()
        if not self.training or alone or dropped in (0, VALUES):
            return super().forward(x)
        n = x.numel()
        words = torch.empty(-(-n // 4), dtype=torch.int64).random_(-(1 << 63), None)
        kept = words.view(torch.int16)[:n].view(x.shape) >= dropped - VALUES // 2
        return x * kept.to(x.dtype).mul_(VALUES / (VALUES - dropped))
