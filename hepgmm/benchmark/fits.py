"""The two fits against scikit-learn's: time and quality on the same events in the same run."""

from __future__ import annotations

import warnings
from functools import partial
from itertools import pairwise

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from threadpoolctl import threadpool_limits

from hepgmm.benchmark.timing import (
    cold_start,
    in_turns,
    ratio,
    summary,
)
from hepgmm.mixture import fit_many, fit_one
from hepgmm.mixture.em import MAX_ITERATIONS, TOLERANCE

__all__ = ["cost_of_size", "many_fits", "one_fit"]

FLOOR = 1e-6
#: A BIC that differs by less is the same.
CLOSE = 1.0
#: Events for each point of a curve, unless their number is what varies.
CURVE_EVENTS = 100
#: What is compiled is the same for any data of as many features.
SETUP = """
import numpy as np
from hepgmm.mixture import fit_many, fit_one
points = np.random.default_rng(1).normal(size=(100, {features}))
"""


def reference_fits(points, offsets, candidates, *, seed: int = 0):
    """scikit-learn's fit of each event with each K that it has points for, event by event.

    Full covariances, ``reg_covar`` as our floor, our tolerance and largest number of iterations,
    otherwise as scikit-learn comes (one start, from k-means).
    """
    options = {"tol": TOLERANCE, "max_iter": MAX_ITERATIONS, "reg_covar": FLOOR}
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        return [
            [
                Estimator(k, random_state=seed, **options).fit(points[start:stop])
                for k in candidates
                if k <= stop - start
            ]
            for start, stop in pairwise(offsets)
        ]


def lowest_bics(models, points, offsets):
    """Lowest BIC of each event and its K, from what :func:`reference_fits` gave."""
    best = []
    for row, (start, stop) in zip(models, pairwise(offsets), strict=True):
        best.append(min((model.bic(points[start:stop]), model.n_components) for model in row))
    return np.array(best).T


def compare_criteria(ours, theirs) -> dict:
    """Median of the difference, and the events where ours is worse or better by more than 1.

    Examples
    --------
    >>> compare_criteria(np.array([-3.0, 0.5, 2.0, 0.0]), np.zeros(4))
    {'median': 0.25, 'worse': 1, 'better': 1}
    """
    difference = ours - theirs
    return {
        "median": float(np.median(difference)),
        "worse": int((difference > CLOSE).sum()),
        "better": int((difference < -CLOSE).sum()),
    }


def many_fits(points, offsets, *, candidates=range(1, 11), repeats: int = 5, seed: int = 1):
    """Fit every event with every K: ours with one and three starts, and scikit-learn's loop.

    Parameters
    ----------
    points, offsets
        As :func:`hepgmm.mixture.fit_many` takes them.
    candidates
        Numbers of components.
    repeats
        Turns of the measurement.
    seed
        Of ours; scikit-learn's is 0.

    Returns
    -------
    dict
        ``seconds`` (name → median), ``faster`` (name → how many times faster than scikit-learn
        in the same turn, both on one thread), ``two_threads`` (name → how many times faster than
        on one), ``quality`` (name → ``median`` of the difference of the lowest BIC of an event,
        ours minus scikit-learn's, and the events where ours is ``worse`` or ``better`` by more
        than 1), ``compile_seconds`` of the first fit ever, ``events``, ``tracks``.
    """
    points, candidates = np.asarray(points, dtype=np.float64), list(candidates)
    ways = {
        f"{starts} start{'s' * (starts > 1)}{', 2 threads' * (workers > 1)}": {
            "n_init": starts,
            "workers": workers,
        }
        for starts in (1, 3)
        for workers in (1, 2)
    }
    common = {"floors": FLOOR, "seed": seed}
    fit_many(points[: offsets[1]], offsets[:2], candidates[:1], **common)
    found = {}

    def task(name, function, *arguments, **options):
        return lambda: found.update({name: function(*arguments, **options)})

    tasks = {"scikit-learn": task("scikit-learn", reference_fits, points, offsets, candidates)}
    for name, way in ways.items():
        tasks[name] = task(name, fit_many, points, offsets, candidates, **common, **way)
    seconds = in_turns(tasks, repeats)
    theirs, _ = lowest_bics(found["scikit-learn"], points, offsets)
    quality = {}
    for name in ways:
        quality[name] = compare_criteria(np.nanmin(found[name].criterion, axis=1), theirs)
    return {
        "events": len(offsets) - 1,
        "tracks": len(points),
        "largest_K": int(max(candidates)),
        "compile_seconds": cold_start(
            "fit_many(points, [0, 100], 2, seed=1)", SETUP.format(features=points.shape[1])
        ),
        "seconds": {name: summary(values) for name, values in seconds.items()},
        **_speed(seconds),
        "quality": quality,
    }


def _speed(seconds):
    """Ratios of :func:`many_fits` and :func:`one_fit`."""
    alone = [name for name in seconds if "threads" not in name and name != "scikit-learn"]
    return {
        "faster": {name: ratio(seconds["scikit-learn"], seconds[name]) for name in alone},
        "two_threads": {
            name: ratio(seconds[name], seconds[f"{name}, 2 threads"]) for name in alone
        },
    }


def one_fit(matrix, *, largest: int = 100, repeats: int = 5, seed: int = 1):
    """Scan K = 1, …, ``largest`` of one large set: ours coarse and exhaustive, and scikit-learn's.

    Each turn has its own seed, for both sides, so that the best BICs have their spread.

    Returns
    -------
    dict
        ``seconds``, ``faster``, ``two_threads`` and ``compile_seconds`` as in :func:`many_fits`;
        ``fits``, how many each way made; ``bic``, the lowest of each way: median and half range
        over the seeds; ``chosen_K`` of each turn.
    """
    candidates, whole = range(1, largest + 1), np.array([0, len(matrix)])
    ways = {
        f"{search}{', 2 threads' * (workers > 1)}": {
            "search": search,
            "n_init": n_init,
            "workers": workers,
        }
        for search, n_init in (("coarse", 3), ("exhaustive", 1))
        for workers in (1, 2)
    }
    found = {name: [] for name in ("scikit-learn", *ways)}
    turn = dict.fromkeys(found, seed)

    def reference():
        turn["scikit-learn"] += 1
        found["scikit-learn"] += reference_fits(
            matrix, whole, candidates, seed=turn["scikit-learn"]
        )

    def ours(name):
        turn[name] += 1
        scan = fit_one(matrix, candidates, floors=FLOOR, seed=turn[name], **ways[name])
        found[name].append(scan)

    fit_one(matrix[:200], range(1, 4), floors=FLOOR, seed=seed)
    tasks = {"scikit-learn": reference} | {name: partial(ours, name) for name in ways}
    seconds = in_turns(tasks, repeats)
    best = {
        name: [(np.nanmin(scan.criterion), scan.mixture.n_components) for scan in found[name]]
        for name in ways
    }
    best["scikit-learn"] = [
        lowest_bics([models], matrix, whole)[:, 0] for models in found["scikit-learn"]
    ]
    return {
        "points": len(matrix),
        "features": matrix.shape[1],
        "largest_K": largest,
        "compile_seconds": cold_start(
            "fit_one(points, [2, 3], seed=1)", SETUP.format(features=matrix.shape[1])
        ),
        "fits": {"scikit-learn": largest}
        | {name: int(np.isfinite(found[name][0].criterion).sum()) for name in ways},
        "seconds": {name: summary(values) for name, values in seconds.items()},
        **_speed(seconds),
        "bic": {name: summary([bic for bic, _ in each]) for name, each in best.items()},
        "chosen_K": {name: [int(k) for _, k in each] for name, each in best.items()},
    }


def cost_of_size(points, offsets, *, repeats: int = 5, seed: int = 1):
    """How the cost of one fit of an event grows with events, tracks, K and features.

    Where not varied: ``CURVE_EVENTS`` events of 64 tracks drawn from all, each track at most once
    if there are enough, K = 5, four features.

    Returns
    -------
    dict
        Axis → ``{"at": […], "hepgmm": […], "scikit-learn": […]}``, milliseconds an event with
        their errors, one start and one thread.
    """
    rng = np.random.default_rng(seed)
    points = np.asarray(points, dtype=np.float64)
    axes = {
        "events": [25, 100, 400],
        "tracks": [16, 32, 64, 128, 256],
        "components": [1, 2, 4, 8, 16],
        "features": [1, 2, 3, 4],
    }
    usual = {"events": CURVE_EVENTS, "tracks": 64, "components": 5, "features": 4}
    curves = {}
    for axis, values in axes.items():
        curve = {"at": values, "hepgmm": [], "scikit-learn": []}
        for value in values:
            n = usual | {axis: value}
            size = n["events"] * n["tracks"]
            chosen = rng.choice(len(points), size, replace=size > len(points))
            x = points[chosen, : n["features"]]
            own, k = np.arange(0, size + 1, n["tracks"]), [n["components"]]
            fit_many(x[: own[1]], own[:2], k, floors=FLOOR, seed=seed)
            seconds = in_turns(
                {
                    "hepgmm": lambda x=x, own=own, k=k: fit_many(
                        x, own, k, floors=FLOOR, seed=seed
                    ),
                    "scikit-learn": lambda x=x, own=own, k=k: reference_fits(x, own, k),
                },
                repeats,
            )
            for name, times in seconds.items():
                curve[name].append(summary(1e3 * times / n["events"]))
        curves[axis] = curve
    return curves
