import numpy as np
import pytest

from hepgmm.events import make_events
from hepgmm.validate import two_sample


def independent_tracks(n_events, *, seed, eta_shift=0.0, mean_tracks=6):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean_tracks, n_events)
    n = counts.sum()
    columns = {
        "pt": rng.lognormal(0, 0.5, n),
        "eta": rng.normal(eta_shift, 1.0, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(rng.random(n) < 0.1, rng.normal(0, 10, n), 0.0),
        "dz": rng.normal(0, 50, n),
    }
    return make_events(columns, counts)


@pytest.fixture(scope="session")
def events():
    """Function that makes events of independent tracks."""
    return independent_tracks


@pytest.fixture
def no_trees(monkeypatch):
    """The first feature instead of trees, where AUCs are not what is tested."""
    for module in (two_sample, two_sample):
        monkeypatch.setattr(
            module, "boosted_scores", lambda features, synthetic, fold, *, seed: features[:, 0]
        )
