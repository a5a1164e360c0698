"""One large set of points: mixtures with every number of components, or with those that matter."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from hepgmm.mixture import large_kernels as kernels
from hepgmm.mixture.em import (
    CRITERIA,
    MAX_ITERATIONS,
    ROUNDING,
    TOLERANCE,
    check_arguments,
    check_rows,
    start_streams,
)
from hepgmm.mixture.gaussian import GaussianMixture, count_parameters
from hepgmm.mixture.large_kernels import merge, seed_labels

__all__ = [
    "SEARCHES",
    "Fit",
    "MixtureScan",
    "PointSet",
    "State",
    "fit_one",
    "shares_of",
]

SEARCHES = ("coarse", "exhaustive")
#: From one number of components of a coarse search to the next.
STRIDE = 0.5


class MixtureScan(NamedTuple):
    """The best mixture of a set of points and what was tried to find it.

    Attributes
    ----------
    mixture
        The :class:`~hepgmm.mixture.gaussian.GaussianMixture` of the lowest criterion.
    candidates
        The numbers of components K, rising, int64 ``(n_candidates,)``; none is above n.
    criterion
        BIC or AIC of every start, ``(n_candidates, n_init)``, NaN where there was no fit.
    log_likelihood
        Of the same shape.
    iterations
        EM steps of the fit, of the same shape, 0 where there was none.
    converged
        Whether they were enough, of the same shape, False where there was none.
    floors : array, shape (d,)
        The floors of the variances, which are those asked for, or all of them raised by
        one factor where double precision asks for it.
    floored : int64 array, shape (K,)
        How many directions of each component have the floor as their variance.
    """

    mixture: GaussianMixture
    candidates: np.ndarray
    criterion: np.ndarray
    log_likelihood: np.ndarray
    iterations: np.ndarray
    converged: np.ndarray
    floors: np.ndarray
    floored: np.ndarray

    def best(self):
        """K that were fitted, the lowest criterion of each and its spread over the starts.

        Returns
        -------
        n_components : int64 array, shape (m,)
        lowest : array, shape (m,)
        spread : array, shape (m,)
            Standard deviation over the starts, √(Σₛ (cₛ - c̄)² / (n_init - 1)); NaN with
            one start. It is the error of one start, from where EM happens to end, and not a
            statistical one from the sample.
        """
        fitted = np.isfinite(self.criterion).all(axis=1)
        values = self.criterion[fitted]
        starts = values.shape[1]
        spread = values.std(axis=1, ddof=1) if starts > 1 else np.full(len(values), np.nan)
        return self.candidates[fitted], values.min(axis=1), spread


def fit_one(
    points,
    n_components: Iterable[int] | int = range(1, 101),
    *,
    n_init: int = 3,
    floors=1e-6,
    criterion: str = "bic",
    search: str = "coarse",
    seed,
    workers: int = 1,
    progress: bool = False,
) -> MixtureScan:
    """Fit a full-covariance mixture to one set of points, with K by BIC = k log n - 2 log L̂.

    k = K d + K d (d + 1) / 2 + K - 1 counts the parameters of a mixture without floors, those of
    directions that a floor holds included, and n the points. L̂ is the largest likelihood that EM
    finds among mixtures whose covariances obey Σ ≥ diag(floors): uᵀ Σ u ≥ uᵀ diag(floors) u for
    every direction u. No step lowers it beyond rounding. Every fit runs until the mean
    log-likelihood grows by less than 1e-3 in a step, or for 200 steps.

    The exhaustive search starts every K afresh, ``n_init`` times. The coarse one makes ``n_init``
    chains from starts of their own: each begins with the largest K, and goes on to ever smaller
    ones by merging components and fitting again. Around the best K of all chains it then halves
    the gaps in the same way, until that K and both its neighbours are fitted in every chain.
    Merging from above often ends in higher likelihoods than starting afresh, for components are
    already where the small structures are. But the search follows one valley of the criterion; a
    better K beyond a ridge is not found.

    A fit holds 12 bytes for each point and component, a start three times as much.

    Neither the order of the points nor ``workers`` changes anything, nor, with the floors scaled
    alike, do the units of the features.

    Parameters
    ----------
    points : array, shape (n, d)
        Computed with in double precision.
    n_components : int or iterable of int
        Candidate numbers of components, or the only one; those above n are left out.
    n_init : int
        Starts of every fit, or chains.
    floors : float or array, shape (d,)
        Smallest variance: one number, or one for each feature, in squared units of the features.
    criterion : str
        ``"bic"`` or ``"aic"`` = 2 k - 2 log L̂.
    search : str
        ``"coarse"`` or ``"exhaustive"``.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    workers : int
        Threads.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    MixtureScan

    Raises
    ------
    ValueError
        For bad arguments, fewer points than the smallest candidate or than 2, or a value that
        isn't finite.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, Maximum likelihood from incomplete data via the EM
    algorithm, Journal of the Royal Statistical Society B 39 (1977) 1.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(0, 1, (50, 1))
    >>> points = np.concatenate([points, points + 9])
    >>> scan = fit_one(points, range(1, 6), seed=1)
    >>> scan.mixture.n_components, scan.criterion.shape
    (2, (5, 3))
    """
    points, candidates, floors = check_arguments(
        points, n_components, n_init, floors, criterion, workers
    )
    if search not in SEARCHES:
        raise ValueError(f"search = {search!r}: choose one of {', '.join(SEARCHES)}")
    check_rows(points, candidates)
    candidates = candidates[candidates <= len(points)]
    # One order of the points, whatever theirs: sums round alike and starts are the same.
    points = points[np.lexsort(points.T[::-1])]
    penalties = CRITERIA[criterion](count_parameters(candidates, points.shape[1]), len(points))
    streams = start_streams(seed, candidates, n_init)
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(workers) as pool,
        tqdm(desc="mixtures", unit="fit", disable=not progress) as bar,
    ):
        scan = _Scan(PointSet(points, floors), candidates, penalties, n_init, pool, bar)
        if search == "coarse":
            scan.descend(streams[-1])
        else:
            scan.exhaust(streams)
    return scan.report(floors)


class _Scan:
    """The fits so far: ``fits[s][c]`` is that of candidate c in start or chain s."""

    def __init__(self, points, candidates, penalties, n_init, pool, bar):
        self.points, self.candidates, self.penalties = points, candidates, penalties
        self.fits = [{} for _ in range(n_init)]
        self.pool, self.bar = pool, bar

    def exhaust(self, streams):
        """Every candidate afresh with every one of its streams of random numbers."""

        def run(task):
            start, column = task
            self.fits[start][column] = self._afresh(column, streams[column][start])

        # The largest first: the scan doesn't end with one thread at the slowest fit.
        columns = range(len(self.candidates))[::-1]
        list(self.pool.map(run, [(s, c) for c in columns for s in range(len(self.fits))]))

    def descend(self, streams):
        """Chains from the largest candidate to the smallest, then to all gaps around the best."""
        columns = strides(self.candidates)

        def run(chain):
            self.fits[chain][columns[0]] = self._afresh(columns[0], streams[chain])
            self._fill(chain, columns[1:])

        list(self.pool.map(run, range(len(streams))))
        while missing := self._missing():
            list(self.pool.map(lambda chain: self._fill(chain, missing), range(len(streams))))

    def _afresh(self, column, stream):
        rng = np.random.default_rng(stream)
        fit = self.points.climb(self.points.start(int(self.candidates[column]), rng))
        self.bar.update()
        return fit

    def _fill(self, chain, columns):
        """Candidates by merging components of the next larger one of the chain."""
        fits = self.fits[chain]
        for column in columns:
            above = fits[min(c for c in fits if c > column)].state
            fits[column] = self.points.climb(
                self.points.merged(above, int(self.candidates[column]))
            )
            self.bar.update()

    def _missing(self):
        """The middles of the gaps on both sides of the best candidate, the larger one first."""
        best, fitted = self._best()[1], sorted(self.fits[0])
        position = fitted.index(best)
        sides = fitted[position + 1 : position + 2] + fitted[max(position - 1, 0) : position]
        return [(best + side) // 2 for side in sides if abs(best - side) > 1]

    def _criterion(self, start, column):
        return self.penalties[column] - 2 * self.fits[start][column].log_likelihood

    def _best(self):
        """Start and column of the lowest criterion."""
        pairs = [(start, column) for start, fits in enumerate(self.fits) for column in fits]
        return min(pairs, key=lambda pair: (self._criterion(*pair), pair))

    def report(self, floors) -> MixtureScan:
        shape = len(self.candidates), len(self.fits)
        criterion, log_likelihood = np.full(shape, np.nan), np.full(shape, np.nan)
        iterations, converged = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=bool)
        for start, fits in enumerate(self.fits):
            for column, fit in fits.items():
                criterion[column, start] = self._criterion(start, column)
                log_likelihood[column, start] = fit.log_likelihood
                iterations[column, start] = fit.iterations
                converged[column, start] = fit.converged
        start, column = self._best()
        fit, floor = self.fits[start][column], self.points.floor
        return MixtureScan(
            mixture=self.points.mixture(fit),
            candidates=self.candidates,
            criterion=criterion,
            log_likelihood=log_likelihood,
            iterations=iterations,
            converged=converged,
            floors=floor * floors,
            floored=fit.floored,
        )


def strides(candidates):
    """Columns of a coarse search, from the largest candidate down by STRIDE to the first."""
    columns = [len(candidates) - 1]
    while columns[-1] > 0:
        target = STRIDE * candidates[columns[-1]]
        below = int(np.searchsorted(candidates, target, side="right")) - 1
        columns.append(min(max(below, 0), columns[-1] - 1))
    return columns


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
    """A set of points ``(n, d)``, centred and in units of the roots of its floors ``(d,)``.

    ``floor`` is the smallest eigenvalue of a covariance: 1, or more where rounding asks for it.
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
