"""How fast synthetic pileup is, as ratios measured side by side in one run."""

from __future__ import annotations

import time

import numpy as np

from hepgmm.collide import generate
from hepgmm.pileup.hierarchical import HierarchicalGMM

__all__ = ["sampling_speed"]

# Synthetic events for each event of Pythia's: enough to time them.
_SYNTHETIC = 20


def sampling_speed(n_events: int = 300, *, seed: int = 1, repeats: int = 5) -> dict[str, dict]:
    """Rates of Pythia and of the mixture fitted to its events, on one core, in turns.

    Pythia's initialisation and the mixture's fit are left out of the rates.

    Parameters
    ----------
    n_events
        Min-bias events to fit, and to generate in each repeat.
    seed
        Of the events, the fit and the samples.
    repeats
        Pairs of measurements.

    Returns
    -------
    dict
        ``pythia`` and ``mixture`` [events/s], their ``ratio``, and the ``fit`` of ``n_events``
        [s], made once for each repeat. Values are medians, errors half the range of the repeats.
    """
    events = generate("minbias", n_events, seed=seed, progress=False)
    seconds = {"pythia": [], "fit": [], "mixture": []}

    def timed(name, function, *arguments, **options):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds[name].append(time.perf_counter() - start)
        return result

    for repeat in range(1, repeats + 1):
        timed("pythia", generate, "minbias", n_events, seed=seed + repeat, progress=False)
        model = timed("fit", HierarchicalGMM(max_components=20, seed=seed).fit, events)
        timed("mixture", model.sample, _SYNTHETIC * n_events, seed=seed + repeat)
    pythia = n_events / np.array(seconds["pythia"])
    mixture = _SYNTHETIC * n_events / np.array(seconds["mixture"])
    figures = {"pythia": pythia, "mixture": mixture, "ratio": mixture / pythia}
    figures["fit"] = np.array(seconds["fit"])
    return {
        name: {"value": float(np.median(values)), "error": float(np.ptp(values) / 2)}
        for name, values in figures.items()
    }
