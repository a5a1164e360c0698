"""Points drawn from a Gaussian mixture with torch, on a graphics processor or not."""

from __future__ import annotations

import numpy as np
import torch

from hepgmm.mixture.gmm import GaussianMixture
from hepgmm.mixture.sampling import check_draw, cumulate

__all__ = ["sample_torch"]

#: Entries of covariance factors gathered at once: bounds the memory beside the result.
ENTRIES = 2**24


def sample_torch(mixture: GaussianMixture, n: int, *, seed, device=None, dtype=torch.float32):
    """Exactly ``n`` independent draws as a tensor: the twin of ``mixture.sample``.

    The distribution is that of :func:`hepgmm.mixture.sampling.sample_many`, the random numbers are
    others. Beside the result, about 2²⁵ numbers are held.

    Parameters
    ----------
    mixture
        What to draw from.
    n
        How many.
    seed
        An int, or a ``torch.Generator`` of the device.
    device
        Where to draw; it must know double precision. The CPU unless told.
    dtype
        ``torch.float32`` or ``torch.float64``.

    Returns
    -------
    torch.Tensor
        ``(n, d)`` of type ``dtype`` on the device.

    Raises
    ------
    ValueError
        For a bad ``n`` or ``dtype``.

    Examples
    --------
    >>> mixture = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> sample_torch(mixture, 3, seed=1).shape
    torch.Size([3, 1])
    """
    check_draw(n=n)
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype = {dtype}: give torch.float32 or torch.float64")
    device = torch.device("cpu" if device is None else device)
    rng = seed if isinstance(seed, torch.Generator) else torch.Generator(device).manual_seed(seed)
    k, d = mixture.means.shape
    edges = torch.from_numpy(cumulate(mixture.weights, np.array([0, k]))).to(device)
    means = torch.from_numpy(mixture.means).to(device, dtype)
    factors = torch.from_numpy(np.linalg.cholesky(mixture.covariances)).to(device, dtype)
    points = torch.empty((n, d), device=device, dtype=dtype)
    for part in points.split(max(1, ENTRIES // d**2)):
        # Double, so that a component of any weight has its probability.
        uniform = torch.rand(len(part), generator=rng, device=device, dtype=torch.float64)
        chosen = torch.searchsorted(edges, uniform, right=True)
        part.normal_(generator=rng)
        part.copy_(means[chosen] + (factors[chosen] * part[:, None, :]).sum(dim=2))
    return points
