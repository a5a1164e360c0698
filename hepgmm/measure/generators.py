"""Every generator of pileup beside the real thing: the figures of the book's chapter on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version

import awkward as ak
import numpy as np

from hepgmm.analysis.figures import environment
from hepgmm.analysis.presets import load_preset
from hepgmm.classify import make_classifier
from hepgmm.classify.metrics import auc
from hepgmm.collide import generate
from hepgmm.cores import one_thread
from hepgmm.crossings.samples import HardEvents, split_events
from hepgmm.io.cache import Store, cache_folder, code_fingerprint, digest
from hepgmm.io.parquet import load_tracks
from hepgmm.measure.run import run
from hepgmm.measure.speed import summary
from hepgmm.pileup.base import GENERATORS, make_generator
from hepgmm.validate import compare
from hepgmm.validate.physics import physics

__all__ = ["PARTS", "measure_fidelity", "transfer_loss"]

#: What is measured, in this order.
PARTS = ("generators", "transfer", "sizes")
#: Generators whose fidelity is followed over the number of training events, and these numbers,
#: each with how many disjoint samples of them there are.
GROWING = ("oversampling_rotated", "hgmm", "shared")
SIZES = {300: 3, 1000: 10, 3000: 3, 10_000: 1}
#: Fewest test collisions; pileup events with fewer tracks are left out everywhere.
MIN_TEST, MIN_TRACKS = 200, 3
#: First number of the seed of each kind of collisions.
KINDS = ("training", "test", "train_pool", "test_pool", "train_hard", "test_hard")
#: Turns in which the speed of sampling is measured, after the first of some seconds at most.
TURNS, SECONDS = 5, 10
#: Training of the MLP; a fifth of the training events choose its epoch.
TRAINING = {"epochs": 12, "batch_size": 128, "learning_rate": 2e-3, "schedule": "cosine"}
VALIDATION = 0.2


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

    What the file at ``path`` holds already is kept.

    Parameters
    ----------
    path : str or Path
        JSON file of the figures.
    n_training : int
        Min-bias collisions that the generators learn from; with fewer than three tracks, as a
        fourth of them have, they are left out.
    n_test : int
        Those that synthetic events are compared with; there are as many synthetic ones.
    n_hard : int
        Hard events that classifiers are trained on with each pileup, and again to test them.
    n_pool : int
        Min-bias collisions of a pool that is laid over hard events.
    names, parts : iterable of str
        Which of the generators, and which of ``hepgmm.measure.generators.PARTS``.
    sizes : mapping
        Training events → number of samples of them, for the part ``"sizes"``.
    repeats : int
        Trainings of each classifier with each pileup.
    seed : int
        Of the collisions, the fits and the samples.
    workers : int
        Processes or threads; no effect on the figures.
    transformer : bool
        Whether to measure the AUC of a transformer, which takes longest, too.
    progress : callable
        Called with a line before each step.

    Returns
    -------
    dict
        ``generators``: name → ``title``, ``seconds`` (of the fit), ``per_second`` (synthetic
        events a second on one core), ``figures`` (:func:`hepgmm.validate.compare`) and
        ``transfer`` (:func:`~hepgmm.measure.transfer_loss`); ``sizes``: number of training
        events → name → figures, averaged over samples; ``real``: physics of the test events; with
        the versions and the machine.

    Raises
    ------
    ValueError
        For a file of another seed, other sizes, versions or another machine, or for too few test
        events or repeats.
    """
    if n_test < MIN_TEST or repeats < 2:
        raise ValueError(f"n_test = {n_test}, repeats = {repeats}: {MIN_TEST} and 2 are the least")
    events = {"training": n_training, "test": n_test, "hard": n_hard, "pool": n_pool}
    events |= {"repeats": repeats, "sizes": {str(size): n for size, n in sizes.items()}}
    about = {"seed": seed, "events": events, **environment()}

    def steps(figures):
        collisions = Collisions(seed, workers=workers, progress=progress)
        measurement = Measurement(figures, collisions, names, seed, workers)
        for part in parts:
            yield from getattr(measurement, part)(transformer=transformer)

    return run(path, about, "generators", steps, progress=progress)


class Collisions(Store):
    """Collisions of each of the ``KINDS``, beside the stages of analyses."""

    def __init__(self, seed: int, *, workers: int = 1, progress: Callable = print):
        super().__init__(cache_folder())
        self.seed, self.workers, self._say = seed, workers, progress

    def pileup(self, kind: str, n_events: int) -> ak.Array:
        """Min-bias events, of which those with fewer than three tracks are left out."""
        events = self._events(kind, "minbias", n_events)
        return events[ak.num(events) >= MIN_TRACKS]

    def hard(self, kind: str, n_events: int) -> tuple[ak.Array, np.ndarray]:
        """Hard events, half of them jets, a quarter each neutralinos of 100 and 500 GeV; masses."""
        quarter = n_events // 4
        parts = {0: self._events(kind, "qcd", 2 * quarter)}
        parts |= {m: self._events(kind, "llp", quarter, mass=float(m)) for m in (100, 500)}
        mass = np.repeat(list(parts), [len(part) for part in parts.values()]).astype(float)
        return ak.concatenate(list(parts.values())), mass

    def _events(self, kind, process, n_events, **options):
        seed = [self.seed, KINDS.index(kind)]
        about = [process, n_events, seed, options]
        about += [code_fingerprint("collide.pythia"), version("pythia8mc")]

        def make(path):
            more = {"path": path, "workers": self.workers, "progress": False, **options}
            generate(process, n_events, seed=np.random.SeedSequence(seed), **more)

        path = self.cache / f"{process}-{kind}-{digest(about)}.parquet"
        what = f"collisions: {n_events} {process} events ({kind})"
        return self._get(path, what, make, load_tracks)


class Measurement:
    """Figures that are filled part by part, collisions, and generators that are fitted once."""

    def __init__(self, figures, collisions, names, seed, workers):
        self.figures, self.collisions, self.names, self.seed = figures, collisions, names, seed
        self.options, self.fitted = {"seed": seed, "workers": workers}, {}
        self.events = figures["events"]
        self.training = collisions.pileup("training", self.events["training"])
        self.test = collisions.pileup("test", self.events["test"])
        if "real" not in figures:
            figures["real"] = physics(self.test, seed=seed)
        figures.setdefault("sizes", {})
        titles = {name: {"title": GENERATORS[name].title} for name in names}
        self.entries = {n: figures["generators"].setdefault(n, titles[n]) for n in names}

    def generator(self, name):
        """A generator fitted to the training events."""
        if name not in self.fitted:
            self.fitted[name] = fit(name, self.training, **self.options)
        return self.fitted[name][0]

    def generators(self, transformer):
        """Compare every generator with the test events."""
        for name, entry in self.entries.items():
            earlier = entry.get("figures", {})
            if not earlier or (transformer and "auc_transformer" not in earlier):
                yield f"{name}: fit and compare"
                generator = self.generator(name)
                entry["seconds"] = self.fitted[name][1]
                entry["per_second"] = rate(generator, len(self.test), seed=self.seed)
                entry["figures"] = self.compare(generator, self.training, transformer=transformer)

    def transfer(self, **_):
        """Train classifiers with the pileup of every generator."""
        missing = [name for name, entry in self.entries.items() if "transfer" not in entry]
        if not missing:
            return
        yield "transfer: real pileup"
        n_hard, n_pool = self.events["hard"], self.events["pool"]
        hard = (self.collisions.hard(kind, n_hard) for kind in ("train_hard", "test_hard"))
        test_pool = self.collisions.pileup("test_pool", n_pool)
        transfer = Transfer(*hard, test_pool, repeats=self.events["repeats"], seed=self.seed)
        real = self.collisions.pileup("train_pool", n_pool)
        if "reference" not in self.figures:
            self.figures["reference"] = transfer.areas(real)
            other = transfer.areas(self.collisions.pileup("training", n_pool))
            self.figures["transfer_floor"] = transfer_loss(other, self.figures["reference"])
        for name in missing:
            yield f"{name}: transfer"
            areas = transfer.areas(self.generator(name).sample(len(real), seed=self.seed))
            self.entries[name]["transfer"] = transfer_loss(areas, self.figures["reference"])

    def sizes(self, **_):
        """Follow some generators over the number of training events."""
        for size, samples in self.events["sizes"].items():
            rows = self.figures["sizes"].setdefault(size, {})
            for name in GROWING:
                if name in self.names and name not in rows:
                    yield f"{name}: {int(size):,} training events"
                    rows[name] = self.grown(name, int(size), samples)

    def grown(self, name, size, samples):
        """Figures of a generator of ``size`` training events, averaged over samples of them."""
        rows, n_test = [], len(self.test)
        events = self.collisions.pileup("training", size * samples)
        for part in np.array_split(np.arange(len(events)), samples):
            generator, _ = fit(name, events[part], **self.options)
            rows.append(self.compare(generator, events[part]))
        # Variances fall as one over the number of independent events.
        n_independent = len(part) if generator.HAS_SOURCES else n_test
        shares = {row: n_independent / (n_independent + n_test) for row in rows[0]}
        shares["kpd"] = 0.5  # of subsamples of equal size
        return {row: average([figures[row] for figures in rows], shares[row]) for row in rows[0]}

    def compare(self, generator, training, **options):
        """Figures of as many synthetic events as there are test events."""
        more = {"return_sources": True} if generator.HAS_SOURCES else {}
        drawn = generator.sample(len(self.test), seed=self.seed, **more)
        synthetic, sources = drawn if more else (drawn, None)
        options |= {"training": training, "sources": sources, "seed": self.seed}
        return compare(self.test, synthetic, **options)


def fit(name, training, *, seed, workers):
    """A fitted generator and how many seconds its fit took."""
    generator = make_generator(name)
    known = {"seed": seed, "workers": workers}
    generator.set_params(**{k: v for k, v in known.items() if k in generator.get_params()})
    start = time.perf_counter()
    generator.fit(training)
    return generator, time.perf_counter() - start


def rate(generator, n_events, *, seed):
    """Events a second on one core."""
    generator.sample(10, seed=seed)
    rates, n = [], n_events
    with one_thread():
        for turn in range(TURNS):
            start = time.perf_counter()
            generator.sample(n, seed=seed + turn)
            rates.append(n / (time.perf_counter() - start))
            n = min(n_events, int(np.ceil(rates[0] * SECONDS)))
    return summary(rates)


def average(figures, test_share):
    """Mean of figures over samples of training events, with its error.

    The samples have the test events in common, whose share of the variance of a single figure is
    ``test_share``; to it comes the spread of the samples.
    """
    values, errors = (np.array([f[key] for f in figures]) for key in ("value", "error"))
    single, n = np.sqrt((errors**2).mean()), len(values)
    error = np.sqrt(test_share * single**2 + values.var(ddof=1) / n) if n > 1 else single
    floor = float(np.mean([f["floor"] for f in figures]))
    mean = {"value": float(values.mean()), "error": float(error), "floor": floor}
    return mean | {"samples": values.tolist(), "errors": errors.tolist()}


class Transfer:
    """Classifiers of the same hard events, trained with one pileup after the other.

    Every pileup is laid over the same hard events ``(events, mass)`` with the same seeds, from a
    pool that is drawn from with replacement, so that slow generators can be compared too.
    """

    def __init__(self, hard, test_hard, test_pool, *, repeats: int, seed: int):
        self.hard, self.options = hard, load_preset("standard")["overlay"]
        *self.seeds, test_seed = np.random.SeedSequence(seed).spawn(repeats + 1)
        self.test = HardEvents(*test_hard, test_pool, self.options, test_seed).sample()

    def areas(self, pool: ak.Array) -> dict[str, list[float]]:
        """AUC of trees and MLP on events with real pileup, of each training with that of a pool."""
        areas: dict[str, list[float]] = {"trees": [], "mlp": []}
        for seed in self.seeds:
            sample = HardEvents(*self.hard, pool, self.options, seed).sample()
            number = int(seed.generate_state(1)[0])
            fractions = (1 - VALIDATION, VALIDATION)
            parts = split_events(len(sample), fractions=fractions, seed=number)
            parts = [sample[events] for events in parts]
            options = TRAINING | {"batch_size": min(TRAINING["batch_size"], len(parts[0]))}
            mlp = make_classifier("mlp", features="asinh", training=options)
            fitted = {
                "trees": make_classifier("trees").fit(sample, seed=number),
                "mlp": mlp.fit(*parts, seed=number),
            }
            for name, rung in fitted.items():
                scores = rung.predict_proba(self.test.X, self.test.mask)
                areas[name].append(auc(scores, self.test.y))
        return areas


def transfer_loss(areas: Mapping[str, list], reference: Mapping[str, list]) -> dict:
    """What training with synthetic pileup costs: mean of the paired differences in AUC.

    Parameters
    ----------
    areas, reference : mapping
        Classifier → AUC of each training with synthetic and with real pileup, in pairs.

    Returns
    -------
    dict
        Classifier → ``{"value", "error"}`` of AUC with synthetic minus AUC with real pileup in
        training; the error is the standard error over the repeats.

    Examples
    --------
    >>> transfer_loss({"trees": [0.7, 0.8]}, {"trees": [0.8, 0.8]})["trees"]
    {'value': -0.05, 'error': 0.05}
    """
    losses = {}
    for name, values in areas.items():
        differences = np.subtract(values, reference[name])
        error = differences.std(ddof=1) / np.sqrt(len(differences))
        value = differences.mean()
        losses[name] = {"value": float(value.round(12)), "error": float(error.round(12))}
    return losses
