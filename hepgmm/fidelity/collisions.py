"""The collisions that generators learn from and are judged by, each kind with its own seed."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import awkward as ak
import numpy as np

from hepgmm.collide import generate
from hepgmm.io.cache import code_fingerprint, digest
from hepgmm.io.parquet import load_tracks

__all__ = ["MIN_TRACKS", "Collisions"]

#: Pileup events with fewer tracks are left out, training, test and pools alike.
MIN_TRACKS = 3
#: First number of the seed of each kind of sample.
KINDS = ("training", "test", "train_pool", "test_pool", "train_hard", "test_hard")


class Collisions:
    """Samples of one seed, made when they are first asked for, and kept in a folder.

    Parameters
    ----------
    seed
        With another seed, every sample is another.
    folder
        Where parquet files are kept.
    workers
        Processes of Pythia; no effect on the events.
    progress
        Called with a line before a sample is made.
    """

    def __init__(self, seed: int, *, folder: Path, workers: int = 1, progress: Callable = print):
        self.seed, self.folder, self.workers, self.progress = seed, folder, workers, progress

    def pileup(self, kind: str, n_events: int) -> ak.Array:
        """Min-bias events; those with fewer than three tracks are left out.

        Parameters
        ----------
        kind
            ``"training"``, ``"test"``, or the pools of the overlay: ``"train_pool"``,
            ``"test_pool"``.
        n_events
            How many Pythia makes.
        """
        events = self._events(kind, "minbias", n_events)
        return events[ak.num(events) >= MIN_TRACKS]

    def hard(self, kind: str, n_events: int) -> tuple[ak.Array, np.ndarray]:
        """Hard events, half of them jets and a quarter each neutralinos of 100 and 500 GeV.

        Parameters
        ----------
        kind
            ``"train_hard"`` or ``"test_hard"``.
        n_events
            How many.

        Returns
        -------
        events : awkward.Array
        mass : numpy.ndarray
            Mass of the neutralino in GeV, 0 for jets, shape (n,).
        """
        quarter = n_events // 4
        parts = {0: self._events(kind, "qcd", 2 * quarter)}
        parts |= {m: self._events(kind, "llp", quarter, mass=float(m)) for m in (100, 500)}
        mass = np.repeat(list(parts), [len(part) for part in parts.values()]).astype(float)
        return ak.concatenate(list(parts.values())), mass

    def _events(self, kind, process, n_events, **options):
        maker = [code_fingerprint("collide.pythia"), version("pythia8mc")]
        about = (kind, process, *options.values(), self.seed, n_events, digest(maker))
        name = "-".join(map(str, about))
        path = self.folder / f"fidelity-{name}.parquet"
        if not path.exists():
            self.progress(f"collisions: {n_events} {process} events ({kind})")
            seed = np.random.SeedSequence([self.seed, KINDS.index(kind)])
            generate(
                process,
                n_events,
                seed=seed,
                workers=self.workers,
                path=path,
                progress=False,
                **options,
            )
        return load_tracks(path)
