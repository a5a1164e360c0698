"""The loop that trains every network."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hepgmm.training import (
    Loss,
    best_epoch,
    fit,
    has_stalled,
    learning_rate_factor,
    read_history,
    seeded,
)

X = torch.linspace(-1, 1, 40)[:, None]


def line(seed=1):
    with seeded(seed):
        return nn.Linear(1, 1)


def squares(network, x):
    """With noise in training, so that random numbers matter."""
    noise = 0.1 * torch.randn_like(x) if network.training else 0.0
    return (network(x) - 3 * x + 1 + noise).square().mean()


def batches(epoch):
    order = torch.from_numpy(np.random.default_rng(epoch).permutation(40))
    return zip(X[order].split(16), strict=True)


def trained(network, loss=squares, *, epochs=5, **options):
    options = {"learning_rate": 0.1, "steps_per_epoch": 3, "seed": 4} | options
    return fit(network, loss, batches, [(X,)], epochs=epochs, **options)


def without_seconds(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def weights(network):
    return torch.cat([x.detach().flatten() for x in network.parameters()])


def test_step_schedule_falls_to_a_tenth_each_time():
    settings = {"schedule": "step", "steps_per_epoch": 10, "epochs": 100, "step_epochs": 30}
    factors = [learning_rate_factor(step, **settings) for step in (0, 299, 300, 600)]
    assert factors == pytest.approx([1.0, 1.0, 0.1, 0.01])


def test_cosine_schedule_rises_over_a_twentieth_then_falls_to_zero():
    settings = {"schedule": "cosine", "steps_per_epoch": 20, "epochs": 10, "step_epochs": 1}
    factors = np.array([learning_rate_factor(step, **settings) for step in range(201)])
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert (np.diff(factors[10:]) < 0).all()
    assert factors[105] == pytest.approx(0.5)
    assert factors[200] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [("step", 0.1, 0.1), ("cosine", 0.1, 0.05), ("falling", 0.1, 0.05), ("one_cycle", 0.1, 0.05)],
)
def test_rates_of_schedules(schedule, first, last):
    rates = [row["lr"] for row in trained(line(), schedule=schedule, epochs=20)]
    assert max(rates) == pytest.approx(first, rel=0.15)
    assert rates[-1] == pytest.approx(last) if schedule == "step" else rates[-1] < 0.01


@pytest.mark.parametrize("average", [None, 0.9])
@pytest.mark.parametrize("schedule", ["cosine", "falling", "one_cycle"])
def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path, schedule, average):
    options = {"schedule": schedule, "average": average}
    whole = line()
    history = trained(whole, **options)
    best, steps = {}, []

    def stopped(network, x):
        steps.append(network.training)
        if sum(steps) == 8:  # in the middle of the third epoch
            raise KeyboardInterrupt
        return squares(network, x)

    def save(network):
        best.update({name: x.clone() for name, x in network.state_dict().items()})

    options |= {"directory": tmp_path, "identity": {"seed": 4}, "save": save}
    with pytest.raises(KeyboardInterrupt):
        trained(line(), stopped, **options)
    assert len(read_history(tmp_path)) == 2
    assert without_seconds(trained(line(), **options)) == without_seconds(history)
    for name, values in whole.state_dict().items():
        assert torch.equal(best[name], values)
    with pytest.raises(ValueError, match=r"last\.ckpt: belongs to another training \(other seed\)"):
        trained(line(), **options | {"identity": {"seed": 5}})


def test_a_checkpoint_of_lightnings_trainer_goes_on(tmp_path):
    """As versions before this loop wrote them."""
    whole, rows = line(), trained(line(), epochs=4)
    trained(whole, epochs=4)

    def stopped(network, x):
        if torch.is_grad_enabled() and (tmp_path / "last.ckpt").exists():
            raise KeyboardInterrupt
        return squares(network, x)

    best = []
    options = {"directory": tmp_path, "identity": {}, "save": best.append, "epochs": 4}
    with pytest.raises(KeyboardInterrupt):
        trained(line(), stopped, **options)
    state = torch.load(tmp_path / "last.ckpt", weights_only=True)
    old = {
        "state_dict": {f"model.{name}": x for name, x in state["network"].items()},
        "optimizer_states": [state["optimizer"]],
        "lr_schedulers": [state["scheduler"]],
        "hepgmm": state["hepgmm"],
    }
    torch.save(old, tmp_path / "last.ckpt")
    resumed = trained(line(), **options)
    assert without_seconds(resumed) == without_seconds(rows)
    assert torch.equal(weights(best[-1]), weights(whole))


def test_weights_of_events_are_as_good_as_copies():
    counts = torch.arange(40) % 3
    copies = X.repeat_interleave(counts, 0)

    def weighted(network, x, n):
        losses = (network(x) - x.sin()).square()[:, 0]
        return Loss(losses @ n / n.sum(), weight=float(n.sum()))

    options = {"epochs": 3, "steps_per_epoch": 1, "learning_rate": 0.1, "seed": 1}
    one, other = line(), line()
    data = [(X, counts.float())]
    first = fit(one, weighted, lambda epoch: data, data, **options)
    data = [(copies, torch.ones(len(copies)))]
    second = fit(other, weighted, lambda epoch: data, data, **options)
    torch.testing.assert_close(weights(one), weights(other))
    # Two batches of unequal weight: the mean is that of all events.
    parts = [(x, n.float()) for x, n in zip(X.split(30), counts.split(30), strict=True)]
    halves = fit(line(), weighted, lambda epoch: data, parts, **options)
    for a, b, c in zip(first, second, halves, strict=True):
        assert a["val_loss"] == pytest.approx(b["val_loss"], rel=1e-5)
        assert a["val_loss"] == pytest.approx(c["val_loss"], rel=1e-5)


def test_what_is_kept_is_the_best_epoch_or_its_running_average():
    seen = []

    def noted(network, x):
        if not network.training:
            seen.append(weights(network).clone())
        return squares(network, x)

    for average in (None, 0.9):
        seen.clear()
        network = line()
        history = trained(network, noted, learning_rate=1.0, average=average, epochs=8)
        assert torch.equal(weights(network), seen[best_epoch(history) - 1])
        assert not network.training


def test_the_running_average_starts_with_the_first_weights_and_forgets_them():
    steps, averages = [weights(line())], []

    def noted(network, x):
        if network.training:
            steps.append(weights(network.module).clone())
        else:
            averages.append(weights(network).clone())
        return squares(network, x)

    trained(line(), noted, average=0.5, epochs=1)
    after_one, after_two = steps[2:4]
    # The weights after the third step are not seen: two of three are enough to test the average.
    expected = torch.lerp(torch.lerp(steps[0], after_one, 0.9), after_two, 9 / 11)
    third = (averages[0] - expected * (1 - 9 / 12)) / (9 / 12)
    network = line()
    trained(network, average=None, epochs=1)
    torch.testing.assert_close(weights(network), third)


def test_extra_is_minimised_but_not_shown_and_metrics_see_all_events():
    def loss(network, x):
        y = network(x)[:, 0]
        return Loss((y * 0).mean(), extra=(y - 2).square().mean(), outputs=(y,))

    network = line()
    history = trained(network, loss, epochs=60, metrics=lambda y: {"n": len(y)}, weight_decay=0.0)
    assert all(row["train_loss"] == 0 and row["n"] == 40 for row in history)


def test_random_numbers_come_from_the_seed_or_from_torch():
    state = torch.get_rng_state()
    one, other = line(), line()
    assert without_seconds(trained(one)) == without_seconds(trained(other))
    assert torch.equal(state, torch.get_rng_state())
    trained(other, seed=None, epochs=1)
    assert not torch.equal(state, torch.get_rng_state())
    torch.set_rng_state(state)


def test_a_loss_that_is_not_finite_is_named():
    def loss(network, x):
        return squares(network, x) + (math.inf if network.training else 0.0)

    with pytest.raises(ValueError, match="a line: train_loss of epoch 1 is inf; lower the learn"):
        trained(line(), loss, label="a line")


def test_the_end_is_the_best_epoch_or_patience():
    losses = (0.7, 0.5, 0.6, 0.5)
    history = [{"epoch": n, "val_loss": loss} for n, loss in enumerate(losses, start=1)]
    assert best_epoch(history) == 2
    assert has_stalled(history, 2)
    assert not has_stalled(history, 3) and not has_stalled(history, None)
    rows = trained(line(), lambda network, x: 1 + 0 * network(x).sum(), patience=2, epochs=9)
    assert len(rows) == 3
