"""The benchmark of the mixtures, from the collisions to the file of figures."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepgmm.analysis.figures import environment
from hepgmm.benchmark.fits import cost_of_size, many_fits, one_fit
from hepgmm.benchmark.sampling import sampling_speed
from hepgmm.collide import generate
from hepgmm.pileup.hierarchical import HierarchicalGMM
from hepgmm.pileup.points import track_features

__all__ = ["PARTS", "benchmark_mixture"]

#: What is measured, in this order.
PARTS = {
    "fit_many": "many small mixtures",
    "fit_one": "one large mixture",
    "sampling": "sampling",
    "curves": "how the cost grows",
}

#: About a fourth of the min-bias events have fewer tracks than the fits take.
SPARE = 1.5
#: A turn of sampling is short and its time uncertain: so many for one of the others.
SAMPLING_TURNS = 3


def benchmark_mixture(
    n_events: int = 1000,
    *,
    parts=tuple(PARTS),
    largest: int = 100,
    repeats: int = 5,
    seed: int = 1,
    progress=print,
) -> dict:
    """Measure the fits and the sampling beside what they replace.

    Parameters
    ----------
    n_events
        Min-bias events of three tracks or more; fewer if Pythia makes fewer.
    parts
        Which of :data:`PARTS`.
    largest
        Largest K of the scan over the components of all events.
    repeats
        Turns of every measurement; three times as many of the sampling.
    seed
        Of the collisions, the fits and the samples.
    progress
        Called with a line before each part.

    Returns
    -------
    dict
        For each part what :func:`~hepgmm.benchmark.fits.many_fits`,
        :func:`~hepgmm.benchmark.fits.one_fit`, :func:`~hepgmm.benchmark.sampling.sampling_speed`
        and :func:`~hepgmm.benchmark.fits.cost_of_size` measured, with the versions and the machine.
    """
    progress("collisions")
    events = generate("minbias", int(SPARE * n_events) + 50, seed=seed, progress=False)
    points, offsets = track_features(events, min_tracks=3)
    offsets = offsets[: n_events + 1]
    events = events[: np.flatnonzero(ak.num(events) >= 3)[len(offsets) - 2] + 1]
    points = np.ascontiguousarray(points[: offsets[-1]])
    common = {"repeats": repeats, "seed": seed}
    model = HierarchicalGMM(max_components=largest, seed=seed)
    if {"fit_one", "sampling"} & set(parts):
        model.fit(events)
    measure = {
        "fit_many": lambda: many_fits(points, offsets, **common),
        "fit_one": lambda: one_fit(
            (model.component_parameters_ - model.component_shift_) / model.component_scale_,
            largest=largest,
            **common,
        ),
        "sampling": lambda: sampling_speed(
            model, 50 * n_events, repeats=SAMPLING_TURNS * repeats, seed=seed
        ),
        "curves": lambda: cost_of_size(points, offsets, **common),
    }
    figures = {"seed": seed, "repeats": repeats, **environment()}
    for part, name in PARTS.items():
        if part in parts:
            progress(name)
            figures[part] = measure[part]()
    return figures
