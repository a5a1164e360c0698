"""Expectation-maximisation on one large set: where it starts, its steps, where it stops."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hepgmm.mixture import large_kernels as kernels
from hepgmm.mixture.arguments import MAX_ITERATIONS, ROUNDING, TOLERANCE
from hepgmm.mixture.gmm import GaussianMixture
from hepgmm.mixture.merging import merge
from hepgmm.mixture.seeding import seed_labels

__all__ = ["Fit", "PointSet", "State", "shares_of"]

#: A start has this many times as many components, which are merged after a few steps. Centres
#: alone miss small structures, and no later step brings a component across an empty region.
SURPLUS = 3
#: The number of those steps.
STEPS = 5


class State(NamedTuple):
    """A mixture in the units of a :class:`PointSet`."""

    weights: np.ndarray  # (K,)
    means: np.ndarray  # (K, d)
    covariances: np.ndarray  # (K, d, d)


class Fit(NamedTuple):
    """Where a climb ended; the log-likelihood is that of the points in their own units."""

    state: State
    log_likelihood: float
    iterations: int
    converged: bool
    floored: np.ndarray  # (K,), eigenvalues raised to the floor in the last M step


def shares_of(responsibilities) -> kernels.Shares:
    """Responsibilities ``(n, K)`` as the lists that the kernels take."""
    n, k_max = responsibilities.shape
    shares, _ = kernels.room(k_max, n, 0)
    for k, column in enumerate(responsibilities.T):
        members = np.flatnonzero(column)
        shares.count[k] = len(members)
        shares.index[k, : len(members)] = members
        shares.value[k, : len(members)] = column[members]
    return shares


class PointSet:
    """A set of points, centred and in units of the roots of its floors.

    Parameters
    ----------
    points
        ``(n, d)``.
    floors
        Smallest variance of every feature, ``(d,)``.

    Attributes
    ----------
    floor
        Smallest eigenvalue of a covariance: 1, or more where rounding asks for it.
    """

    def __init__(self, points, floors):
        self.scales, self.centre = np.sqrt(floors), points.mean(axis=0)
        self.points = points = (points - self.centre) / self.scales
        self.n, self.d = points.shape
        self.floor = max(1.0, ROUNDING * float((points**2).mean(axis=0).max()))
        self.blocks = kernels.in_blocks(points)
        self.unit = (1.0,) * self.d
        whole = (points.T @ points / self.n)[None]
        self.raise_eigenvalues(whole)
        # Seeding measures distances in units of the spread of the whole set.
        self.white = np.linalg.solve(np.linalg.cholesky(whole[0]), points.T).T.copy()

    def raise_eigenvalues(self, covariances):
        """Raise the eigenvalues below the floor to it, in place; returns how many of each.

        That is the covariance of largest likelihood among those with no eigenvalue below the
        floor, so that EM with it still climbs.
        """
        values, vectors = np.linalg.eigh(covariances)
        low = values[:, 0] < self.floor
        vectors = vectors[low] * np.sqrt(np.maximum(values[low], self.floor))[:, None, :]
        covariances[low] = vectors @ vectors.transpose(0, 2, 1)
        return (values <= self.floor).sum(axis=1)

    def maximised(self, shares) -> tuple[State, np.ndarray]:
        """M step: the mixture of largest likelihood, and how many eigenvalues were raised."""
        k = len(shares.count)
        state = State(np.empty(k), np.empty((k, self.d)), np.empty((k, self.d, self.d)))
        kernels.moments(self.points, shares, *state)
        return state, self.raise_eigenvalues(state.covariances)

    def start(self, k: int, rng) -> State:
        """A mixture to climb from: that of SURPLUS k components, after a few steps, merged."""
        seeds = min(SURPLUS * k, self.n) if k > 1 else 1
        labels = seed_labels(self.white, rng.random(seeds))
        state, _ = self.maximised(shares_of(labels[:, None] == np.arange(seeds)))
        if seeds > k:
            state = self.merged(self.climb(state, STEPS, -np.inf).state, k)
        return state

    def merged(self, state, k: int) -> State:
        """The mixture with components merged until k are left."""
        return State(*merge(*state, k, self.floor))

    def climb(self, state, steps: int = MAX_ITERATIONS, tolerance: float = TOLERANCE) -> Fit:
        """EM steps until the mean log-likelihood grows by less than the tolerance."""
        shares, terms = kernels.room(len(state.weights), self.n, self.d)
        best = np.zeros(self.n, dtype=np.int64)

        def expectation():
            kernels.factorise(*state, self.floor, terms)
            return kernels.expectation(self.blocks, terms, best, shares, self.unit)

        reached, converged, step, floored = expectation(), False, 0, None
        while step < steps and not converged:
            before, (state, floored), step = reached, self.maximised(shares), step + 1
            reached = expectation()
            converged = reached - before < tolerance * self.n
        log_likelihood = reached - self.n * np.log(self.scales).sum()
        return Fit(state, float(log_likelihood), step, converged, floored)

    def mixture(self, fit) -> GaussianMixture:
        """The mixture of a fit in the units of the points."""
        weights, means, covariances = fit.state
        return GaussianMixture(
            weights,
            means * self.scales + self.centre,
            covariances * np.outer(self.scales, self.scales),
            fit.converged,
        )
