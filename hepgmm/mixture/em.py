"""Expectation-maximisation in plain steps, and what every fit of a mixture shares.

The other fits of this folder do the same steps for thousands of small sets, or for one large one,
in compiled code: ``small_kernels`` and ``large_kernels``.
"""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp

from hepgmm.mixture.gaussian import GaussianMixture

__all__ = [
    "CRITERIA",
    "EMPTY",
    "MAX_ITERATIONS",
    "ROUNDING",
    "TOLERANCE",
    "Watched",
    "check_arguments",
    "check_candidates",
    "check_offsets",
    "check_rows",
    "e_step",
    "m_step",
    "seed_responsibilities",
    "start_streams",
    "watch",
]

#: EM stops when the mean log-likelihood grows by less than this in one iteration.
TOLERANCE = 1e-3
#: EM stops after this many iterations in any case (and counts as not converged).
MAX_ITERATIONS = 200
#: Double precision knows a covariance to about this fraction of the largest variance of the set
#: (a component of a few points can be some hundred times wider than the set).
ROUNDING = 1024 * float(np.finfo(np.float64).eps)
#: Share in all points below which a component is empty: K may exceed the number of places.
EMPTY = 1e-300
#: Values above this many roots of their floor are refused: Jacobi's rotations need fourth powers.
LARGEST = 1e70
#: What a criterion adds to -2 log L, from the free parameters and the number of points.
CRITERIA = {
    "bic": lambda parameters, n: parameters * np.log(n),
    "aic": lambda parameters, n: 2.0 * parameters * np.ones_like(n),
}


def e_step(points, weights, means, covariances):
    """Responsibilities r_ik = wₖ N(xᵢ | μₖ, Σₖ) / p(xᵢ) and the log-likelihood Σᵢ log p(xᵢ).

    Parameters
    ----------
    points : array, shape (n, d)
    weights, means, covariances : array, shape (K,), (K, d), (K, d, d)

    Returns
    -------
    responsibilities : array, shape (n, K)
    log_likelihood : float

    References
    ----------
    C. M. Bishop, *Pattern Recognition and Machine Learning* (2006), equations 9.23 and 9.28.
    """
    log_prob = np.empty((len(points), len(weights)))
    for k, (weight, mean, covariance) in enumerate(zip(weights, means, covariances, strict=True)):
        factor = np.linalg.cholesky(covariance)
        whitened = np.linalg.solve(factor, (points - mean).T)  # |L⁻¹ (x - μ)|² is Mahalanobis'
        log_det = 2 * np.log(np.diagonal(factor)).sum()
        constant = len(mean) * np.log(2 * np.pi) + log_det
        log_prob[:, k] = np.log(weight) - 0.5 * (constant + (whitened**2).sum(axis=0))
    total = logsumexp(log_prob, axis=1, keepdims=True)
    return np.exp(log_prob - total), float(total.sum())


def m_step(points, responsibilities, floors):
    """Weights, means and covariances of largest likelihood, given the responsibilities.

    They are averages of the points, weighted with the responsibilities. No direction of a
    covariance, in units of the roots of the floors, has a variance below 1: raising the eigenvalues
    to it gives the covariance of largest likelihood among those.

    Parameters
    ----------
    points : array, shape (n, d)
    responsibilities : array, shape (n, K)
    floors : array, shape (d,)
        Least variance of each feature.

    Returns
    -------
    weights, means, covariances : array, shape (K,), (K, d), (K, d, d)

    References
    ----------
    Bishop (2006), equations 9.24 to 9.26.
    """
    roots, totals = np.sqrt(floors), np.maximum(responsibilities.sum(axis=0), EMPTY)
    means = responsibilities.T @ points / totals[:, None]
    covariances = []
    for shares, total, mean in zip(responsibilities.T, totals, means, strict=True):
        centred = (points - mean) / roots
        values, vectors = np.linalg.eigh((shares[:, None] * centred).T @ centred / total)
        scaled = (vectors * np.maximum(values, 1.0)) @ vectors.T
        covariances.append(scaled * np.outer(roots, roots))
    return totals / len(points), means, np.array(covariances)


def seed_responsibilities(points, n_components, floors, rng):
    """Each point to the nearest of K centres, chosen far apart by k-means++, ``(n, K)``.

    Distances are in units of the roots of the floors (Arthur, Vassilvitskii, SODA 2007).
    """
    scaled = points / np.sqrt(floors)
    distances = np.empty((len(points), n_components))
    for k in range(n_components):
        chances = distances[:, :k].min(axis=1) if k else np.ones(len(points))
        if not chances.any():  # every point lies on a centre
            chances = np.ones(len(points))
        centre = rng.choice(len(points), p=chances / chances.sum())
        distances[:, k] = ((scaled - scaled[centre]) ** 2).sum(axis=1)
    return np.eye(n_components)[distances.argmin(axis=1)]


class Watched(NamedTuple):
    """The mixtures of one climb, from the first M step to the last.

    Attributes
    ----------
    mixtures : list of GaussianMixture
        After every step.
    log_likelihood : array, shape (steps,)
        Of all points, after every step; it never falls beyond rounding.
    """

    mixtures: list
    log_likelihood: np.ndarray


def watch(points, n_components: int, *, floors=1e-6, seed) -> Watched:
    """Fit K components to one small set by expectation-maximisation, and keep every step.

    The steps of :func:`hepgmm.mixture.fit_many`, a page of numpy instead of compiled code, from one
    k-means++ seeding in units of the floors: :func:`m_step` and :func:`e_step` in turn, until the
    log-likelihood grows by less than 0.001 a point.

    Parameters
    ----------
    points : array, shape (n, d)
    n_components : int
        K.
    floors : float or array, shape (d,)
        As in :func:`hepgmm.mixture.fit_many`.
    seed
        Anything that ``numpy.random.default_rng`` takes.

    Returns
    -------
    Watched

    Raises
    ------
    ValueError
        As :func:`hepgmm.mixture.fit_many` does.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(60, 2))
    >>> climb = watch(points, 2, seed=1)
    >>> len(climb.mixtures) == len(climb.log_likelihood) > 2
    True
    >>> bool((np.diff(climb.log_likelihood) >= 0).all())
    True
    """
    points, candidates, floors = check_arguments(points, n_components, 1, floors, "bic", 1)
    if len(candidates) > 1:
        raise ValueError(f"n_components = {candidates.tolist()}: give one number")
    check_rows(points, candidates)
    widest = (points.var(axis=0) / floors).max()
    floors = floors * max(1.0, ROUNDING * widest)
    rng = np.random.default_rng(seed)
    responsibilities = seed_responsibilities(points, int(candidates[0]), floors, rng)
    mixtures, reached, converged = [], [-np.inf], False
    while not converged and len(mixtures) < MAX_ITERATIONS:
        parameters = m_step(points, responsibilities, floors)
        responsibilities, log_likelihood = e_step(points, *parameters)
        converged = log_likelihood - reached[-1] < TOLERANCE * len(points)
        mixtures.append(GaussianMixture(*parameters, converged))
        reached.append(log_likelihood)
    return Watched(mixtures, np.array(reached[1:]))


def check_arguments(points, n_components, n_init, floors, criterion, workers):
    """Return points ``(n, d)``, rising candidates and floors ``(d,)``; name a bad argument."""
    points = _numbers(points, "points")
    if points.ndim != 2 or points.shape[1] < 1:
        raise ValueError(f"points: expected shape (n, d), got {points.shape}")
    candidates = check_candidates(n_components).astype(np.int64)
    for name, value in (("n_init", n_init), ("workers", workers)):
        if not isinstance(value, Integral) or value < 1:
            raise ValueError(f"{name} = {value}: give a whole number of at least 1")
    floors = _numbers(floors, "floors")
    if floors.shape not in ((), (points.shape[1],)):
        raise ValueError(
            f"floors: give one number or one for each of the {points.shape[1]} features, "
            f"got shape {floors.shape}"
        )
    if not (np.isfinite(floors) & (floors > 0)).all():
        raise ValueError(f"floors = {floors.tolist()}: give positive numbers")
    too_large = np.isfinite(points) & (np.abs(points) > LARGEST * np.sqrt(floors))
    if too_large.any():
        row, feature = np.argwhere(too_large)[0]
        raise ValueError(
            f"points: row {row} holds {points[row, feature]:.3g}, too large for a floor of "
            f"{np.broadcast_to(floors, points.shape[1:])[feature]:.3g}"
        )
    if criterion not in CRITERIA:
        raise ValueError(f"criterion = {criterion!r}: choose one of {', '.join(CRITERIA)}")
    return points, candidates, np.broadcast_to(floors, points.shape[1:])


def check_rows(points, candidates):
    """Refuse fewer points than the smallest candidate or than 2, and values not finite."""
    needed = max(2, int(candidates[0]))
    if len(points) < needed:
        raise ValueError(f"points: got {len(points)}, but at least {needed} are needed")
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        raise ValueError(f"points: row {int(np.argmax(bad))} holds a NaN or infinite value")


def check_candidates(candidates, name: str = "n_components"):
    """Return numbers of components (or the only one) in rising order, or refuse them."""
    found = np.unique(candidates if np.iterable(candidates) else [candidates])
    if not len(found) or found.dtype.kind not in "iu" or found[0] < 1:
        raise ValueError(f"{name}: give positive whole numbers, got {found.tolist()[:5]}")
    return found


def check_offsets(points, offsets, candidates):
    """Refuse offsets that don't divide the points, events too small, and values not finite."""
    if offsets.dtype.kind not in "iu" or offsets.ndim != 1:
        raise ValueError(
            "offsets: expected one dimension of integers, "
            f"got {offsets.dtype} of shape {offsets.shape}"
        )
    counts = np.diff(offsets.astype(np.int64))
    if len(offsets) < 2 or offsets[0] != 0 or offsets[-1] != len(points) or (counts < 0).any():
        raise ValueError(
            f"offsets: they must rise from 0 to the number of points, {len(points)}, "
            f"got {offsets[:3].tolist()} … {offsets[-3:].tolist()}"
        )
    needed = max(2, int(candidates[0]))
    if (counts < needed).any():
        event = int(np.argmax(counts < needed))
        raise ValueError(
            f"points: event {event} has {counts[event]}, but at least {needed} are needed"
        )
    bad = ~np.isfinite(points).all(axis=1)
    if bad.any():
        event = int(np.searchsorted(offsets, np.argmax(bad), side="right")) - 1
        raise ValueError(f"points: event {event} holds a NaN or infinite value")


def start_streams(seed, candidates, n_init: int):
    """SeedSequences ``[candidate][start]``, which depend on K and the number of the start alone.

    So a candidate's first starts are the same whatever the other candidates are and however many
    starts there are.
    """
    entropy = int(np.random.default_rng(seed).integers(2**63))
    return [
        [np.random.SeedSequence(entropy, spawn_key=(int(k), start)) for start in range(n_init)]
        for k in candidates
    ]


def _numbers(values, name):
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected numbers in one array") from None
