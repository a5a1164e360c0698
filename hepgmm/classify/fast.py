"""Speeds up ``scaled_dot_product_attention`` and ``dropout`` of ``layers``, on a CPU.

Attention with four features a head spends its time on moving numbers in general code: products of
so thin matrices leave a core idle. Here all queries of an event and head stand side by side in the
lanes of the core, one key after the other passes by, and nothing of size queries times keys is
stored. Dropout takes two random bytes a feature.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numba import njit
from torch import nn
from torch.autograd.function import once_differentiable

from hepgmm.cores import in_threads

__all__ = [
    "NARROW",
    "Dropout",
    "is_narrow",
    "narrow_attention",
]

#: Largest number of features of a head for which this is faster than torch.
NARROW = 4
#: Coefficients of 2^f = Σ f^k (ln 2)^k / k!, to 2e-7 for abs(f) ≤ 1/2.
POWERS = tuple(np.float32(math.log(2) ** k / math.factorial(k)) for k in range(7))
#: Exponents below this give the smallest normal number, not 0; a half; none; the least logit.
LEAST, HALF, ZERO, LOWEST = (np.float32(x) for x in (-126.0, 0.5, 0.0, -3e38))
#: Events that a thread takes at once.
EVENTS = 8


def is_narrow(heads, attended, dropout):
    """Whether :func:`narrow_attention` does what is asked, and faster than torch."""
    return (
        heads.requires_grad
        and heads.shape[-1] <= NARROW
        and heads.device.type == "cpu"
        and heads.dtype == torch.float32
        and attended.dtype == torch.bool
        and attended.shape[1:3] == (1, 1)
        and not dropout
        and torch.backends.cuda.flash_sdp_enabled()
        and not torch.compiler.is_compiling()
    )


def narrow_attention(heads, mask):
    """Attention, softmax(q k / √d) v, of each head; shape (n, T, H d).

    ``heads``, float32 on the CPU, are queries, keys and values, shape (n, T, 3, H, d); ``mask``,
    bool, shape (n, T), says which keys count, at least one of each event. Only the logarithm of the
    sum over keys is kept for the gradient, as in FlashAttention (arXiv:2205.14135, appendix B.4).
    """
    return _Attention.apply(heads, mask)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, heads, mask):
        n, n_tracks, _, n_heads, d = heads.shape
        heads = heads.contiguous()
        out, log_sum = torch.empty(n, n_tracks, n_heads * d), torch.empty(n, n_heads, n_tracks)
        _run(_kernels(d)[0], heads, mask, out, log_sum)
        ctx.save_for_backward(heads, mask, out, log_sum)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        heads, mask, out, log_sum = ctx.saved_tensors
        heads_gradient = torch.zeros_like(heads)
        backward = _kernels(heads.shape[-1])[1]
        _run(backward, heads, mask, out, log_sum, gradient.contiguous(), heads_gradient)
        return heads_gradient, None


def _run(kernel, *tensors):
    """Call a kernel for some events at once, in as many threads as torch uses."""
    arrays = [tensor.detach().numpy() for tensor in tensors]

    def run(tasks):
        for task in tasks:
            kernel(*(array[task * EVENTS : (task + 1) * EVENTS] for array in arrays))

    in_threads(run, -(-len(arrays[0]) // EVENTS), torch.get_num_threads())


@functools.cache
def _kernels(d):
    """Forward and backward for heads of d features, a constant that the compiler unrolls."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    log2_e = np.float32(1 / math.log(2))
    unit = np.float32(1 / math.sqrt(d))

    @njit(inline="always", **options)
    def weigh(p, q, k, shift, bits, power):
        """P becomes 2^(q·k - shift), which is 1 at most; ``power`` is ``bits`` read as floats."""
        for i in range(len(p)):
            x = -shift[i]
            for c in range(d):
                x += q[c, i] * k[c]
            x = max(x, LEAST)
            whole = np.int32(x - HALF)
            f = x - np.float32(whole)
            value = POWERS[6]
            value = POWERS[5] + f * value
            value = POWERS[4] + f * value
            value = POWERS[3] + f * value
            value = POWERS[2] + f * value
            value = POWERS[1] + f * value
            p[i] = POWERS[0] + f * value
            # The exponent of a float32 stands in its bits from the 23rd, raised by 127.
            bits[i] = np.int32((whole + np.int32(127)) << np.int32(23))
        for i in range(len(p)):
            p[i] *= power[i]

    @njit(**options)
    def forward(heads, mask, out, log_sum):
        n, n_tracks, _, n_heads, _ = heads.shape
        q, total = np.empty((d, n_tracks), np.float32), np.empty((d + 1, n_tracks), np.float32)
        top, p = np.empty(n_tracks, np.float32), np.empty(n_tracks, np.float32)
        bits = np.empty(n_tracks, np.int32)
        power = bits.view(np.float32)
        k, v = np.empty(d, np.float32), np.empty(d, np.float32)
        for event in range(n):
            for head in range(n_heads):
                total[:], top[:] = ZERO, LOWEST
                for c in range(d):
                    for i in range(n_tracks):
                        q[c, i] = heads[event, i, 0, head, c] * (unit * log2_e)
                # Once around for the largest logit of each query, once for the sums.
                for j in range(n_tracks):
                    if mask[event, j]:
                        for c in range(d):
                            k[c] = heads[event, j, 1, head, c]
                        for i in range(n_tracks):
                            logit = ZERO
                            for c in range(d):
                                logit += q[c, i] * k[c]
                            top[i] = max(top[i], logit)
                for j in range(n_tracks):
                    if mask[event, j]:
                        for c in range(d):
                            k[c], v[c] = heads[event, j, 1, head, c], heads[event, j, 2, head, c]
                        weigh(p, q, k, top, bits, power)
                        for i in range(n_tracks):
                            total[d, i] += p[i]
                            for c in range(d):
                                total[c, i] += p[i] * v[c]
                for i in range(n_tracks):
                    log_sum[event, head, i] = top[i] + np.float32(math.log2(total[d, i]))
                    for c in range(d):
                        out[event, i, head * d + c] = total[c, i] / total[d, i]

    @njit(**options)
    def backward(heads, mask, out, log_sum, gradient, heads_gradient):
        n, n_tracks, _, n_heads, _ = heads.shape
        q, g = np.empty((d, n_tracks), np.float32), np.empty((d, n_tracks), np.float32)
        q_gradient, dot = np.empty((d, n_tracks), np.float32), np.empty(n_tracks, np.float32)
        p, bits = np.empty(n_tracks, np.float32), np.empty(n_tracks, np.int32)
        power = bits.view(np.float32)
        k, v = np.empty(d, np.float32), np.empty(d, np.float32)
        for event in range(n):
            for head in range(n_heads):
                q_gradient[:], dot[:] = ZERO, ZERO
                for c in range(d):
                    for i in range(n_tracks):
                        q[c, i] = heads[event, i, 0, head, c] * (unit * log2_e)
                        g[c, i] = gradient[event, i, head * d + c]
                        dot[i] += g[c, i] * out[event, i, head * d + c]
                for j in range(n_tracks):
                    if mask[event, j]:
                        for c in range(d):
                            k[c], v[c] = heads[event, j, 1, head, c], heads[event, j, 2, head, c]
                        weigh(p, q, k, log_sum[event, head], bits, power)
                        for c in range(d):
                            sum_c = ZERO
                            for i in range(n_tracks):
                                sum_c += p[i] * g[c, i]
                            heads_gradient[event, j, 2, head, c] = sum_c
                        for i in range(n_tracks):
                            slope = -dot[i]
                            for c in range(d):
                                slope += g[c, i] * v[c]
                            p[i] *= slope
                            for c in range(d):
                                q_gradient[c, i] += p[i] * k[c]
                        for c in range(d):
                            sum_c = ZERO
                            for i in range(n_tracks):
                                sum_c += p[i] * q[c, i]
                            heads_gradient[event, j, 1, head, c] = sum_c / log2_e
                for c in range(d):
                    for i in range(n_tracks):
                        heads_gradient[event, i, 0, head, c] = q_gradient[c, i] * unit

    return forward, backward


#: How many values two bytes have.
VALUES = 1 << 16


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``, about twice as fast on a CPU.

    torch draws a random number of its own for each feature; here one of 64 bits decides on four of
    them. The probability is therefore rounded to a multiple of 1/65,536, and what is kept is
    divided by exactly the probability to be kept, so that the mean stays as it is. On other
    devices, in compiled models and outside training it is torch's.
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
