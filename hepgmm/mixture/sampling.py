"""Points drawn from Gaussian mixtures, at little more than the cost of their random numbers."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from numba import njit

from hepgmm.cores import in_threads

__all__ = [
    "sample_many",
    "sample_torch",
]

#: Points whose random numbers a thread holds at once: few enough for a processor's cache.
CHUNK = 16384
#: Components that are faster counted one by one than bisected.
FEW = 64


def sample_many(
    weights,
    means,
    factors,
    offsets,
    counts,
    *,
    seed,
    dtype=np.float64,
    workers: int = 1,
    return_components: bool = False,
):
    """Draw ``counts[i]`` independent points from every mixture i.

    A point is x = μₖ + Lₖ z, with z standard normal and k the first component whose cumulative
    weight, w₁ + … + wₖ over their sum, exceeds a u uniform on [0, 1): k has the probability wₖ but
    for the steps of 2⁻⁵³ between the values of u, and a component of weight 0, whose interval is
    empty, is never drawn. Every 16384 points have a stream of their own, so that the result is the
    same for any ``workers``; beside it, a worker holds d + 2 numbers for each of 16384 points.

    Parameters
    ----------
    weights : array, shape (M,)
        Non-negative; every mixture's are divided by their sum.
    means
        μ, ``(M, d)``.
    factors
        L, ``(M, d, d)``, lower triangular, with covariance L Lᵀ; nothing above the diagonal is
        read. The diagonal may be negative or zero.
    offsets
        Mixture i owns the components ``offsets[i]:offsets[i + 1]``, int ``(n_mixtures + 1,)``.
    counts
        Points of every mixture, int ``(n_mixtures,)``.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    dtype
        ``float64`` or ``float32``, of the points and of z; all else is computed in double.
    workers
        Threads.
    return_components
        Whether to return the component of every point too.

    Returns
    -------
    points : array, shape (N, d)
        Of type ``dtype``, mixture after mixture.
    components : int64 array, shape (N,)
        Rows of ``means``; only with ``return_components``.

    Raises
    ------
    ValueError
        If shapes disagree, a number is negative or not finite, or a mixture with points has no
        weight; the argument is named.

    Examples
    --------
    >>> means, factors = [[0.0], [5.0], [9.0]], np.zeros((3, 1, 1))
    >>> points, components = sample_many(
    ...     [1.0, 0.0, 1.0], means, factors, [0, 2, 3], [2, 1], seed=1,
    ...     return_components=True,
    ... )
    >>> points.tolist(), components.tolist()
    ([[0.0], [0.0], [9.0]], [0, 0, 2])
    """
    check_draw(dtype=dtype, workers=workers)
    mixtures = _checked(weights, means, factors, offsets)
    starts = _checked_starts(counts, mixtures)
    n, d = int(starts[-1]), mixtures.means.shape[1]
    root = seed_sequence(seed)
    points = np.empty((n, d), dtype=dtype)
    components = np.empty(n if return_components else 0, dtype=np.int64)

    def run(chunks):
        scratch = make_scratch(d, dtype)
        for chunk in chunks:
            part = slice(chunk * CHUNK, min((chunk + 1) * CHUNK, n))
            chosen = components[part] if return_components else scratch.chosen
            rng = generator(root, chunk)
            fill(points[part].T, chosen, part.start, mixtures, starts, rng, scratch)

    in_threads(run, -(-n // CHUNK), workers)
    return (points, components) if return_components else points


class Mixtures(NamedTuple):
    """Mixtures ready to be drawn from; mixture i owns ``offsets[i]:offsets[i + 1]``."""

    edges: np.ndarray  # (M,), cumulative weights of every mixture, the last of each exactly 1
    means: np.ndarray  # (M, d)
    factors: np.ndarray  # (M, d, d), lower triangular
    offsets: np.ndarray  # (n_mixtures + 1,)


class Scratch(NamedTuple):
    """Memory of one thread: normals ``(CHUNK, d)``, uniforms and components ``(CHUNK,)``."""

    normal: np.ndarray
    uniform: np.ndarray
    chosen: np.ndarray


def prepare(weights, means, factors, offsets) -> Mixtures:
    """Return mixtures, as :func:`sample_many` takes them, ready to be drawn from."""
    means, factors = np.ascontiguousarray(means), np.ascontiguousarray(factors)
    return Mixtures(cumulate(weights, offsets), means, factors, offsets)


def make_scratch(n_features: int, dtype) -> Scratch:
    """Return the memory that a thread needs for :func:`fill`."""
    return Scratch(
        np.empty((CHUNK, n_features), dtype=dtype), np.empty(CHUNK), np.empty(CHUNK, dtype=np.int64)
    )


def seed_sequence(seed) -> np.random.SeedSequence:
    """Root of the streams of one draw; a Generator given as seed moves on."""
    return np.random.SeedSequence(np.random.default_rng(seed).integers(2**63, size=2).tolist())


def generator(root: np.random.SeedSequence, *key: int) -> np.random.Generator:
    """Return the stream of a key, in the fastest of NumPy's generators of normals."""
    child = np.random.SeedSequence(root.entropy, spawn_key=key)
    return np.random.Generator(np.random.SFC64(child))


def fill(points, chosen, begin, mixtures, starts, rng, scratch) -> None:
    """Draw at most ``CHUNK`` points, from number ``begin`` on, into ``points`` ``(d, n)``.

    Their components go to ``chosen``, ``(n,)`` or longer; mixture i owns the points number
    ``starts[i]:starts[i + 1]``.
    """
    n, d = points.shape[1], points.shape[0]
    normal, uniform = scratch.normal[:n], scratch.uniform[:n]
    rng.standard_normal(out=normal, dtype=normal.dtype)
    rng.random(out=uniform)
    choose(chosen, begin, uniform, mixtures, starts)
    place(points, chosen, normal, mixtures, tuple(range(d)))


@njit(nogil=True, cache=True, error_model="numpy")
def cumulate(weights, offsets):
    """Cumulative weights of every mixture, divided by their sum (NaN if that is 0)."""
    edges = np.empty(len(weights))
    for mixture in range(len(offsets) - 1):
        total = 0.0
        for k in range(offsets[mixture], offsets[mixture + 1]):
            total += weights[k]
            edges[k] = total
        # Components of weight 0 keep the edge of those before, and the last edge is exactly 1.
        for k in range(offsets[mixture], offsets[mixture + 1]):
            edges[k] /= total
    return edges


@njit(nogil=True, cache=True)
def choose(chosen, begin, uniform, mixtures, starts):
    """Component of every point: the first whose edge exceeds its uniform number.

    All points of a mixture take a step together, by vector instructions: one point's steps would
    wait for each other, and for branches that no processor can foretell.
    """
    end = begin + len(uniform)
    mixture = np.searchsorted(starts, begin, side="right") - 1
    while mixture < len(starts) - 1 and starts[mixture] < end:
        part = slice(max(starts[mixture], begin) - begin, min(starts[mixture + 1], end) - begin)
        first, last = mixtures.offsets[mixture], mixtures.offsets[mixture + 1]
        own, numbers, edges = chosen[part], uniform[part], mixtures.edges[first:last]
        own[:] = first
        if last - first <= FEW:
            for edge in edges[:-1]:
                for i in range(len(own)):
                    own[i] += edge <= numbers[i]
        else:
            bisect(own, numbers, edges, first)
        mixture += 1


@njit(nogil=True, cache=True)
def bisect(chosen, uniform, edges, first):
    """Add the number of edges that do not exceed a uniform number, but the last, to ``first``."""
    left = len(edges)
    while left > 1:
        half = left // 2
        for i in range(len(chosen)):
            chosen[i] += half * (edges[chosen[i] - first + half - 1] <= uniform[i])
        left -= half


@njit(nogil=True, cache=True, fastmath={"contract"})
def place(points, chosen, normal, mixtures, axes):
    """Put the points at μₖ + Lₖ z; ``axes`` is 0, …, d - 1, a tuple so that loops unroll."""
    for i in range(len(normal)):
        k = chosen[i]
        for j in range(len(axes)):
            coordinate = mixtures.means[k, j]
            for m in range(j + 1):
                coordinate += mixtures.factors[k, j, m] * normal[i, m]
            points[j, i] = coordinate


def check_draw(*, dtype=np.float64, workers=1, **sizes) -> None:
    """Refuse other types than float32 and float64, no worker, and sizes that aren't numbers."""
    if dtype not in (np.float32, np.float64, "float32", "float64"):
        raise ValueError(f"dtype = {dtype!r}: give float32 or float64")
    if not isinstance(workers, Integral) or workers < 1:
        raise ValueError(f"workers = {workers!r}: give at least 1")
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < 0:
            raise ValueError(f"{name} = {size!r}: give a whole number, 0 or more")


def _checked(weights, means, factors, offsets) -> Mixtures:
    weights, means, factors = (
        np.asarray(array, dtype=np.float64) for array in (weights, means, factors)
    )
    m, d = means.shape if means.ndim == 2 else (-1, -1)
    if weights.shape != (m,) or factors.shape != (m, d, d):
        raise ValueError(
            "weights, means, factors: expected shapes (M,), (M, d), (M, d, d), got "
            f"{weights.shape}, {means.shape}, {factors.shape}"
        )
    for name, array in (("weights", weights), ("means", means), ("factors", factors)):
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: every number must be finite")
    if (weights < 0).any():
        raise ValueError(f"weights: {weights.min():.3g} is negative")
    offsets = np.asarray(offsets)
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1 or not len(offsets):
        raise ValueError(
            "offsets: expected one dimension of integers, "
            f"got {offsets.dtype} of shape {offsets.shape}"
        )
    offsets = offsets.astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != m or (np.diff(offsets) < 0).any():
        raise ValueError(f"offsets: they must rise from 0 to the number of components, {m}")
    return prepare(weights, means, factors, offsets)


def _checked_starts(counts, mixtures):
    """Offsets of the points of the mixtures."""
    counts, n_mixtures = np.asarray(counts), len(mixtures.offsets) - 1
    if counts.dtype.kind not in "iu" or counts.shape != (n_mixtures,):
        raise ValueError(
            f"counts: expected {n_mixtures} integers as offsets tell, "
            f"got {counts.dtype} of shape {counts.shape}"
        )
    if (counts < 0).any():
        raise ValueError(f"counts: {counts.min()} is negative")
    drawn = np.flatnonzero(counts)
    last = mixtures.offsets[1:][drawn] - 1
    empty = (last < mixtures.offsets[:-1][drawn]) | np.isnan(mixtures.edges[last])
    if empty.any():
        raise ValueError(f"weights: mixture {drawn[np.argmax(empty)]} has points but no weight")
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


#: Entries of covariance factors gathered at once: bounds the memory beside the result.
ENTRIES = 2**24


def sample_torch(mixture, n: int, *, seed, device=None, dtype=None):
    """Exactly ``n`` independent draws as a tensor: the twin of ``mixture.sample``.

    The distribution is that of :func:`hepgmm.mixture.sampling.sample_many`, the random numbers are
    others. Beside the result, about 2²⁵ numbers are held.

    Parameters
    ----------
    mixture
        The :class:`~hepgmm.mixture.GaussianMixture` to draw from.
    n
        How many.
    seed
        An int, or a ``torch.Generator`` of the device.
    device
        Where to draw; it must know double precision. The CPU unless told.
    dtype
        ``torch.float32``, as when it is not given, or ``torch.float64``.

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
    >>> from hepgmm.mixture import GaussianMixture
    >>> mixture = GaussianMixture([0.5, 0.5], [[-1.0], [1.0]], [[[1.0]], [[1.0]]])
    >>> sample_torch(mixture, 3, seed=1).shape
    torch.Size([3, 1])
    """
    import torch

    check_draw(n=n)
    dtype = torch.float32 if dtype is None else dtype
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
