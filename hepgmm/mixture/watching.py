"""One fit, watched step by step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepgmm.mixture import batches
from hepgmm.mixture.arguments import (
    MAX_ITERATIONS,
    TOLERANCE,
    check_arguments,
    check_rows,
)
from hepgmm.mixture.gmm import GaussianMixture
from hepgmm.mixture.steps import expectation, maximisation, workspace

__all__ = ["Watched", "watch"]


class Watched(NamedTuple):
    """The mixtures of one climb, from the first M step to the last.

    Attributes
    ----------
    mixtures
        ``GaussianMixture`` after every step.
    log_likelihood
        Of all points, after every step, ``(steps,)``; it never falls beyond rounding.
    """

    mixtures: list
    log_likelihood: np.ndarray


def watch(points, n_components: int, *, floors=1e-6, seed) -> Watched:
    """Fit K components to one small set by expectation-maximisation, and keep every step.

    The same steps as those of :func:`hepgmm.mixture.fit_many`, from one k-means++ seeding in units
    of the floors.

    Parameters
    ----------
    points
        ``(n, d)``.
    n_components
        K.
    floors
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
    (n, d), k = points.shape, int(candidates[0])
    scales, centre = np.sqrt(floors), points.mean(axis=0)
    space, units = workspace(n, k, d), tuple(scales.tolist())
    floor = batches.load(points, space, units)
    state = np.random.default_rng(seed).integers(2**64, size=1, dtype=np.uint64)
    batches.seed_shares(space, space.x, n, k, state, units)
    mixtures, reached = [], [-np.inf]
    for _ in range(MAX_ITERATIONS):
        maximisation(space, n, k, floor, units)
        reached.append(expectation(space, n, k, units) - n * np.log(scales).sum())
        converged = bool(reached[-1] - reached[-2] < TOLERANCE * n)
        mixture = GaussianMixture(
            space.weights / space.weights.sum(),
            space.means * scales + centre,
            space.covariances * np.outer(scales, scales),
            converged,
        )
        mixtures.append(mixture)
        if converged:
            break
    return Watched(mixtures, np.array(reached[1:]))
