"""A min-bias sample made by hand: exact zeros, displaced tails, two-track events."""

import numpy as np
import pytest

from hepgmm.events import make_events


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
