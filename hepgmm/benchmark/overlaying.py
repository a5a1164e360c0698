"""How fast pileup is laid over hard events and tracks are selected, and the memory it takes."""

from __future__ import annotations

import tracemalloc

import awkward as ak

from hepgmm.benchmark.timing import in_turns, summary
from hepgmm.collide import generate
from hepgmm.crossings.overlay import CHUNK, overlay_select
from hepgmm.events import accept
from hepgmm.pileup.hierarchical import HierarchicalGMM
from hepgmm.pileup.shared import SharedGMM

__all__ = ["overlay_speed"]


def overlay_speed(
    *, n_hard: int = CHUNK, n_pileup: int = 1000, mu: float = 60, repeats: int = 5, seed: int = 1
) -> dict:
    """Measure overlay and selection of QCD events on one core, beside the two generators.

    Parameters
    ----------
    n_hard
        QCD events, overlaid at once.
    n_pileup
        Min-bias collisions to draw from, and to fit the generators to.
    mu
        Mean pileup.
    repeats
        Turns.
    seed
        Of the collisions, the fits and the overlay.

    Returns
    -------
    dict
        ``per_second``: hard events a second with pileup from ``real`` events, from the paper's
        mixture (``hgmm``) and from shared components (``shared``), whose sampling is part of it;
        ``peak_mb``: largest memory that was taken beside the events themselves, in MB (not what the
        compiled loop takes for one crossing at a time, below 1 MB).
    """
    hard = generate("qcd", n_hard, seed=seed, progress=False)
    minbias = generate("minbias", n_pileup, seed=seed + 1, progress=False)
    fitted = minbias[ak.num(minbias) >= 3]
    sources = {"real": accept(minbias)}
    sources["hgmm"] = HierarchicalGMM(seed=seed).fit(fitted)
    sources["shared"] = SharedGMM(seed=seed).fit(fitted)

    def task(source):
        return lambda: overlay_select(hard, source, mu=mu, seed=seed)

    tasks = {name: task(source) for name, source in sources.items()}
    peaks = {}
    for name, run in tasks.items():
        run()
        tracemalloc.start()
        run()
        peaks[name] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
    seconds = in_turns(tasks, repeats)
    rates = {name: summary(n_hard / times) for name, times in seconds.items()}
    return {"per_second": rates, "peak_mb": peaks, "n_hard": n_hard, "mu": mu}
