"""How fast mixtures, sampling and overlay are, beside scikit-learn and Pythia, in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import awkward as ak
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Estimator
from threadpoolctl import threadpool_limits

from hepgmm.analysis.figures import environment
from hepgmm.collide import generate
from hepgmm.cores import in_threads
from hepgmm.crossings.overlay import CHUNK as CROSSINGS
from hepgmm.crossings.overlay import overlay_select
from hepgmm.events import accept
from hepgmm.mixture import fit_many, fit_one
from hepgmm.mixture.em import MAX_ITERATIONS, TOLERANCE
from hepgmm.mixture.sampling import CHUNK, generator, seed_sequence
from hepgmm.pileup.hierarchical import BATCH, HierarchicalGMM, Synthesis
from hepgmm.pileup.points import track_features
from hepgmm.pileup.shared import SharedGMM

__all__ = ["PARTS", "benchmark_mixture", "in_turns", "overlay_speed", "ratio", "summary"]

#: What is measured, in this order.
PARTS = {"fit_many": "many small mixtures", "fit_one": "one large mixture"}
PARTS |= {"sampling": "sampling", "curves": "how the cost grows"}
#: About a fourth of the min-bias events have fewer tracks than the fits take.
SPARE = 1.5
#: A turn of sampling is short and its time uncertain: so many for one of the others.
SAMPLING_TURNS = 3
FLOOR = 1e-6
#: A BIC that differs by less is the same.
CLOSE = 1.0
#: Axes of the curves of cost, and where they stand when they are not varied.
AXES = {"events": [25, 100, 400], "tracks": [16, 32, 64, 128, 256]}
AXES |= {"components": [1, 2, 4, 8, 16], "features": [1, 2, 3, 4]}
USUAL = {"events": 100, "tracks": 64, "components": 5, "features": 4}
#: Workers, and what they add to the name of a way to fit.
THREADS = {1: "", 2: ", 2 threads"}
#: What is compiled is the same for any data of as many features.
SETUP = """
import numpy as np
from hepgmm.mixture import fit_many, fit_one
points = np.random.default_rng(1).normal(size=(100, {features}))
"""


def benchmark_mixture(
    n_events=1000, *, parts=tuple(PARTS), largest=100, repeats=5, seed=1, progress=print
) -> dict:
    """Measure fits and sampling beside what they replace, with ``n_events`` min-bias events.

    ``largest`` is the largest K of the scan over the components of all events.
    """
    progress("collisions")
    events = generate("minbias", int(SPARE * n_events) + 50, seed=seed, progress=False)
    points, offsets = track_features(events, min_tracks=3)
    offsets = offsets[: n_events + 1]
    events = events[: np.flatnonzero(ak.num(events) >= 3)[len(offsets) - 2] + 1]
    points = np.ascontiguousarray(points[: offsets[-1]])
    common, turns = {"repeats": repeats, "seed": seed}, SAMPLING_TURNS * repeats
    model = HierarchicalGMM(max_components=largest, seed=seed)
    if {"fit_one", "sampling"} & set(parts):
        model.fit(events)
        components = (model.component_parameters_ - model.component_shift_) / model.component_scale_
    measure = {
        "fit_many": lambda: many_fits(points, offsets, **common),
        "fit_one": lambda: one_fit(components, largest=largest, **common),
        "sampling": lambda: sampling_speed(model, 50 * n_events, repeats=turns, seed=seed),
        "curves": lambda: cost_of_size(points, **common),
    }
    figures = {**common, **environment()}
    for part, name in PARTS.items():
        if part in parts:
            progress(name)
            figures[part] = measure[part]()
    return figures


def in_turns(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds that each task takes, shape (repeats,), the tasks one after another in each turn.

    What slows the machine down for a while slows all tasks of a turn, so that ratios within a
    turn hold. Every turn begins with another task. Compile and warm up before.
    """
    seconds, names = {name: np.empty(repeats) for name in tasks}, list(tasks)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            tasks[name]()
            seconds[name][turn] = time.perf_counter() - start
    return seconds


def cold_start(statement: str, setup: str) -> float:
    """Seconds that a statement takes the first time ever, with nothing compiled before."""
    script = f"import time\n{setup}\nt = time.perf_counter()\n{statement}\n"
    script += "print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {"NUMBA_CACHE_DIR": folder}
        return float(subprocess.check_output([sys.executable, "-c", script], env=environ))


def summary(values) -> dict[str, float]:
    """Median of repeated measurements, with half their range as its error."""
    return {"value": float(np.median(values)), "error": float(np.ptp(values) / 2)}


def ratio(slow, fast) -> dict[str, float]:
    """How many times faster, turn by turn: the median of the ratios."""
    return summary(np.asarray(slow) / np.asarray(fast))


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
    """Median of the difference, and the events where ours is worse or better by more than 1."""
    above = ours - theirs
    worse, better = int((above > CLOSE).sum()), int((above < -CLOSE).sum())
    return {"median": float(np.median(above)), "worse": worse, "better": better}


def many_fits(points, offsets, *, candidates=range(1, 11), repeats: int = 5, seed: int = 1):
    """Fit every event with every K: ours with one and three starts, and scikit-learn's loop.

    Ratios are taken within a turn; ``quality`` compares the lowest BIC of each event.
    """
    points, candidates = np.asarray(points, dtype=np.float64), list(candidates)
    common, found = {"floors": FLOOR, "seed": seed}, {}
    fit_many(points[: offsets[1]], offsets[:2], candidates[:1], **common)

    def task(name, function, **options):
        return lambda: found.update({name: function(points, offsets, candidates, **options)})

    tasks = {"scikit-learn": task("scikit-learn", reference_fits)}
    for n_init, name in ((1, "1 start"), (3, "3 starts")):
        for workers, threads in THREADS.items():
            options = common | {"n_init": n_init, "workers": workers}
            tasks[name + threads] = task(name + threads, fit_many, **options)
    seconds = in_turns(tasks, repeats)
    theirs, _ = lowest_bics(found.pop("scikit-learn"), points, offsets)
    return {
        "events": len(offsets) - 1,
        "tracks": len(points),
        "largest_K": int(max(candidates)),
        **_speed(seconds, "fit_many(points, [0, 100], 2, seed=1)", points.shape[1]),
        "quality": {
            name: compare_criteria(np.nanmin(fits.criterion, axis=1), theirs)
            for name, fits in found.items()
        },
    }


def _speed(seconds, statement, n_features):
    """Times of ours and scikit-learn's, their ratios, and how long ``statement`` compiles."""
    single = [name for name in seconds if "threads" not in name and name != "scikit-learn"]
    return {
        "compile_seconds": cold_start(statement, SETUP.format(features=n_features)),
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "faster": {name: ratio(seconds["scikit-learn"], seconds[name]) for name in single},
        "two_threads": {name: ratio(seconds[name], seconds[name + THREADS[2]]) for name in single},
    }


def one_fit(matrix, *, largest: int = 100, repeats: int = 5, seed: int = 1):
    """Scan K = 1, …, ``largest`` of one large set: ours coarse and exhaustive, and scikit-learn's.

    Each turn has its own seed, for both sides, so that the best BICs have their spread.
    """
    candidates, whole = range(1, largest + 1), np.array([0, len(matrix)])
    found: dict[str, list] = {}

    def task(name, fit):
        def run():
            found[name].append(fit(seed=seed + 1 + len(found[name])))

        found[name] = []
        return run

    fit_one(matrix[:200], range(1, 4), floors=FLOOR, seed=seed)
    reference = partial(reference_fits, matrix, whole, candidates)
    tasks = {"scikit-learn": task("scikit-learn", reference)}
    for search, n_init in (("coarse", 3), ("exhaustive", 1)):
        for workers, threads in THREADS.items():
            options = {"search": search, "n_init": n_init, "workers": workers, "floors": FLOOR}
            fit = partial(fit_one, matrix, candidates, **options)
            tasks[search + threads] = task(search + threads, fit)
    seconds = in_turns(tasks, repeats)
    theirs = found.pop("scikit-learn")
    fits = {name: int(np.isfinite(scans[0].criterion).sum()) for name, scans in found.items()}
    best = {
        name: [(np.nanmin(scan.criterion), scan.mixture.n_components) for scan in scans]
        for name, scans in found.items()
    }
    best["scikit-learn"] = [lowest_bics(models, matrix, whole)[:, 0] for models in theirs]
    return {
        "points": len(matrix),
        "features": matrix.shape[1],
        "largest_K": largest,
        **_speed(seconds, "fit_one(points, [2, 3], seed=1)", matrix.shape[1]),
        "fits": {"scikit-learn": largest} | fits,
        "bic": {name: summary([bic for bic, _ in each]) for name, each in best.items()},
        "chosen_K": {name: [int(k) for _, k in each] for name, each in best.items()},
    }


def cost_of_size(points, *, repeats: int = 5, seed: int = 1):
    """How the cost of one fit of an event [ms] grows along each of the ``AXES``.

    Tracks are drawn from all, each at most once if there are enough; one start and one thread.
    """
    rng = np.random.default_rng(seed)
    points = np.asarray(points, dtype=np.float64)
    curves = {}
    for axis, values in AXES.items():
        curve = {"at": values, "hepgmm": [], "scikit-learn": []}
        for value in values:
            n = USUAL | {axis: value}
            size = n["events"] * n["tracks"]
            rows = rng.choice(len(points), size, replace=size > len(points))
            x, k = points[rows, : n["features"]], [n["components"]]
            offsets = np.arange(0, size + 1, n["tracks"])
            options = {"floors": FLOOR, "seed": seed}
            fit_many(x[: offsets[1]], offsets[:2], k, **options)
            ways = {
                "hepgmm": partial(fit_many, x, offsets, k, **options),
                "scikit-learn": partial(reference_fits, x, offsets, k),
            }
            for name, times in in_turns(ways, repeats).items():
                curve[name].append(summary(1e3 * times / n["events"]))
        curves[axis] = curve
    return curves


def draw_numbers(synthesis: Synthesis, seed, *, workers: int = 1) -> None:
    """Draw the random numbers of a sample of events and nothing else, into memory used again.

    For each event a normal and two uniforms, for each component 15 normals and a uniform, in
    double precision; for each track 4 normals and a uniform (phi) in single, a uniform in double.
    """
    root = seed_sequence(seed)
    starts = np.concatenate([[0], np.cumsum(synthesis.counts)])

    def run(batches):
        double, single = np.empty(15 * CHUNK), np.empty(4 * CHUNK, dtype=np.float32)
        for batch in batches:
            rng = generator(root, batch)
            first, last = batch * BATCH, min((batch + 1) * BATCH, synthesis.n_events)
            rng.standard_normal(out=double[: last - first])
            rng.random(out=double[: 2 * (last - first)])
            for n in _pieces(synthesis.offsets[last] - synthesis.offsets[first]):
                rng.standard_normal(out=double[: 15 * n])
                rng.random(out=double[:n])
            for n in _pieces(starts[last] - starts[first]):
                rng.standard_normal(out=single[: 4 * n], dtype=np.float32)
                rng.random(out=double[:n])
                rng.random(out=single[:n], dtype=np.float32)

    in_threads(run, -(-synthesis.n_events // BATCH), workers)


def _pieces(total):
    return [min(CHUNK, total - begin) for begin in range(0, total, CHUNK)]


def sampling_speed(model, n_events: int = 50_000, *, repeats: int = 5, seed: int = 1) -> dict:
    """Rates of a fitted generator and of its random numbers, in turns, and of Pythia.

    Events a second with at least the model's ``min_tracks`` tracks; Pythia makes a hundredth.
    """
    pythia = max(n_events // 100, 10)
    tracks = ak.num(generate("minbias", pythia, seed=seed, progress=False))
    tracks = tracks[tracks >= model.min_tracks]
    synthesis = Synthesis(model, n_events, seed)
    collide = partial(generate, "minbias", pythia, seed=seed, progress=False)
    tasks = {}
    for workers, threads in THREADS.items():
        options = {"seed": seed, "workers": workers}
        tasks[f"mixture{threads}"] = partial(model.sample, n_events, **options)
        tasks[f"random numbers{threads}"] = partial(draw_numbers, synthesis, **options)
    model.sample(100, seed=seed)
    # Pythia apart: in its seconds the system takes unused memory back, which costs the next task.
    seconds = in_turns({"Pythia": collide}, repeats) | in_turns(tasks, repeats)
    made = {name: len(tracks) if name == "Pythia" else n_events for name in seconds}
    return {
        "events": n_events,
        "tracks_per_event": {"Pythia": ak.mean(tracks), "mixture": synthesis.counts.mean().item()},
        "per_second": {name: summary(made[name] / times) for name, times in seconds.items()},
        "over_random_numbers": ratio(seconds["mixture"], seconds["random numbers"]),
        "over_pythia": ratio(seconds["Pythia"] / len(tracks), seconds["mixture"] / n_events),
        "two_threads": {
            name: ratio(seconds[name], seconds[f"{name}, 2 threads"])
            for name in ("mixture", "random numbers")
        },
    }


def overlay_speed(*, n_hard=CROSSINGS, n_pileup=1000, mu=60.0, repeats=5, seed=1) -> dict:
    """Overlay and selection of QCD events on one core: hard events a second, and memory in MB.

    The memory is beside the events, and what the compiled loop takes for one crossing (below 1 MB).
    """
    hard = generate("qcd", n_hard, seed=seed, progress=False)
    minbias = generate("minbias", n_pileup, seed=seed + 1, progress=False)
    fitted = minbias[ak.num(minbias) >= 3]
    sources = {"real": accept(minbias)}
    sources["hgmm"] = HierarchicalGMM(seed=seed).fit(fitted)
    sources["shared"] = SharedGMM(seed=seed).fit(fitted)

    common, peaks = {"mu": mu, "seed": seed}, {}
    tasks = {name: partial(overlay_select, hard, each, **common) for name, each in sources.items()}
    for name, run in tasks.items():
        run()
        tracemalloc.start()
        run()
        peaks[name] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    seconds = in_turns(tasks, repeats)
    rates = {name: summary(n_hard / times) for name, times in seconds.items()}
    return {"per_second": rates, "peak_mb": peaks, "n_hard": n_hard, "mu": mu}
