import pytest

from hepgmm.classify.learning import train
from hepgmm.classify.networks import Transformer


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
