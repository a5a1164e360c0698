"""Pythia's collisions as events: settings in, blocks of tracks out, by several processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from functools import lru_cache
from importlib.metadata import version
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import awkward as ak
import numpy as np

import hepgmm
from hepgmm.collide.detector import in_tracker
from hepgmm.collide.perigee import perigee
from hepgmm.collide.processes import PROCESSES, resolve, settings, slha
from hepgmm.events import FEATURES, make_events, to_columns
from hepgmm.io.atomic import atomic_write
from hepgmm.io.cache import cache_folder, digest
from hepgmm.io.parquet import load_tracks, save_tracks

__all__ = [
    "BLOCK_SIZE",
    "Engine",
    "generate",
    "multiparton_tables",
]

# Initialisation draws random numbers too: the same ones for every worker and seed.
INIT_SEED = 1
# The setting that names the file of multiparton tables.
TABLES = "MultipartonInteractions:initFile"
# Events between two looks at the stop signal.
BATCH_SIZE = 25
# Tries that may fail for each event wanted, on average, before Pythia counts as broken.
PATIENCE = 10


def start(configuration: dict):
    """An initialised Pythia that prints nothing; RuntimeError if it refuses."""
    import pythia8mc

    pythia = pythia8mc.Pythia("", False)
    quiet = {"Print:quiet": "on", "Random:setSeed": "on", "Random:seed": INIT_SEED}
    for name, value in (quiet | configuration).items():
        if not pythia.readString(f"{name} = {value}"):
            raise RuntimeError(f"Pythia does not take the setting {name} = {value}")
    if not pythia.init():
        raise RuntimeError(f"Pythia can't be initialised with {configuration}")
    return pythia


def multiparton_tables(process: str, options: dict) -> dict:
    """Pythia settings that read the multiparton-interaction tables from a file.

    Tabulating them is nearly all of the 8 s that min-bias takes to initialise. They depend on the
    settings alone, so they are made once and kept in :func:`hepgmm.io.cache.cache_folder`.

    Parameters
    ----------
    process, options
        A key of ``PROCESSES`` and its resolved options.

    Returns
    -------
    dict
        Pythia setting → value; empty for a process that starts quickly without.
    """
    if not PROCESSES[process].slow_start:
        return {}
    configuration = settings(process, options)
    file = cache_folder() / f"multiparton-{digest([configuration, version('pythia8mc')])}.dat"
    mode = "MultipartonInteractions:reuseInit"
    if not file.exists():
        with atomic_write(file) as temporary:
            start(configuration | {mode: 1, TABLES: temporary})
    return {mode: 2, TABLES: file}


class Engine:
    """A Pythia that is initialised once and re-seeded for each block of events.

    After :meth:`generate` re-seeds it, an engine gives the same events whatever it made before.

    Parameters
    ----------
    process, options
        A key of ``PROCESSES`` and its resolved options.

    Raises
    ------
    RuntimeError
        If Pythia refuses a setting or can't be initialised.
    """

    def __init__(self, process: str, options: dict):
        self.field = options["field"]
        configuration = settings(process, options)
        with tempfile.TemporaryDirectory() as folder:
            if process == "llp":
                file = Path(folder) / "model.slha"
                file.write_text(slha(options))
                configuration["SLHA:file"] = file
            tables = multiparton_tables(process, options)
            try:
                self.pythia = start(configuration | tables)
            except RuntimeError:
                if not tables:
                    raise
                # A damaged file: make the tables again.
                tables[TABLES].unlink(missing_ok=True)
                self.pythia = start(configuration | multiparton_tables(process, options))

    def generate(self, n_events: int, *, seed: int, stopped=lambda: False) -> ak.Array:
        """Make one block of events.

        An event that fails in Pythia is tried again with the next random numbers and counted.

        Parameters
        ----------
        n_events
            How many.
        seed
            1 to 900,000,000.
        stopped
            Asked now and then; once it says True, InterruptedError is raised.

        Returns
        -------
        awkward.Array
            Events; ``attrs["provenance"]["failed_tries"]`` counts the failures.
        """
        self.pythia.rndm.init(seed)
        batches, made, tries = [], 0, 0
        while made < n_events:
            if stopped():
                raise InterruptedError("generation was stopped")
            if tries > PATIENCE * (made + BATCH_SIZE):
                raise RuntimeError(f"Pythia made {made} events in {tries} tries: check the options")
            wanted = min(BATCH_SIZE, n_events - made)
            batch = ak.drop_none(self.pythia.nextBatch(wanted, "none"), axis=0)
            tries += wanted
            made += len(batch)
            batches.append(self.tracks(batch))
        columns = {name: np.concatenate([batch[name] for batch in batches]) for name in FEATURES}
        counts = np.concatenate([batch["counts"] for batch in batches])
        return make_events(columns, counts, provenance={"failed_tries": tries - made})

    def tracks(self, batch: ak.Array) -> dict[str, np.ndarray]:
        """Columns of the charged, stable particles made in the tracker, and their counts."""
        event = np.repeat(np.arange(len(batch)), ak.num(batch.prt))
        particles = ak.flatten(batch.prt)
        stable = np.asarray(particles.status) > 0
        kinds, kind = np.unique(np.asarray(particles.id)[stable], return_inverse=True)
        data = self.pythia.particleData
        charge = np.array([data.chargeType(int(pdg)) / 3 for pdg in kinds])[kind]
        # Pythia gives no production vertex to what is made at the collision point.
        vertex = particles.vProd[stable]
        x, y, z = (ak.to_numpy(ak.fill_none(vertex[f], 0.0)) for f in ("px", "py", "pz"))
        px, py, pz = (np.asarray(particles.p[f])[stable] for f in ("px", "py", "pz"))
        kept = (charge != 0) & in_tracker(x, y, z) & (np.hypot(px, py) > 0)
        track = perigee(*(a[kept] for a in (x, y, z, px, py, pz, charge)), field=self.field)
        counts = np.bincount(event[stable][kept], minlength=len(batch))
        return {**track._asdict(), "counts": counts}


#: Events in a block: the unit of work, of seeding and of resuming. A worker initialises Pythia
#: once and re-seeds it for each block (0.4–2 s), so that small blocks cost nothing.
BLOCK_SIZE = 150
# Pythia takes seeds from 1 to 900,000,000.
MAX_SEED = 900_000_000


def generate(
    process: str,
    n_events: int,
    *,
    seed,
    workers: int = 1,
    path=None,
    progress: bool = True,
    **options,
) -> ak.Array:
    """Generate proton-proton collisions with Pythia and keep their charged tracks.

    A track is a charged, stable particle that was produced inside the tracker volume, at its
    perigee relative to the collision point. Events are made in blocks of ``BLOCK_SIZE``, each with
    its own seed, so that they depend neither on ``workers`` nor on ``n_events``: a longer run
    begins with the events of a shorter one.

    Parameters
    ----------
    process
        ``"minbias"`` (inelastic, diffractive and elastic collisions: pileup), ``"qcd"`` (hard
        jets) or ``"llp"`` (a pair of long-lived neutralinos, each decaying to three quarks).
    n_events
        How many events.
    seed
        int or ``SeedSequence``; other seeds give other events.
    workers
        Worker processes; with 1 everything happens in this process.
    path
        Parquet file to write the events to. Finished blocks are kept in ``<path>.parts/`` until
        all are there, so that the same command resumes after an interruption.
    progress
        Whether to show a progress bar.
    **options
        ``energy`` = 13000 GeV and ``field`` = 2 T for all; ``pt_hat_min`` = 20 GeV for ``qcd``;
        ``mass`` = 100 GeV, ``ctau`` = 3000 mm and ``decay`` = ``"udd"`` for ``llp``.

    Returns
    -------
    awkward.Array
        ``n_events * var * Track[pt, eta, phi, d0, dz]`` (GeV, 1, rad, mm, mm);
        ``attrs["provenance"]`` says how they were made and how many tries failed in Pythia.

    Raises
    ------
    ValueError
        For an unknown process or option or an impossible value; names the allowed ones.
    RuntimeError
        If Pythia can't be initialised or nearly always fails, or a worker process dies.

    References
    ----------
    C. Bierlich et al., A comprehensive guide to the physics and usage of PYTHIA 8.3,
    SciPost Phys. Codebases 8 (2022), arXiv:2203.11601.

    Examples
    --------
    >>> events = generate("qcd", 2, seed=1, progress=False)
    >>> len(events), events.fields
    (2, ['pt', 'eta', 'phi', 'd0', 'dz'])
    """
    from tqdm.auto import tqdm

    options = resolve(process, options)
    for name, value in {"n_events": n_events, "workers": workers}.items():
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueError(f"{name} = {value!r}: give a whole number of at least 1")
    if path is not None and Path(path).is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file to write")
    recipe = {"process": process, "options": options, "seed": plain_seed(seed)}
    provenance = recipe | {"pythia": version("pythia8mc"), "hepgmm": hepgmm.__version__}
    with parts_folder(path) as parts:
        tasks = plan(recipe, provenance, n_events, parts)
        blocks = {t: load_tracks(t.file) for t in tasks if t.file and t.file.exists()}
        missing = [task for task in tasks if task not in blocks]
        done = sum(task.size for task in blocks)
        with (
            tqdm(
                total=n_events, initial=done, unit="event", desc=process, disable=not progress
            ) as bar,
            closing(run(process, options, missing, workers)) as results,
        ):
            for task, events in results:
                blocks[task] = events
                bar.update(task.size)
        events = merge([blocks[task] for task in tasks], provenance)
        if path is not None:
            # The last step is a rename: an interrupted run leaves nothing outside its parts.
            save_tracks(parts / "all.parquet", events)
            (parts / "all.parquet").replace(path)
    return events


class Task(NamedTuple):
    """One block: its events' number and seed, and the file that keeps it (or None)."""

    size: int
    seed: int
    file: Path | None


def plain_seed(seed):
    """The seed as JSON can hold it: an int, or four words of a ``SeedSequence``."""
    if isinstance(seed, np.random.SeedSequence):
        return seed.generate_state(4).tolist()
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed = {seed!r}: give a whole number of at least 0 or a SeedSequence")
    return int(seed)


@contextmanager
def parts_folder(path):
    """The folder of finished blocks beside ``path`` (None without), removed on success."""
    if path is None:
        yield None
        return
    folder = Path(f"{path}.parts")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    shutil.rmtree(folder)


def plan(recipe: dict, provenance: dict, n_events: int, parts: Path | None) -> list[Task]:
    """The blocks of a run: sizes, seeds, files.

    The seeds of a run follow each other from a point that the recipe decides, so that no two of
    its blocks share one.
    """
    first = int(digest(recipe, 64), 16)
    tasks = []
    for block, start in enumerate(range(0, n_events, BLOCK_SIZE)):
        size = min(BLOCK_SIZE, n_events - start)
        name = f"{digest(provenance, 16)}-{block:06d}-{size}.parquet"
        seed = 1 + (first + block) % MAX_SEED
        tasks.append(Task(size, seed, parts / name if parts else None))
    return tasks


def run(process: str, options: dict, tasks: list[Task], workers: int):
    """Make the blocks, in this process or in several, and yield (task, events) as they finish."""
    if not tasks:
        return
    items = tuple(options.items())
    if min(workers, len(tasks)) == 1:
        for task in tasks:
            yield task, make_block(process, items, task)
        return
    # Made here, once, rather than by every worker at the same time.
    multiparton_tables(process, options)
    context = get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(
        min(workers, len(tasks)),
        mp_context=context,
        initializer=start_worker,
        initargs=(stop,),
    ) as pool:
        try:
            with main_left_alone():
                futures = {pool.submit(make_block, process, items, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process died (out of memory?): try again with fewer workers; "
                "with a path, finished blocks are kept"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


@contextmanager
def main_left_alone():
    """Keep processes that start meanwhile from running the calling script again.

    They need nothing of it; otherwise a script without ``if __name__ == "__main__":`` would call
    generate in every worker, and one that is read from a pipe couldn't be found at all.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@lru_cache(maxsize=1)
def engine(process: str, items: tuple) -> Engine:
    """The engine of this process, made at its first block."""
    return Engine(process, dict(items))


def make_block(process: str, items: tuple, task: Task) -> ak.Array:
    """The events of one block, written to its file if it has one."""
    events = engine(process, items).generate(task.size, seed=task.seed, stopped=stopped)
    if task.file:
        save_tracks(task.file, events)
    return events


# Tells a worker to stop; nobody tells this process.
_stop: list = []


def stopped() -> bool:
    """Whether the parent has told this worker to stop."""
    return any(event.is_set() for event in _stop)


def start_worker(stop) -> None:
    """Prepare a worker: one thread, deaf to Ctrl-C (the parent stops it), dying with its parent."""
    import pyarrow
    from threadpoolctl import threadpool_limits

    pyarrow.set_cpu_count(1)
    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=die_with_parent, daemon=True).start()
    _stop.append(stop)


def die_with_parent() -> None:
    """End this process when its parent has ended, be it by kill -9."""
    connection.wait([parent_process().sentinel])
    os._exit(1)


def merge(blocks: list[ak.Array], provenance: dict) -> ak.Array:
    """One sample from its blocks, which counts their failed tries."""
    columns, offsets = zip(*map(to_columns, blocks), strict=True)
    failed = sum(block.attrs["provenance"]["failed_tries"] for block in blocks)
    return make_events(
        {name: np.concatenate([block[name] for block in columns]) for name in FEATURES},
        np.concatenate([np.diff(block) for block in offsets]),
        provenance=provenance | {"failed_tries": failed},
    )
