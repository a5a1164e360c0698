"""Dropout from few random bits: the shares, the mean and the gradient of torch's."""

import numpy as np
import pytest
import torch

from hepgmm.classify.fast import VALUES, Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_and_scale(p):
    torch.manual_seed(1)
    n = 1_000_003  # not a multiple of the four numbers of a word
    made = Dropout(p).train()(torch.ones(n))
    dropped = (made == 0).double().mean().item()
    assert dropped == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / n) + 1 / VALUES)
    assert made[made != 0].unique().numpy() == pytest.approx(1 / (1 - p), rel=1e-4)
    assert made.double().mean() == pytest.approx(1, abs=5 * np.sqrt(p / (1 - p) / n))


def test_neighbours_are_dropped_independently():
    """Four numbers come from one random word."""
    torch.manual_seed(2)
    dropped = (Dropout(0.3).train()(torch.ones(250_000, 4)) == 0).double().numpy()
    np.testing.assert_allclose(np.corrcoef(dropped.T), np.eye(4), atol=5 / np.sqrt(250_000))


def test_gradient_is_that_of_what_is_kept():
    x = torch.randn(3, 5, 7, requires_grad=True)
    made = Dropout(0.4).train()(x)
    made.sum().backward()
    torch.testing.assert_close(x.grad, (made / x).detach())


def test_changes_nothing_outside_training():
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)


@pytest.mark.parametrize(("p", "share"), [(0.0, 1.0), (1.0, 0.0)])
def test_all_or_nothing(p, share):
    assert (Dropout(p).train()(torch.ones(100)) == share).all()


def test_same_seed_same_choice():
    layer, made = Dropout(0.5).train(), []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(layer(torch.ones(1000)))
    assert torch.equal(*made)


def test_compiles():
    """A compiled model has torch's dropout."""
    layer = Dropout(0.5).train()
    made = torch.compile(layer, backend="eager", fullgraph=True)(torch.ones(1000))
    assert sorted(set(made.tolist())) == [0.0, 2.0]
