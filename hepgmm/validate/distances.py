"""Distances between two samples of features: Wasserstein, Fréchet and kernel."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from hepgmm.statistics import bootstrap_error

__all__ = ["frechet_distance", "gaussian_distance", "kernel_distance", "weighted_wasserstein"]

#: Fewest rows of a sample.
MIN_ROWS = 50
#: Sizes of the subsamples of the Fréchet distance, from a fraction of the sample to all of it.
SMALLEST, SIZES, DRAWS = 0.4, 10, 20
#: Subsamples of the kernel distance, and the largest.
BATCHES, BATCH = 10, 5000


def weighted_wasserstein(values, synthetic):
    """First Wasserstein distances ∫ |F(t) − G(t)| dt, shape (d,), as a function of row weights."""
    order = np.argsort(values, axis=0, kind="stable")
    gaps = np.diff(np.take_along_axis(values, order, 0), axis=0)

    def statistic(weights):
        real, other = np.where(synthetic, 0, weights), np.where(synthetic, weights, 0)
        density = real / real.sum() - other / other.sum()
        return (np.abs(np.cumsum(density[order], axis=0)[:-1]) * gaps).sum(0)

    return statistic


def gaussian_distance(mean, covariance, other_mean, other_covariance) -> float:
    """Squared Fréchet distance of two Gaussians, |μ - ν|² + Tr(Σ + T - 2 (Σ T)^½).

    Dowson, Landau, J. Multivariate Anal. 12 (1982) 450.
    """
    covariance, other_covariance = np.asarray(covariance), np.asarray(other_covariance)
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    # Σ^½ T Σ^½ is symmetric and has the eigenvalues of Σ T.
    products = np.linalg.eigvalsh(root @ other_covariance @ root)
    cross = np.sqrt(np.maximum(products, 0)).sum()
    shift = np.subtract(mean, other_mean)
    return float(shift @ shift + np.trace(covariance + other_covariance) - 2 * cross)


def frechet_distance(real, synthetic, *, sources=None, seed, n_bootstrap: int = 50) -> dict:
    """Fréchet physics distance (FPD): that of Gaussians with the moments of two samples.

    Every feature counts in units of its largest absolute real value. The distance of finite samples
    is too large by a term that falls as 1/n: the value is the intercept of a straight line
    c + b/n, with c and b not negative, through its means over random subsamples of ten sizes n.

    Parameters
    ----------
    real, synthetic : array, shape (n, d)
        At least 50 rows each.
    sources : array of int, shape (n_synthetic,), optional
        Synthetic events with the same number fluctuate together in the bootstrap: 0, 1, 2 and so
        on. The extrapolation takes events as independent all the same.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    n_bootstrap
        Bootstrap samples for the error.

    Returns
    -------
    dict
        ``value``, and ``error``: standard deviation of the distance of whole samples over the
        bootstrap, which near 0 is more than the value varies.

    Raises
    ------
    ValueError
        For too few rows, other features, or values that aren't finite.

    References
    ----------
    Kansal et al., Phys. Rev. D 107 (2023) 076017, arXiv:2211.10295; the extrapolation is that of
    Chong, Forsyth, CVPR 2020, 6070. There the subsamples have 20,000 to 50,000 rows;
    here they have two fifths to all of the smaller sample.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> near, far = rng.normal(size=(2, 500, 1)) + np.array([[[0.0]], [[1.0]]])
    >>> frechet_distance(near, far, seed=1)["value"] > 0.05
    True
    """
    real, synthetic = _checked(real, synthetic)
    rng, smallest = np.random.default_rng(seed), min(len(real), len(synthetic))
    sizes = np.rint(1 / np.linspace(1 / (SMALLEST * smallest), 1 / smallest, SIZES)).astype(int)
    means = [
        np.mean(
            [
                _moments_distance(*(_some(x, n, rng) for x in (real, synthetic)))
                for _ in range(DRAWS)
            ]
        )
        for n in sizes
    ]
    line, _ = nnls(np.stack([np.ones(SIZES), smallest / sizes], axis=1), np.array(means))
    both, n_real = np.concatenate([real, synthetic]), len(real)
    unit = np.arange(len(both))
    if sources is not None:
        unit[n_real:] = n_real + sources

    def statistic(weights):
        rows = np.repeat(np.arange(len(both)), weights[unit].astype(int))
        return _moments_distance(both[rows[rows < n_real]], both[rows[rows >= n_real]])

    error = bootstrap_error(statistic, unit.max() + 1, n_bootstrap=n_bootstrap, seed=seed)
    return {"value": float(line[0]), "error": float(error)}


def kernel_distance(real, synthetic, *, seed) -> dict:
    """Kernel physics distance (KPD): squared maximum mean discrepancy with k = (xᵀy / d + 1)⁴.

    Every feature counts in units of its largest absolute real value. The estimate is the unbiased
    one, so that it can be negative; the value is its median over ten random subsamples.

    Parameters
    ----------
    real, synthetic : array, shape (n, d)
        At least 50 rows each. Subsamples have half of the smaller sample, at most 5000 rows.
    seed
        Anything that ``numpy.random.default_rng`` takes.

    Returns
    -------
    dict
        ``value``, and ``error``: half the range of the middle 68% of the subsamples.

    Raises
    ------
    ValueError
        For too few rows, other features, or values that aren't finite.

    References
    ----------
    Kansal et al., Phys. Rev. D 107 (2023) 076017, arXiv:2211.10295; Gretton et al., JMLR 13 (2012)
    723, equation 3.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> near, far = rng.normal(size=(2, 500, 1)) + np.array([[[0.0]], [[1.0]]])
    >>> kernel_distance(near, far, seed=1)["value"] > 0.05
    True
    """
    real, synthetic = _checked(real, synthetic)
    rng, size = np.random.default_rng(seed), min(BATCH, len(real) // 2, len(synthetic) // 2)
    values = [
        discrepancy(*(_some(x, size, rng) for x in (real, synthetic))) for _ in range(BATCHES)
    ]
    low, high = np.quantile(values, [0.16, 0.84])
    return {"value": float(np.median(values)), "error": float(high - low) / 2}


def discrepancy(x, y) -> float:
    """Unbiased squared maximum mean discrepancy of two samples, shape (n, d)."""

    def mean_kernel(a, b, same):
        kernel = (a @ b.T / a.shape[1] + 1) ** 4
        if same:
            return (kernel.sum() - np.trace(kernel)) / (len(a) * (len(a) - 1))
        return kernel.mean()

    return float(mean_kernel(x, x, True) + mean_kernel(y, y, True) - 2 * mean_kernel(x, y, False))


def _checked(real, synthetic):
    """Both samples in units of the largest absolute real values, or an error."""
    samples = {
        "real": np.asarray(real, dtype=float),
        "synthetic": np.asarray(synthetic, dtype=float),
    }
    for name, sample in samples.items():
        if sample.ndim != 2 or len(sample) < MIN_ROWS:
            raise ValueError(
                f"{name}: expected at least {MIN_ROWS} rows of features, got shape {sample.shape}"
            )
        if not np.isfinite(sample).all():
            row = int(np.argmin(np.isfinite(sample).all(axis=1)))
            raise ValueError(f"{name}: row {row} holds a NaN or infinite value")
    real, synthetic = samples.values()
    if real.shape[1] != synthetic.shape[1]:
        raise ValueError(
            f"synthetic: {synthetic.shape[1]} features, but the real sample has {real.shape[1]}"
        )
    largest = np.abs(real).max(axis=0)
    scale = np.where(largest > 0, largest, 1.0)
    return real / scale, synthetic / scale


def _some(sample, n, rng):
    return sample[rng.permutation(len(sample))[:n]]


def _moments_distance(x, y):
    return gaussian_distance(
        x.mean(axis=0),
        np.cov(x, rowvar=False).reshape(x.shape[1], -1),
        y.mean(axis=0),
        np.cov(y, rowvar=False).reshape(y.shape[1], -1),
    )
