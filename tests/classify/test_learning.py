"""Trainings of classifiers: reproducible, resumable, and refused where they cannot be."""

import copy
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import hepgmm
from hepgmm.classify.files import load_model
from hepgmm.classify.learning import mirrored
from hepgmm.classify.metrics import auc
from hepgmm.classify.networks import MLP, Transformer, predict


def losses(result):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in result.history]


def assert_equal_results(a, b):
    assert losses(a) == losses(b)
    assert a.best_epoch == b.best_epoch
    for name, weights in a.model.state_dict().items():
        assert torch.equal(weights, b.model.state_dict()[name]), name


def when_trained(model, batches, act):
    """Call ``act`` in the given training batch (from 1) of a model."""
    seen = []

    def hook(module, _):
        if module.training:
            seen.append(1)
            if len(seen) == batches:
                act()

    model.register_forward_pre_hook(hook)
    return model, seen


def test_mirrors_change_a_training(run):
    plain, other = run(epochs=2), run(epochs=2, mirror=True, directory="mirrored")
    assert losses(plain) != losses(other)
    assert_equal_results(other, run(epochs=2, mirror=True, directory="again"))


def test_every_epoch_but_the_first_asks_for_its_events(run, toy):
    asked, training = [], toy(70, seed=1)

    def fresh(epoch):
        asked.append(epoch)
        return training

    # Events of the same kind in every epoch: the training is the one without.
    assert_equal_results(run(fresh=fresh), run(directory="plain"))
    assert sorted(set(asked)) == [1, 2, 3, 4]


def test_fresh_events_go_on_where_they_were_and_are_not_mixed(run, toy, small_transformer):
    def fresh(epoch, more=0):
        return toy(70 + epoch % 2, seed=100 + epoch + more)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(when_trained(small_transformer(), 13, stop)[0], directory="stopped", fresh=fresh)
    resumed, whole = run(directory="stopped", fresh=fresh), run(directory="whole", fresh=fresh)
    assert_equal_results(resumed, whole)
    assert losses(whole) != losses(run(directory="plain"))
    for other in (lambda epoch: fresh(epoch, more=1), None):
        with pytest.raises(ValueError, match="other fresh events"):
            run(directory="whole", fresh=other)


def test_fresh_events_have_to_be_of_the_same_kind(run, toy, small_transformer):
    other = toy(70, seed=1)
    with pytest.raises(ValueError, match="fresh: no background event"):
        run(fresh=lambda epoch: other[other.y == 1])
    with pytest.raises(ValueError, match=r"fresh: an event has the shape \(9, 6\), not \(8, 6\)"):
        run(fresh=lambda epoch: toy(70, seed=1, n_tracks=9))
    blind = type(other)(other.X, other.mask, other.y)
    with pytest.raises(ValueError, match="fresh: the sample does not know which tracks are hard"):
        run(small_transformer(track_task=True), fresh=lambda epoch: blind, track_weight=0.5)


def test_an_error_of_fresh_events_comes_up_and_leaves_no_thread(run, toy):
    def fresh(epoch):
        if epoch == 2:
            raise RuntimeError("no pileup left")
        return toy(70, seed=epoch)

    before = threading.active_count()
    with pytest.raises(RuntimeError, match="no pileup left"):
        run(fresh=fresh)
    assert threading.active_count() <= before


def test_a_track_task_learns_what_is_hard(run, toy, small_transformer):
    model = small_transformer(track_task=True, features="full")
    test = toy(200, seed=5)
    X, mask = torch.from_numpy(test.X), torch.from_numpy(test.mask)
    options = {"training": toy(600, seed=6), "epochs": 12, "learning_rate": 5e-3}
    options |= {"step_epochs": 12}
    result = run(model, **options, track_weight=1.0)
    without = run(model, **options, directory="without")
    areas = []
    for trained in (result.model, without.model):
        with torch.inference_mode():
            logits = trained(X, mask, tracks=True)[1][mask].double().numpy()
        areas.append(auc(logits, test.hard[test.mask]))
    assert areas[0] > 0.95 > areas[1] + 0.1


def test_a_track_task_needs_an_output_and_a_truth(run, toy, small_transformer):
    with pytest.raises(ValueError, match="the Transformer says nothing of tracks"):
        run(track_weight=0.5)
    training = toy(70, seed=1)
    blind = type(training)(training.X, training.mask, training.y)
    with pytest.raises(ValueError, match="does not know which tracks are hard"):
        run(small_transformer(track_task=True), training=blind, track_weight=0.5)
    with pytest.raises(ValueError, match="track_weight=-1 is not finite"):
        run(small_transformer(track_task=True), track_weight=-1)


def test_same_seed_same_result_other_seed_other_result(run):
    first, again, other = run(directory="a"), run(directory="b"), run(directory="c", seed=4)
    assert_equal_results(first, again)
    assert losses(first) != losses(other)


@pytest.mark.parametrize(
    "options", [{"schedule": "step"}, {"schedule": "cosine"}, {"mirror": True}], ids=str
)
def test_an_interrupted_training_goes_on_to_the_same_result(run, options, small_transformer):
    def stop():
        raise KeyboardInterrupt

    # 5 batches an epoch: the 13th is in the middle of the third epoch.
    model, seen = when_trained(small_transformer(), 13, stop)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(model, directory="stopped", **options)
    assert signal.getsignal(signal.SIGINT) is handler
    model, seen = when_trained(small_transformer(), math.inf, stop)
    resumed = run(model, directory="stopped", **options)
    assert len(seen) == 15, "two epochs were finished, three are trained"
    assert_equal_results(resumed, run(directory="whole", **options))


def test_a_killed_training_goes_on_to_the_same_result(run, toy, tmp_path):
    for name, sample in (("training", toy(70, seed=1)), ("validation", toy(40, seed=2))):
        np.savez(tmp_path / f"{name}.npz", X=sample.X, mask=sample.mask, y=sample.y)
    script = """
        import os, signal
        import numpy as np
        from hepgmm.classify import Sample, Transformer, train
        samples = [Sample(**np.load(name + ".npz")) for name in ("training", "validation")]
        model = Transformer(seed=1, width=8, n_heads=2, n_blocks=1, feedforward=16)
        batches = []
        def kill(module, _):
            batches.append(module.training)
            if sum(batches) == 13:
                os.kill(os.getpid(), signal.SIGKILL)
        model.register_forward_pre_hook(kill)
        train(model, *samples, epochs=5, batch_size=16, learning_rate=2e-3, step_epochs=2, seed=3,
              directory="killed", progress=False, accelerator="cpu")
        """
    code = f"import torch; torch.set_num_threads({torch.get_num_threads()})\n"
    code += textwrap.dedent(script)
    environment = os.environ | {"PYTHONPATH": str(Path(hepgmm.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    left = sorted(path.name for path in (tmp_path / "killed").iterdir())
    assert left == ["best.safetensors", "history.parquet", "last.ckpt"]
    assert_equal_results(run(directory="killed"), run(directory="whole"))


def test_two_processes_train_as_one(run, toy, tmp_path, small_transformer):
    for name, sample in (("training", toy(70, seed=1)), ("validation", toy(40, seed=2))):
        np.savez(tmp_path / f"{name}.npz", X=sample.X, mask=sample.mask, y=sample.y)
    script = tmp_path / "two.py"
    script.write_text(
        textwrap.dedent(
            """
            import os
            import numpy as np
            import torch
            from hepgmm.classify import Sample, Transformer, save_model, train
            if __name__ == "__main__":
                torch.set_num_threads(1)
                parts = [Sample(**np.load(name + ".npz")) for name in ("training", "validation")]
                shape = dict(width=8, n_heads=2, n_blocks=1, feedforward=16, dropout=0.0)
                result = train(Transformer(seed=1, **shape), *parts, epochs=3, batch_size=16,
                               learning_rate=2e-3, step_epochs=2, seed=3, directory="two",
                               progress=False, accelerator="cpu", devices=2)
                save_model(f"rank{os.environ.get('LOCAL_RANK', 0)}.safetensors", result.model)
            """
        )
    )
    environment = os.environ | {"PYTHONPATH": str(Path(hepgmm.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    one = run(small_transformer(dropout=0.0), epochs=3, directory="one")
    weights = [load_model(tmp_path / f"rank{rank}.safetensors").state_dict() for rank in (0, 1)]
    for name, alone in one.model.state_dict().items():
        assert torch.equal(weights[0][name], weights[1][name]), name
        torch.testing.assert_close(weights[0][name], alone, rtol=1e-4, atol=1e-5)
    history = pq.read_table(tmp_path / "two" / "history.parquet").to_pylist()
    assert [row["val_loss"] for row in history] == pytest.approx(
        [row["val_loss"] for row in one.history], rel=1e-4
    )


def test_mixed_precision_is_close_to_full(run):
    full, mixed = run(epochs=3), run(epochs=3, precision="bf16-mixed", directory="mixed")
    assert losses(full) != losses(mixed)
    for one, other in zip(full.history, mixed.history, strict=True):
        assert one["val_loss"] == pytest.approx(other["val_loss"], rel=0.02)


def test_a_finished_training_is_read_not_repeated(run, small_transformer):
    first = run()
    model, seen = when_trained(small_transformer(), math.inf, None)
    again = run(model)
    assert not seen
    assert first.history == again.history
    assert_equal_results(first, again)


def test_result_is_the_best_epoch_not_the_last(run, toy):
    validation = toy(40, seed=2)
    # Labels that cannot be learned: the validation loss rises as the training goes on.
    labels = np.random.default_rng(5).integers(0, 2, 40).astype(np.int8)
    validation = type(validation)(validation.X, validation.mask, labels)
    result = run(MLP(seed=1), validation=validation, learning_rate=1e-2, epochs=8)
    val = [row["val_loss"] for row in result.history]
    assert result.best_epoch == 1 + int(np.argmin(val)) < 8
    p = predict(result.model, validation.X, validation.mask)
    loss = -np.mean(np.log(np.where(labels == 1, p, 1 - p)))
    assert loss == pytest.approx(min(val), rel=1e-5)


def test_a_training_that_gains_nothing_ends_early(run, small_transformer):
    """Random labels: the validation loss has its minimum early."""
    whole = run(directory="whole", epochs=12, learning_rate=3e-2, schedule="step", step_epochs=99)
    losses_of = [row["val_loss"] for row in whole.history]
    ends = next(n for n in range(3, 13) if min(losses_of[n - 2 : n]) >= min(losses_of[: n - 2]))
    assert ends < 12
    options = {"epochs": 12, "learning_rate": 3e-2, "step_epochs": 99, "patience": 2}
    early = run(directory="early", **options)
    assert losses(early) == losses(whole)[:ends]
    assert early.best_epoch == min(range(ends), key=losses_of.__getitem__) + 1

    def stop():
        raise KeyboardInterrupt

    # In the middle of the last epoch: what is counted lies in the checkpoint.
    stopped, _ = when_trained(small_transformer(), 5 * ends - 2, stop)
    with pytest.raises(KeyboardInterrupt):
        run(stopped, directory="stopped", **options)
    assert_equal_results(run(directory="stopped", **options), early)
    again, seen = when_trained(small_transformer(), 1, lambda: None)
    assert_equal_results(run(again, directory="early", **options), early)
    assert not seen


def test_every_epoch_sees_every_event_once_in_another_order(run, small_transformer):
    epochs = []

    def note(module, inputs):
        if module.training:
            epochs.append(inputs[0][:, 0, 0].clone())

    model = small_transformer()
    model.register_forward_pre_hook(note)
    run(model, epochs=2)
    first, second = torch.cat(epochs[:5]), torch.cat(epochs[5:])
    assert [len(batch) for batch in epochs[:5]] == [16, 16, 16, 16, 6]
    assert not torch.equal(first, second)
    assert torch.equal(first.sort().values, second.sort().values)
    assert len(first) == 70


def test_overfits_64_events_with_random_labels(run, toy, small_transformer):
    sample = toy(64, seed=6)
    labels = np.random.default_rng(7).integers(0, 2, 64)
    sample = type(sample)(sample.X, sample.mask, labels)
    result = run(
        small_transformer(width=32, n_heads=8, feedforward=64, dropout=0.0),
        training=sample,
        validation=sample,
        epochs=120,  # the sum over 8 tracks, in units of 80, starts small
        batch_size=32,
        learning_rate=5e-3,
        schedule="cosine",
    )
    assert result.history[0]["val_loss"] > 0.5
    assert result.history[-1]["val_loss"] < 0.05


@pytest.mark.parametrize(
    "model",
    [
        MLP(seed=1),
        MLP(features="scaled", seed=1),
        Transformer(width=8, n_heads=2, n_blocks=1, feedforward=16, seed=1),
    ],
)
def test_learns_displaced_tracks(run, toy, model):
    test = toy(400, seed=8, displaced=0.4)
    result = run(
        model,
        training=toy(600, seed=9, displaced=0.4),
        validation=toy(100, seed=10, displaced=0.4),
        epochs=24,
        batch_size=64,
        learning_rate=5e-3,
        step_epochs=24,
    )
    assert auc(predict(result.model, test.X, test.mask), test.y) > 0.9


def test_full_events_train_stably_from_the_first_step_at_the_paper_rate(run, toy):
    """The sum over 80 tracks makes large logits; losses must come down and stay finite."""
    result = run(
        Transformer(n_blocks=2),
        training=toy(256, seed=11, n_tracks=80, displaced=0.2),
        validation=toy(64, seed=12, n_tracks=80, displaced=0.2),
        epochs=8,
        learning_rate=1e-3,
        step_epochs=8,
    )
    assert max(row["train_loss"] for row in result.history) < 2
    assert result.history[-1]["val_loss"] < 0.6


def test_the_given_model_and_torchs_random_numbers_are_left_alone(run):
    model = MLP(features="scaled")
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    result = run(model, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    assert not torch.equal(result.model.features.mean, model.features.mean)


def test_history_is_written_as_parquet(run, tmp_path):
    result = run(epochs=3)
    rows = pq.read_table(tmp_path / "run" / "history.parquet").to_pylist()
    assert rows == result.history
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert [row["lr"] for row in rows] == pytest.approx([2e-3, 2e-3, 2e-4])


def test_one_bar_and_nothing_else_is_printed(run, capfd, recwarn):
    run(epochs=2)
    assert capfd.readouterr() == ("", "")
    run(epochs=2, directory="shown", progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "training Transformer" in err
    assert err.count("\n") == 1
    assert not recwarn.list


def test_a_diverging_first_epoch_is_named_and_leaves_nothing(run, tmp_path):
    with pytest.raises(ValueError) as error:
        run(learning_rate=1e30)
    assert (
        str(error.value)
        == "training Transformer: val_loss of epoch 1 is nan; lower the learning rate"
    )
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
    with pytest.raises(ValueError, match="Transformer: val_loss of epoch 2 is nan; lower"):
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


def test_mirrors_are_symmetries_of_what_does_not_change(toy):
    sample = toy(6, seed=1)
    X = torch.from_numpy(sample.X)
    which = torch.arange(6) % 2
    once = mirrored(X, which, 1 - which)
    torch.testing.assert_close(mirrored(once, which, 1 - which), X)
    for column in (0, 5):
        assert torch.equal(once[..., column], X[..., column])
    for column, changed in ((1, which), (4, which), (2, 1 - which), (3, 1 - which)):
        assert torch.equal(once[..., column], X[..., column] * (1 - 2 * changed)[:, None])
