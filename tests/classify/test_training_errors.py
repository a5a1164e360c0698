"""Trainings that cannot be, or that go wrong: a clear error, and nothing half-written."""

import math

import pyarrow.parquet as pq
import pytest
import torch


def test_a_diverging_first_epoch_is_named_and_leaves_nothing(run, tmp_path):
    with pytest.raises(ValueError) as error:
        run(learning_rate=1e30)
    assert str(error.value) == "training Transformer: val_loss of epoch 1 is nan; lower the learning rate"
    assert not list(tmp_path.rglob("*.*"))


def test_an_infinite_training_loss_is_named(run, small_transformer):
    model = small_transformer()
    # The gradient of such a loss is finite, so that only the training loss tells.
    model.register_forward_hook(
        lambda module, _, logit: logit + (math.inf if module.training else 0)
    )
    with pytest.raises(ValueError, match=r"Transformer: train_loss of epoch 1 is (nan|inf); lower"):
        run(model)


def test_a_later_divergence_leaves_the_epochs_before_it(run, tmp_path, small_transformer):
    model = small_transformer()
    batches = []

    def poison(module, _):
        batches.append(module.training)
        # 5 batches an epoch: the 8th is in the second one.
        if module.training and sum(batches) == 8:
            module.output.bias.data.fill_(math.nan)

    model.register_forward_pre_hook(poison)
    with pytest.raises(ValueError, match="Transformer: val_loss of epoch 2 is nan; lower the learn"):
        run(model, epochs=2)
    folder = tmp_path / "run"
    kept = torch.load(folder / "last.ckpt", weights_only=True)["hepgmm"]["history"]
    assert [row["epoch"] for row in kept] == [1]
    assert pq.read_table(folder / "history.parquet").num_rows == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.safetensors",
        "history.parquet",
        "last.ckpt",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs=0 is not a whole number above 0"),
        ({"patience": 0}, "patience=0 is not a whole number above 0"),
        ({"patience": 2.0}, "patience=2.0 is not a whole number above 0"),
        ({"batch_size": 1.5}, "batch_size=1.5 is not a whole number"),
        ({"batch_size": 71}, "batch_size=71 is more than the 70 training events"),
        ({"epochs": "few"}, "epochs='few' is not a whole number"),
        ({"mirror": "maybe"}, "mirror='maybe' is neither true nor false"),
        ({"weight_decay": -1}, "weight_decay=-1 is not finite and at least 0"),
        ({"track_weight": "a"}, "track_weight='a' is not finite and at least 0"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0 is not finite and above 0"),
        ({"learning_rate": math.inf}, "learning_rate=inf is not finite and above 0"),
        ({"learning_rate": math.nan}, "learning_rate=nan is not finite and above 0"),
        ({"schedule": "linear"}, "schedule='linear' is unknown"),
    ],
)
def test_impossible_settings_are_named(run, options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_both_classes_are_needed(run, toy):
    sample = toy(30, seed=1)
    with pytest.raises(ValueError, match="validation: no signal event; both classes are needed"):
        run(validation=sample[sample.y == 0])
