import numpy as np
import pytest

from hepgmm.classify.networks import Transformer
from hepgmm.classify.training import train
from hepgmm.crossings.samples import Sample


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


@pytest.fixture
def small_transformer():
    """Makes the network that ``run`` trains unless it is given another."""

    def small_transformer(seed=1, **options):
        options = {"width": 8, "n_heads": 2, "n_blocks": 1, "feedforward": 16} | options
        return Transformer(seed=seed, **options)

    return small_transformer


@pytest.fixture
def run(toy, tmp_path, small_transformer):
    """Train a small transformer for a moment; anything can be overridden."""

    def run(model=None, *, directory="run", **options):
        options = {
            "training": toy(70, seed=1),
            "validation": toy(40, seed=2),
            "epochs": 5,
            "batch_size": 16,
            "learning_rate": 2e-3,
            "step_epochs": 2,
            "seed": 3,
            "progress": False,
            "accelerator": "cpu",
        } | options
        return train(model or small_transformer(), directory=tmp_path / directory, **options)

    return run
