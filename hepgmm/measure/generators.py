"""Every generator of pileup beside the real thing: the figures of the book's chapter on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np
from threadpoolctl import threadpool_limits

from hepgmm.analysis.figures import environment
from hepgmm.analysis.presets import load_preset
from hepgmm.classify import MLP, BoostedTrees, predict, train
from hepgmm.classify.metrics import auc
from hepgmm.collide import generate
from hepgmm.crossings.overlay import split_events
from hepgmm.crossings.samples import HardEvents, Sample
from hepgmm.io.cache import Store, cache_folder, code_fingerprint, digest
from hepgmm.io.parquet import load_tracks
from hepgmm.measure.run import run
from hepgmm.measure.speed import summary
from hepgmm.pileup.base import GENERATORS, make_generator
from hepgmm.validate import compare
from hepgmm.validate.physics import physics

__all__ = ["PARTS", "Transfer", "measure_fidelity", "transfer_loss"]

#: What is measured, in this order.
PARTS = ("generators", "transfer", "sizes")
#: Generators whose fidelity is followed over the number of training events, and these numbers,
#: each with how many disjoint samples of them there are.
GROWING = ("oversampling_rotated", "hgmm", "shared")
SIZES = {300: 3, 1000: 10, 3000: 3, 10_000: 1}
#: Fewest test collisions.
MIN_TEST = 200
#: Pileup events with fewer tracks are left out, training, test and pools alike.
MIN_TRACKS = 3
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
        JSON file of the figures, written after each of them.
    n_training : int
        Min-bias collisions that the generators learn from; with fewer than three tracks, as a
        fourth of them have, they are left out.
    n_test : int
        Those that synthetic events are compared with; there are as many synthetic ones.
    n_hard : int
        Hard events that classifiers are trained on with each pileup, and again to test them.
    n_pool : int
        Min-bias collisions of a pool that is laid over hard events.
    names : iterable of str
        Which of the generators.
    parts : iterable of str
        Which of ``hepgmm.measure.generators.PARTS``.
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
        ``transfer`` (:func:`~hepgmm.measure.transfer_loss`); ``sizes``: number of
        training events → name → figures, averaged over samples; ``real``: physics of the test
        events; with the versions and the machine.

    Raises
    ------
    ValueError
        If the file holds figures of another seed, other sizes, versions or another machine, or for
        too few test events or repeats.
    """
    if n_test < MIN_TEST or repeats < 2:
        raise ValueError(f"n_test = {n_test}, repeats = {repeats}: {MIN_TEST} and 2 are the least")
    about = {"seed": seed, "events": {"training": n_training, "test": n_test, "hard": n_hard}}
    about["events"] |= {"pool": n_pool, "repeats": repeats}
    about["events"] |= {"sizes": {str(size): n for size, n in sizes.items()}}
    about |= environment()
    measures = {
        "generators": partial(compare_all, transformer=transformer),
        "transfer": transfer_all,
        "sizes": grow_all,
    }

    def steps(figures):
        figures.setdefault("sizes", {})
        collisions = Collisions(seed, workers=workers, progress=progress)
        measurement = Measurement(figures, collisions, names, {"seed": seed, "workers": workers})
        for part in parts:
            yield from measures[part](measurement)

    return run(path, about, "generators", steps, progress=progress)


class Collisions(Store):
    """Collisions that generators learn from and are judged by, each of the ``KINDS`` by its seed.

    They lie beside the stages of analyses.
    """

    def __init__(self, seed: int, *, workers: int = 1, progress: Callable = print):
        super().__init__(cache_folder())
        self.seed, self.workers, self._say = seed, workers, progress

    def pileup(self, kind: str, n_events: int) -> ak.Array:
        """Min-bias events, of which those with fewer than three tracks are left out."""
        events = self._events(kind, "minbias", n_events)
        return events[ak.num(events) >= MIN_TRACKS]

    def hard(self, kind: str, n_events: int) -> tuple[ak.Array, np.ndarray]:
        """Hard events, half of them jets and a quarter each neutralinos of 100 and 500 GeV.

        With the mass of the neutralino in GeV, 0 for jets, shape (n,).
        """
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
            generate(
                process,
                n_events,
                seed=np.random.SeedSequence(seed),
                workers=self.workers,
                path=path,
                progress=False,
                **options,
            )

        path = self.cache / f"{process}-{kind}-{digest(about)}.parquet"
        what = f"collisions: {n_events} {process} events ({kind})"
        return self._get(path, what, make, load_tracks)


class Measurement:
    """What is measured: figures that are filled, collisions, and fitted generators."""

    def __init__(self, figures, collisions, names, options):
        self.figures, self.collisions, self.names = figures, collisions, names
        self.options, self.seed, self.fitted = options, options["seed"], {}
        self.events = figures["events"]
        self.training = collisions.pileup("training", self.events["training"])
        self.test = collisions.pileup("test", self.events["test"])
        if "real" not in figures:
            figures["real"] = physics(self.test, seed=self.seed)

    def entry(self, name):
        """Figures of a generator."""
        title = {"title": GENERATORS[name].title}
        return self.figures["generators"].setdefault(name, title)

    def generator(self, name):
        """A generator fitted to the training events."""
        if name not in self.fitted:
            self.fitted[name] = fit(name, self.training, **self.options)
        return self.fitted[name][0]


def compare_all(measurement, *, transformer):
    """Compare every generator with the test events; says what is done before it is."""
    for name in measurement.names:
        entry = measurement.entry(name)
        kept = entry.get("figures", {})
        if not kept or (transformer and "auc_transformer" not in kept):
            yield f"{name}: fit and compare"
            generator, test = measurement.generator(name), measurement.test
            entry["seconds"] = measurement.fitted[name][1]
            drawn = draw(generator, len(test), seed=measurement.seed)
            entry["per_second"], events, sources = drawn
            entry["figures"] = compare(
                test,
                events,
                training=measurement.training,
                sources=sources,
                transformer=transformer,
                seed=measurement.seed,
            )


def transfer_all(measurement):
    """Train classifiers with the pileup of every generator; says what is done before it is."""
    figures, collisions, events = measurement.figures, measurement.collisions, measurement.events
    missing = [name for name in measurement.names if "transfer" not in measurement.entry(name)]
    if not missing:
        return
    yield "transfer: real pileup"
    transfer = Transfer(
        collisions.hard("train_hard", events["hard"]),
        collisions.hard("test_hard", events["hard"]),
        collisions.pileup("test_pool", events["pool"]),
        options=load_preset("standard")["overlay"],
        repeats=events["repeats"],
        seed=measurement.seed,
    )
    real = collisions.pileup("train_pool", events["pool"])
    if "reference" not in figures:
        figures["reference"] = transfer.areas(real)
        other = transfer.areas(collisions.pileup("training", events["pool"]))
        figures["transfer_floor"] = transfer_loss(other, figures["reference"])
    for name in missing:
        yield f"{name}: transfer"
        pool = measurement.generator(name).sample(len(real), seed=measurement.seed)
        loss = transfer_loss(transfer.areas(pool), figures["reference"])
        measurement.entry(name)["transfer"] = loss


def grow_all(measurement):
    """Follow some generators over the number of training events; says what is done before."""
    for size, samples in measurement.events["sizes"].items():
        rows = measurement.figures["sizes"].setdefault(size, {})
        for name in GROWING:
            if name in measurement.names and name not in rows:
                yield f"{name}: {int(size):,} training events"
                rows[name] = grown(name, int(size), samples, measurement)


def fit(name, training, *, seed, workers):
    """A fitted generator and how many seconds its fit took."""
    generator = make_generator(name)
    known = {"seed": seed, "workers": workers}
    generator.set_params(**{k: v for k, v in known.items() if k in generator.get_params()})
    start = time.perf_counter()
    generator.fit(training)
    return generator, time.perf_counter() - start


def draw(generator, n_events, *, seed):
    """Events a second on one core, events, and the training events that they follow or None."""
    generator.sample(10, seed=seed)
    rates, n = [], n_events
    with one_thread():
        for turn in range(TURNS):
            start = time.perf_counter()
            generator.sample(n, seed=seed + turn)
            rates.append(n / (time.perf_counter() - start))
            n = min(n_events, int(np.ceil(rates[0] * SECONDS)))
    return summary(rates), *sample(generator, n_events, seed=seed)


@contextmanager
def one_thread():
    """Neither BLAS nor torch uses more than one thread."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)


def sample(generator, n_events, *, seed):
    """Events, and the training events that they follow or None."""
    if generator.HAS_SOURCES:
        return generator.sample(n_events, seed=seed, return_sources=True)
    return generator.sample(n_events, seed=seed), None


def grown(name, size, samples, measurement):
    """Figures of a generator of ``size`` training events, mean and error over samples of them."""
    rows, test, seed = [], measurement.test, measurement.seed
    events = measurement.collisions.pileup("training", size * samples)
    for part in np.array_split(np.arange(len(events)), samples):
        training = events[part]
        generator, _ = fit(name, training, **measurement.options)
        synthetic, sources = sample(generator, len(test), seed=seed)
        rows.append(compare(test, synthetic, training=training, sources=sources, seed=seed))
    n_test, n_independent = len(test), len(training if sources is not None else synthetic)
    shares = {row: n_independent / (n_independent + n_test) for row in rows[0]}
    shares["kpd"] = 0.5  # of subsamples of equal size
    return {row: average([figures[row] for figures in rows], shares[row]) for row in rows[0]}


def average(figures, test_share):
    """Mean of figures over samples of training events, with its error.

    The samples have the test events in common, whose share of the variance of a single figure is
    ``test_share``: variances fall as one over the number of independent events, which are the
    sources of a generator that has some. To it comes the spread of the samples.
    """
    values, errors = (np.array([f[key] for f in figures]) for key in ("value", "error"))
    single, n = np.sqrt((errors**2).mean()), len(values)
    error = np.sqrt(test_share * single**2 + values.var(ddof=1) / n) if n > 1 else single
    floor = float(np.mean([f["floor"] for f in figures]))
    mean = {"value": float(values.mean()), "error": float(error), "floor": floor}
    return mean | {"samples": values.tolist(), "errors": errors.tolist()}


class Transfer:
    """Classifiers of the same hard events, trained with one pileup after the other.

    Every pileup is laid over the same hard events with the same seeds, from a pool of events that
    are drawn with replacement, so that slow generators and Pythia can be compared too.

    Parameters
    ----------
    hard, test_hard : tuple
        ``(events, mass)`` for training and for the test.
    test_pool : awkward.Array
        Real pileup events for the test.
    options : mapping
        The ``overlay`` group of a preset.
    repeats : int
        Trainings, each with its own overlay.
    seed : int
        Of everything.

    Raises
    ------
    ValueError
        For fewer than two repeats, which have no spread.
    """

    def __init__(self, hard, test_hard, test_pool, *, options: Mapping, repeats: int, seed: int):
        if repeats < 2:
            raise ValueError(f"repeats = {repeats}: an error needs at least 2")
        self.hard, self.options, self.repeats = hard, options, repeats
        self.seeds = np.random.SeedSequence(seed).spawn(repeats + 1)
        self.test = HardEvents(*test_hard, test_pool, options, self.seeds[-1]).sample()

    def areas(self, pool: ak.Array) -> dict[str, list[float]]:
        """AUC on the test events with real pileup, of each training with pileup from ``pool``.

        Parameters
        ----------
        pool : awkward.Array
            Pileup events.

        Returns
        -------
        dict
            ``"trees"`` and ``"mlp"``: an AUC for each repeat.
        """
        areas: dict[str, list[float]] = {"trees": [], "mlp": []}
        for seed in self.seeds[:-1]:
            sample = HardEvents(*self.hard, pool, self.options, seed).sample()
            number = int(seed.generate_state(1)[0])
            for name, scores in self._scores(sample, number).items():
                areas[name].append(auc(scores, self.test.y))
        return areas

    def _scores(self, sample: Sample, seed: int):
        trees = BoostedTrees().fit(sample, seed=seed)
        fractions = (1 - VALIDATION, VALIDATION)
        parts = [sample[i] for i in split_events(len(sample), fractions=fractions, seed=seed)]
        with TemporaryDirectory() as folder:
            model = MLP(features="asinh", seed=seed)
            options = TRAINING | {"batch_size": min(TRAINING["batch_size"], len(parts[0]))}
            result = train(model, *parts, **options, seed=seed, directory=folder, progress=False)
        X, mask = self.test.X, self.test.mask
        return {"trees": trees.predict_proba(X, mask), "mlp": predict(result.model, X, mask)}


def transfer_loss(areas: Mapping[str, list], reference: Mapping[str, list]) -> dict:
    """What training with synthetic pileup costs: mean of the paired differences in AUC.

    Parameters
    ----------
    areas, reference : mapping
        What :meth:`Transfer.areas` gives for the synthetic and for the real pool.

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
