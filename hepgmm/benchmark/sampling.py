"""Synthetic events against the random numbers that they need, and against Pythia."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepgmm.benchmark.timing import in_turns, ratio, summary
from hepgmm.collide import generate
from hepgmm.cores import in_threads
from hepgmm.mixture.sampling import (
    CHUNK,
    generator,
    seed_sequence,
)
from hepgmm.pileup.hierarchical import BATCH, Synthesis

__all__ = ["draw_numbers", "sampling_speed"]


def draw_numbers(synthesis: Synthesis, seed, *, workers: int = 1) -> None:
    """Draw the random numbers of a sample of events and nothing else, into memory used again.

    For each event a normal and two uniforms (the numbers of tracks and components), for each
    component 15 normals and a uniform, all in double precision; for each track 4 normals and a
    uniform (phi) in single precision, and a uniform in double precision (its component). The
    generators, the batches and the sizes of the pieces are those of the sample.
    """
    root = seed_sequence(seed)
    starts = np.concatenate([[0], np.cumsum(synthesis.counts)])

    def run(batches):
        double, single = np.empty(15 * CHUNK), np.empty(4 * CHUNK, dtype=np.float32)
        for batch in batches:
            rng = generator(root, batch)
            first, last = batch * BATCH, min((batch + 1) * BATCH, synthesis.n_events)
            rng.standard_normal(out=double[: last - first])
            rng.random(out=double[: 2 * (last - first)])
            for n in _pieces(synthesis.offsets[last] - synthesis.offsets[first]):
                rng.standard_normal(out=double[: 15 * n])
                rng.random(out=double[:n])
            for n in _pieces(starts[last] - starts[first]):
                rng.standard_normal(out=single[: 4 * n], dtype=np.float32)
                rng.random(out=double[:n])
                rng.random(out=single[:n], dtype=np.float32)

    in_threads(run, -(-synthesis.n_events // BATCH), workers)


def _pieces(total):
    return [min(CHUNK, total - begin) for begin in range(0, total, CHUNK)]


def sampling_speed(model, n_events: int = 50_000, *, repeats: int = 5, seed: int = 1) -> dict:
    """Rates of a fitted generator and of its random numbers, in turns, and of Pythia.

    Parameters
    ----------
    model
        A fitted :class:`hepgmm.HierarchicalGMM`.
    n_events
        Synthetic events in each turn; of Pythia's collisions, a hundredth.
    repeats
        Turns.
    seed
        Of the events.

    Returns
    -------
    dict
        ``per_second``, events a second with at least the model's ``min_tracks`` tracks, of
        ``Pythia``, of the ``mixture`` and of its ``random numbers``, the latter two with 2
        threads as well; ``over_random_numbers``, how many times
        longer the mixture takes; ``over_pythia``, how many times faster it is; ``two_threads``,
        how much faster two threads are; ``events`` and ``tracks_per_event`` of both.
    """
    pythia = max(n_events // 100, 10)
    tracks = ak.num(generate("minbias", pythia, seed=seed, progress=False))
    tracks = tracks[tracks >= model.min_tracks]
    synthesis = Synthesis(model, n_events, seed)
    tasks = {
        "Pythia": lambda: generate("minbias", pythia, seed=seed, progress=False),
        "mixture": lambda: model.sample(n_events, seed=seed),
        "random numbers": lambda: draw_numbers(synthesis, seed),
        "mixture, 2 threads": lambda: model.sample(n_events, seed=seed, workers=2),
        "random numbers, 2 threads": lambda: draw_numbers(synthesis, seed, workers=2),
    }
    model.sample(100, seed=seed)
    # Pythia apart: in its seconds the system takes unused memory back, which costs the next task.
    seconds = in_turns({"Pythia": tasks.pop("Pythia")}, repeats) | in_turns(tasks, repeats)
    made = {name: len(tracks) if name == "Pythia" else n_events for name in seconds}
    return {
        "events": n_events,
        "tracks_per_event": {
            "Pythia": float(ak.mean(tracks)),
            "mixture": float(synthesis.counts.mean()),
        },
        "per_second": {name: summary(made[name] / times) for name, times in seconds.items()},
        "over_random_numbers": ratio(seconds["mixture"], seconds["random numbers"]),
        "over_pythia": ratio(seconds["Pythia"] / len(tracks), seconds["mixture"] / n_events),
        "two_threads": {
            name: ratio(seconds[name], seconds[f"{name}, 2 threads"])
            for name in ("mixture", "random numbers")
        },
    }
