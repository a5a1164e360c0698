"""How fast synthetic pileup is, as ratios measured side by side in one run."""

from __future__ import annotations

import time

import numpy as np

from hepgmm.collide import generate
from hepgmm.pileup.hierarchical import HierarchicalGMM

__all__ = ["sampling_speed"]


def sampling_speed(n_events: int = 300, *, seed: int = 1, repeats: int = 5) -> dict[str, dict]:
    """Rates of Pythia and of the mixture fitted to its events, on one core.

    Pythia's time includes its initialisation once; the mixture's rate is of sampling alone and
    its fit is stated apart.

    Parameters
    ----------
    n_events
        Min-bias events to generate and fit.
    seed
        Of the events, the fit and the samples.
    repeats
        Measurements of the sampling rate.

    Returns
    -------
    dict
        ``pythia`` and ``mixture`` [events/s], their ``ratio`` and the ``fit`` time [s]; errors
        are half the spread of the repeats.
    """
    start = time.perf_counter()
    events = generate("minbias", n_events, seed=seed, progress=False)
    pythia = n_events / (time.perf_counter() - start)
    start = time.perf_counter()
    model = HierarchicalGMM(max_components=20, seed=seed).fit(events)
    fit = time.perf_counter() - start
    rates = []
    for repeat in range(repeats):
        start = time.perf_counter()
        model.sample(20 * n_events, seed=[seed, repeat])
        rates.append(20 * n_events / (time.perf_counter() - start))
    rate, error = float(np.median(rates)), float(np.ptp(rates) / 2)
    return {
        "pythia": {"value": pythia, "error": 0.0},
        "mixture": {"value": rate, "error": error},
        "ratio": {"value": rate / pythia, "error": error / pythia},
        "fit": {"value": fit, "error": 0.0},
    }
