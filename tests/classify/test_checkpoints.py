"""Checkpoints of other trainings, and files that are none, are refused by name."""

import pytest
import torch

from hepgmm.classify.networks import MLP, Transformer

SMALL = {"width": 8, "n_heads": 2, "n_blocks": 1, "feedforward": 16}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 1e-2}, "other learning_rate"),
        ({"seed": 8}, "other seed"),
        ({"precision": "bf16-mixed"}, "other precision"),
        ({"epochs": 9}, "other epochs"),
        ({"model": Transformer(seed=2, **SMALL)}, "other model seed, initial weights"),
        ({"model": MLP()}, "other architecture"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(run, change, named):
    run(epochs=1)
    with pytest.raises(ValueError, match=rf"last\.ckpt: belongs to another training \({named}"):
        run(**({"epochs": 1} | change))


def test_a_checkpoint_of_other_events_is_refused(run, toy):
    run(epochs=1)
    with pytest.raises(ValueError, match="other training events"):
        run(epochs=1, training=toy(71, seed=1))
    with pytest.raises(ValueError, match="other validation events"):
        run(epochs=1, validation=toy(40, seed=3))


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_broken_checkpoint_is_named(run, tmp_path, content):
    run(epochs=1)
    checkpoint = tmp_path / "run" / "last.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000] if content is None else content)
    with pytest.raises(ValueError, match=r"last\.ckpt: not a checkpoint of hepgmm"):
        run(epochs=1)


@pytest.mark.parametrize(
    "content",
    [
        [1],
        5,
        torch.zeros(3),
        {"weights": torch.zeros(3)},
        {"hepgmm": None},
        {"hepgmm": {}},
        {"hepgmm": {"identity": {}}},
        {"hepgmm": {"identity": None, "history": []}},
    ],
)
def test_a_torch_file_of_others_is_named(run, tmp_path, content):
    (tmp_path / "run").mkdir()
    torch.save(content, tmp_path / "run" / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt: not a checkpoint of hepgmm"):
        run(epochs=1)
