"""One Pythia: settings in, blocks of tracks out."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import awkward as ak
import numpy as np

from hepgmm.cache import cache_folder, digest
from hepgmm.collide.detector import in_tracker
from hepgmm.collide.helix import perigee
from hepgmm.collide.processes import PROCESSES, settings, slha
from hepgmm.events import FEATURES, make_events
from hepgmm.io_utils import atomic_write

__all__ = ["Engine", "multiparton_tables"]

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
    settings alone, so they are made once and kept in :func:`hepgmm.cache.cache_folder`.

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
