"""Expectation-maximisation with the number of components chosen by BIC.

For one large set (:func:`fit_one`) or for thousands of small ones (:func:`fit_many`).
scikit-learn runs each fit; joblib spreads the fits over processes.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterable
from itertools import pairwise
from numbers import Integral
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from hepgmm.mixture.gmm import GaussianMixture

__all__ = ["EventMixtures", "check_candidates", "effective_floor", "fit_many", "fit_one"]

#: How every fit starts: K points of the set, chosen at random, each the centre of one component.
#: On min-bias events it reaches a lower BIC than "k-means++" or "kmeans" for 1.4 times their cost:
#: in those, distances are ruled by the few tracks displaced by metres, while random points fall
#: where the tracks are. For the high level it is best or within the scatter of the starts.
START = "random_from_data"
#: EM stops when the mean log-likelihood grows by less than this in one iteration.
TOLERANCE = 1e-3
#: EM stops after this many iterations in any case (and counts as not converged).
MAX_ITERATIONS = 200
#: Double precision knows a covariance to about this fraction of the largest variance of the set
#: (a component of a few points can be some hundred times wider than the set).
ROUNDING = 1024 * float(np.finfo(np.float64).eps)
#: Events handed to a process at once.
BATCH = 8


class EventMixtures(NamedTuple):
    """The mixtures of many events, flat: event i owns the components ``offsets[i]:offsets[i+1]``.

    Attributes
    ----------
    weights
        ``(M,)``.
    means
        ``(M, d)``.
    covariances
        ``(M, d, d)``.
    component_offsets
        int64 ``(n_events + 1,)``.
    n_components
        Chosen K of every event, int64 ``(n_events,)``.
    candidates
        The K that were tried, int64 ``(n_candidates,)``.
    bic
        ``(n_events, n_candidates)``, NaN where an event has fewer points than components.
    converged
        bool ``(n_events, n_candidates)``: whether that fit converged (True where there is none).
    floors
        The floor that each event's covariances got, ``(n_events,)``: ``covariance_floor``, or
        more where double precision asks for it (``effective_floor``).
    floored
        bool ``(M,)``: the smallest eigenvalue lies at the floor (below twice its event's).
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    component_offsets: np.ndarray
    n_components: np.ndarray
    candidates: np.ndarray
    bic: np.ndarray
    converged: np.ndarray
    floors: np.ndarray
    floored: np.ndarray


def effective_floor(points, covariance_floor: float) -> float:
    """Return the floor of the covariances of a set of points.

    It is ``covariance_floor``, or the rounding error of the largest variance of the set where
    that is more: a covariance whose eigenvalues span more than the 16 digits of double precision
    can't be factorised.

    Examples
    --------
    >>> effective_floor(np.array([[0.0], [2.0]]), 1e-6)
    1e-06
    >>> effective_floor(np.array([[0.0], [2e6]]), 1e-6) > 1e-6
    True
    """
    return max(covariance_floor, ROUNDING * float(points.var(axis=0).max()))


def fit_many(
    points,
    offsets,
    n_components: Iterable[int] = range(1, 11),
    *,
    n_init: int = 1,
    covariance_floor: float = 1e-6,
    seed,
    workers: int = 1,
    progress: bool = False,
) -> EventMixtures:
    """Fit a full-covariance mixture to every event, with K by BIC = k log n - 2 log L̂.

    k = K d + K d (d + 1) / 2 + K - 1 counts the free parameters, n the points of the event.
    An event with fewer points than K has no fit with K components. The starting points of a fit
    depend on ``seed``, on K and on the event's points alone: neither the order of the events nor
    ``workers`` changes a fit.

    Parameters
    ----------
    points
        All points of all events, ``(N, d)``.
    offsets
        Event i owns the points ``offsets[i]:offsets[i + 1]``, int ``(n_events + 1,)``.
    n_components
        Candidate numbers of components.
    n_init
        Starts of every fit; the best likelihood is kept.
    covariance_floor
        Added to the diagonal of every covariance, in squared units of the features.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    workers
        Processes.
    progress
        Whether to show a progress bar.

    Returns
    -------
    EventMixtures

    Raises
    ------
    ValueError
        For bad arguments, an event with fewer points than the smallest candidate or than 2, or a
        value that isn't finite; the argument and the event are named.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(60, 2))
    >>> fits = fit_many(points, [0, 20, 60], range(1, 3), seed=1)
    >>> fits.n_components.tolist(), fits.bic.shape
    ([1, 1], (2, 2))
    """
    points, candidates = _check_arguments(points, n_components, n_init, covariance_floor)
    offsets = np.asarray(offsets, dtype=np.int64)
    check_offsets(points, offsets, candidates)
    base = _base_seed(seed)
    events = [points[start:stop] for start, stop in pairwise(offsets)]
    batches = [events[start : start + BATCH] for start in range(0, len(events), BATCH)]
    scans = []
    tasks = (delayed(_scan_batch)(b, candidates, n_init, covariance_floor, base) for b in batches)
    with _bar(len(events), "event mixtures", "event", progress) as bar:
        for batch in Parallel(n_jobs=workers, return_as="generator")(tasks):
            scans += batch
            bar.update(len(batch))
    best = [scan.mixture for scan in scans]
    chosen = np.array([mixture.n_components for mixture in best], dtype=np.int64)
    covariances = np.concatenate([mixture.covariances for mixture in best])
    floors = np.array([scan.floor for scan in scans])
    return EventMixtures(
        weights=np.concatenate([mixture.weights for mixture in best]),
        means=np.concatenate([mixture.means for mixture in best]),
        covariances=covariances,
        component_offsets=np.concatenate([[0], np.cumsum(chosen)]),
        n_components=chosen,
        candidates=candidates,
        bic=np.stack([scan.bic for scan in scans]),
        converged=np.stack([scan.converged for scan in scans]),
        floors=floors,
        floored=np.linalg.eigvalsh(covariances)[:, 0] < 2 * np.repeat(floors, chosen),
    )


def fit_one(
    points,
    n_components: Iterable[int] = range(1, 101),
    *,
    n_init: int = 1,
    covariance_floor: float = 1e-6,
    seed,
    workers: int = 1,
    progress: bool = False,
) -> tuple[GaussianMixture, dict[int, float]]:
    """Fit a full-covariance mixture to one set of points, with K by BIC.

    Parameters
    ----------
    points
        ``(n, d)``.
    n_components
        Candidate numbers of components; those above n are left out.
    n_init, covariance_floor, seed, workers, progress
        As in :func:`fit_many`; the candidates are spread over the processes.

    Returns
    -------
    mixture : GaussianMixture
        The one with the smallest BIC; its ``converged`` tells whether its fit converged.
    bic : dict
        K → BIC.

    Raises
    ------
    ValueError
        For bad arguments, fewer points than the smallest candidate or than 2, or a value that
        isn't finite.

    Examples
    --------
    >>> points = np.concatenate([np.random.default_rng(0).normal(m, 1, (50, 1)) for m in (0, 9)])
    >>> mixture, bic = fit_one(points, range(1, 4), seed=1)
    >>> mixture.n_components, sorted(bic)
    (2, [1, 2, 3])
    """
    points, candidates = _check_arguments(points, n_components, n_init, covariance_floor)
    check_offsets(points, np.array([0, len(points)]), candidates)
    base = _base_seed(seed)
    # The largest first: the scan doesn't end with one process at the slowest fit.
    order = [int(k) for k in candidates[::-1] if k <= len(points)]
    tasks = (delayed(_scan)(points, [k], n_init, covariance_floor, base) for k in order)
    scans = []
    with _bar(len(order), "components", "fit", progress) as bar:
        for scan in Parallel(n_jobs=workers, return_as="generator")(tasks):
            scans.append(scan)
            bar.update()
    bic = {k: float(scan.bic[0]) for k, scan in zip(order[::-1], scans[::-1], strict=True)}
    return min(scans, key=lambda scan: scan.bic[0]).mixture, bic


def check_candidates(candidates, name: str = "n_components"):
    """Return numbers of components (or the only one) in rising order, or refuse them.

    Raises
    ------
    ValueError
        If they aren't positive whole numbers, or there is none.

    Examples
    --------
    >>> check_candidates([3, 1, 2, 1]), check_candidates(4)
    (array([1, 2, 3]), array([4]))
    """
    found = np.unique([candidates] if isinstance(candidates, Integral) else list(candidates))
    if not len(found) or found.dtype.kind not in "iu" or found[0] < 1:
        raise ValueError(f"{name}: give positive whole numbers, got {found.tolist()[:5]}")
    return found


class _Scan(NamedTuple):
    """All candidates of one set: the best mixture, BIC and convergence of each, the floor."""

    mixture: GaussianMixture
    bic: np.ndarray
    converged: np.ndarray
    floor: float


def _scan(points, candidates, n_init, covariance_floor, base) -> _Scan:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Estimator

    floor = effective_floor(points, covariance_floor)
    content = zlib.crc32(np.ascontiguousarray(points).tobytes())
    bic = np.full(len(candidates), np.nan)
    converged = np.ones(len(candidates), dtype=bool)
    best = None
    with warnings.catch_warnings(), threadpool_limits(1):
        # Counted in ``converged`` instead: one warning a fit would flood the screen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for column, k in enumerate(candidates):
            if k > len(points):
                continue
            start = np.random.SeedSequence((base, content, int(k))).generate_state(1)[0]
            model = Estimator(
                int(k),
                tol=TOLERANCE,
                max_iter=MAX_ITERATIONS,
                reg_covar=floor,
                n_init=n_init,
                init_params=START,
                random_state=int(start),
            ).fit(points)
            bic[column], converged[column] = model.bic(points), model.converged_
            if best is None or bic[column] < best[0]:
                best = bic[column], model
    return _Scan(GaussianMixture.from_sklearn(best[1]), bic, converged, floor)


def _scan_batch(batch, *arguments):
    return [_scan(points, *arguments) for points in batch]


def _base_seed(seed):
    return int(np.random.default_rng(seed).integers(2**63))


def _bar(total, description, unit, progress):
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=description, unit=unit, disable=not progress)


def _check_arguments(points, n_components, n_init, covariance_floor):
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] < 1:
        raise ValueError(f"points: expected shape (n, d), got {points.shape}")
    candidates = check_candidates(n_components)
    if n_init < 1:
        raise ValueError(f"n_init = {n_init}: give at least 1")
    if not (np.isfinite(covariance_floor) and covariance_floor > 0):
        raise ValueError(f"covariance_floor = {covariance_floor}: give a positive number")
    return points, candidates


def check_offsets(points, offsets, candidates):
    """Refuse offsets that don't divide the points, events too small, and values not finite."""
    counts = np.diff(offsets)
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
