"""Every figure of every generator, generator after generator; an interrupted run resumes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hepgmm.benchmark.timing import summary
from hepgmm.cache import cache_folder
from hepgmm.fidelity.collisions import Collisions
from hepgmm.fidelity.transfer import Transfer, transfer_loss
from hepgmm.io_utils import write_json
from hepgmm.merit import environment
from hepgmm.pileup.generators import GENERATORS, make_generator
from hepgmm.presets import load_preset
from hepgmm.validate import compare
from hepgmm.validate.physics import physics

__all__ = ["PARTS", "measure_fidelity"]

#: What is measured, in this order.
PARTS = ("generators", "transfer", "sizes")
#: Generators whose fidelity is followed over the number of training events, and these numbers,
#: each with how many disjoint samples of them there are.
GROWING = ("oversampling_rotated", "hgmm", "shared")
SIZES = {300: 3, 1000: 10, 3000: 3, 10_000: 1}
#: Turns in which the speed of sampling is measured, after the first of some seconds at most.
TURNS, SECONDS = 5, 10


def measure_fidelity(
    path,
    *,
    n_training: int = 1000,
    n_test: int = 12_000,
    n_hard: int = 8000,
    n_pool: int = 20_000,
    names=tuple(GENERATORS),
    parts=PARTS,
    sizes=SIZES,
    repeats: int = 4,
    seed: int = 1,
    workers: int = 1,
    transformer: bool = True,
    progress: Callable = print,
) -> dict:
    """Fit generators to real pileup events and measure how real theirs are.

    What the file at ``path`` holds already, of the same seed, sizes and versions, is kept.

    Parameters
    ----------
    path
        JSON file of the figures, written after each of them.
    n_training
        Min-bias collisions that the generators learn from; with fewer than three tracks, as a
        fourth of them have, they are left out.
    n_test
        Those that synthetic events are compared with; there are as many synthetic ones.
    n_hard
        Hard events that classifiers are trained on with each pileup, and again to test them.
    n_pool
        Min-bias collisions of a pool that is laid over hard events.
    names
        Which of the generators.
    parts
        Which of ``hepgmm.fidelity.PARTS``.
    sizes
        Training events → number of samples of them, for the part ``"sizes"``.
    repeats
        Trainings of each classifier with each pileup.
    seed
        Of the collisions, the fits and the samples.
    workers
        Processes or threads; no effect on the figures.
    transformer
        Whether to measure the AUC of a transformer, which takes longest, too.
    progress
        Called with a line before each step.

    Returns
    -------
    dict
        ``generators``: name → ``title``, ``seconds`` (of the fit), ``per_second`` (synthetic
        events a second on one core), ``figures`` (:func:`hepgmm.validate.compare`) and
        ``transfer`` (:func:`~hepgmm.fidelity.transfer.transfer_loss`); ``sizes``: number of
        training events → name → figures, averaged over samples; ``real``: physics of the test
        events; with the versions and the machine.
    """
    path, about = Path(path), {"seed": seed, "events": {"training": n_training, "test": n_test}}
    about["events"] |= {"hard": n_hard, "pool": n_pool, "repeats": repeats}
    about |= environment()
    figures = about | {"generators": {}, "sizes": {}}
    if path.is_file():
        kept = json.loads(path.read_text())
        if any(kept.get(key) != about[key] for key in ("seed", "events", "versions")):
            raise ValueError(f"{path}: measured otherwise; name another file, or remove it")
        figures = kept | about
    collisions = Collisions(seed, folder=cache_folder(), workers=workers, progress=progress)
    training = collisions.pileup("training", n_training)
    test = collisions.pileup("test", n_test)
    if "real" not in figures:
        figures["real"] = physics(test, seed=seed)

    def keep():
        write_json(path, figures)

    fitted = {}
    for name in names:
        entry = figures["generators"].setdefault(name, {"title": GENERATORS[name].title})
        if "generators" in parts and "figures" not in entry:
            progress(f"{name}: fit and compare")
            fitted[name], entry["seconds"] = fit(name, training, seed=seed, workers=workers)
            drawn = draw(fitted[name], len(test), seed=seed)
            entry["per_second"], events, sources = drawn
            entry["figures"] = compare(
                test,
                events,
                training=training,
                sources=sources,
                transformer=transformer,
                seed=seed,
            )
            keep()
    if "transfer" in parts and any("transfer" not in figures["generators"][n] for n in names):
        progress("transfer: real pileup")
        options = load_preset("standard")["overlay"]
        transfer = Transfer(
            collisions.hard("train_hard", n_hard),
            collisions.hard("test_hard", n_hard),
            collisions.pileup("test_pool", n_pool),
            options=options,
            repeats=repeats,
            seed=seed,
        )
        if "reference" not in figures:
            figures["reference"] = transfer.areas(collisions.pileup("train_pool", n_pool))
            other = transfer.areas(collisions.pileup("training", n_pool))
            figures["transfer_floor"] = transfer_loss(other, figures["reference"])
            keep()
        for name in names:
            entry = figures["generators"][name]
            if "transfer" not in entry:
                progress(f"{name}: transfer")
                model = fitted.get(name) or fit(name, training, seed=seed, workers=workers)[0]
                pool = model.sample(len(collisions.pileup("train_pool", n_pool)), seed=seed)
                entry["transfer"] = transfer_loss(transfer.areas(pool), figures["reference"])
                keep()
    if "sizes" in parts:
        for size, samples in sizes.items():
            rows = figures["sizes"].setdefault(str(size), {})
            for name in set(GROWING) & set(names) - set(rows):
                progress(f"{name}: {size} training events")
                rows[name] = grown(name, size, samples, collisions, test, seed, workers)
                keep()
    keep()
    return figures


def fit(name, training, *, seed, workers):
    """A fitted generator and how many seconds its fit took."""
    generator = make_generator(name)
    known = {"seed": seed, "workers": workers}
    generator.set_params(**{k: v for k, v in known.items() if k in generator.get_params()})
    start = time.perf_counter()
    generator.fit(training)
    return generator, time.perf_counter() - start


def draw(generator, n_events, *, seed):
    """Events a second, events, and the training events that they follow or None."""
    generator.sample(10, seed=seed)
    rates, n = [], n_events
    for turn in range(TURNS):
        start = time.perf_counter()
        generator.sample(n, seed=seed + turn)
        rates.append(n / (time.perf_counter() - start))
        n = min(n_events, int(np.ceil(rates[0] * SECONDS)))
    return summary(rates), *sample(generator, n_events, seed=seed)


def sample(generator, n_events, *, seed):
    """Events, and the training events that they follow or None."""
    if generator.HAS_SOURCES:
        return generator.sample(n_events, seed=seed, return_sources=True)
    return generator.sample(n_events, seed=seed), None


def grown(name, size, samples, collisions, test, seed, workers):
    """Figures of a generator of ``size`` training events, mean and error over samples of them."""
    rows = []
    events = collisions.pileup("training", size * samples)
    for part in np.array_split(np.arange(len(events)), samples):
        generator, _ = fit(name, events[part], seed=seed, workers=workers)
        synthetic, sources = sample(generator, len(test), seed=seed)
        training = events[part]
        rows.append(compare(test, synthetic, training=training, sources=sources, seed=seed))
    return {row: average([figures[row] for figures in rows]) for row in rows[0]}


def average(figures):
    """Mean of figures, its error the larger of the spread's and of the single ones'."""
    values, errors = (np.array([f[key] for f in figures]) for key in ("value", "error"))
    spread = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    single = np.sqrt((errors**2).mean())
    floor = float(np.mean([f["floor"] for f in figures]))
    return {"value": float(values.mean()), "error": float(max(spread, single)), "floor": floor}
