"""Fixtures of all tests."""

import sys
from pathlib import Path

import numpy as np
import pytest

from hepgmm.crossings.samples import Sample
from hepgmm.events import make_events

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def no_open_figures():
    """Close the figures of other tests: matplotlib warns of too many, and warnings are errors."""
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def shared_data():
    """Folder of the reference files that lie beside the checkout."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the reference files are not there: ../shared/data beside the checkout")
    return SHARED_DATA


@pytest.fixture(scope="session")
def toy_minbias():
    """Eighty events in miniature: 80% of the tracks prompt with d0 = dz = 0 exactly."""
    rng = np.random.default_rng(42)
    counts = np.where(rng.random(80) < 0.2, 2, rng.integers(5, 40, 80))
    n = counts.sum()
    displaced = rng.random(n) < 0.2
    columns = {
        "pt": np.exp(rng.normal(-0.7, 0.8, n)),
        "eta": rng.normal(0, 4, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(displaced, rng.laplace(0, 3, n), 0.0),
        "dz": np.where(displaced, rng.laplace(0, 30, n), 0.0),
    }
    return make_events(columns, counts)


def _toy(n_events, *, seed, n_tracks=8, displaced=0.5):
    """Events whose signal has some tracks far from the origin; the last track is padding."""
    rng = np.random.default_rng(seed)
    shape = n_events, n_tracks
    y = rng.integers(0, 2, n_events)
    pt = -np.sort(-rng.pareto(2.0, shape) - 0.5, axis=1)
    X = np.stack(
        [
            pt / pt.sum(1, keepdims=True),
            rng.normal(0, 2, shape),
            rng.uniform(-np.pi, np.pi, shape),
            rng.normal(0, 0.05, shape),
            rng.normal(0, 53, shape),
            pt,
        ],
        axis=-1,
    )
    far = (rng.random(shape) < displaced) & (y[:, None] == 1)
    X[..., 3] = np.where(far, rng.normal(0, 20, shape), X[..., 3])
    mask = np.ones(shape, dtype=bool)
    mask[::2, -1] = False
    X = np.where(mask[..., None], X, 0)
    # "Hard" is what lies near the origin along the beam: not what tells the classes apart.
    hard = mask & (np.abs(X[..., 4]) < 20)
    return Sample(X, mask, y, np.where(y, 100.0, 0.0), hard)


@pytest.fixture
def toy():
    return _toy
