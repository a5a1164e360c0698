"""Attention and importance: rows add up, groups get what they get, what tells is missed."""

import numpy as np
import pytest
import torch

from hepgmm.classify.explain import attention, attention_shares, permutation_importance
from hepgmm.classify.layers import VertexBias
from hepgmm.classify.networks import MLP, Transformer
from hepgmm.crossings.samples import Sample


def test_attention_goes_to_tracks_and_adds_up(toy):
    sample = toy(7, seed=1)
    model = Transformer(width=8, n_heads=2, n_blocks=3, feedforward=8, vertex_bias=True, seed=2)
    weights = attention(model, sample.X, sample.mask)
    assert weights.shape == (3, 7, 2, 8, 8)
    np.testing.assert_allclose(
        weights.sum(-1), np.broadcast_to(sample.mask[:, None, :], (3, 7, 2, 8)), atol=1e-6
    )
    keys = np.broadcast_to(sample.mask[:, None, None, :], weights.shape)
    assert not weights[~keys].any()


def test_vertex_bias_turns_attention_to_the_same_vertex(toy):
    """With a strong bias and small weights, tracks attend to those at their own dz alone."""
    sample = toy(5, seed=3)
    X = sample.X.copy()
    X[:, :4, 4], X[:, 4:, 4] = 10.0, -40.0
    model = Transformer(width=8, n_heads=1, n_blocks=1, feedforward=8, vertex_bias=True, seed=2)
    model.vertex_bias = VertexBias(1)
    model.vertex_bias.log_strength.data.fill_(2.0)
    weights = attention(model, X, sample.mask)[0, :, 0]
    groups = {"one": X[..., 4] == 10, "other": X[..., 4] == -40}
    shares = attention_shares(weights, sample, groups)
    for one, other in (("one", "other"), ("other", "one")):
        assert shares[one][one]["share"] > 0.99 > 0.6 > shares[one][one]["even"]
        assert shares[one][other]["share"] < 0.01
        total = shares[one][one]["even"] + shares[one][other]["even"]
        assert total == pytest.approx(1)


def test_even_attention_is_chance(toy):
    sample = toy(40, seed=4)
    even = sample.mask[:, None, :] / sample.mask.sum(1)[:, None, None]
    even = even + 3 * np.eye(8)  # what a track gives to itself does not count
    groups = {"hard": sample.hard, "pileup": sample.mask & ~sample.hard}
    for shares in attention_shares(even * np.ones((1, 8, 1)), sample, groups).values():
        assert sum(share["share"] for share in shares.values()) == pytest.approx(1)
        for share in shares.values():
            assert share["share"] == pytest.approx(share["even"])
            assert share["value"] == pytest.approx(1) and share["error"] < 1e-9


def test_errors_of_shares_are_their_spread_over_samples(toy):
    rng, found = np.random.default_rng(7), []
    for seed in range(200):
        sample = toy(60, seed=seed)
        # An event's tracks attend alike, so that they are no independent draws.
        taste = np.exp(2 * rng.standard_normal((60, 1, 1)) * sample.hard[:, None, :])
        weights = taste * sample.mask[:, None, :] * np.ones((1, 8, 1))
        groups = {"hard": sample.hard, "pileup": sample.mask & ~sample.hard}
        found.append(attention_shares(weights, sample, groups)["pileup"]["hard"])
    values, errors = ([each[part] for each in found] for part in ("value", "error"))
    # 200 samples know a spread to 5%; the linear error of a ratio is a little small.
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.2)


def test_a_group_without_tracks_receives_nothing_that_could_be_compared(toy):
    sample = toy(5, seed=1)
    groups = {"all": sample.mask, "none": np.zeros_like(sample.mask)}
    share = attention_shares(np.ones((5, 8, 8)), sample, groups)["all"]["none"]
    assert share["share"] == 0 and np.isnan(share["value"])


def test_importance_is_that_of_what_tells(toy):
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 2000)
    X = rng.uniform(size=(2000, 4, 6))
    X[..., 4] = rng.normal(size=(2000, 4)) + y[:, None]
    mask = np.arange(4) < rng.integers(1, 5, 2000)[:, None]
    sample = Sample(X, mask, y)
    before = sample.X.copy()

    def predict(X, mask):
        return (X[..., 4] * mask).sum(1) / mask.sum(1)

    losses = permutation_importance(predict, sample, seed=6)
    assert losses["dz"]["value"] > 0.2 and losses["dz"]["error"] < 0.02
    assert all(losses[name] == {"value": 0, "error": 0} for name in ("pT", "eta", "phi", "d0"))
    np.testing.assert_array_equal(sample.X, before)
    five = Sample(X[..., :5], mask, y)
    assert set(permutation_importance(predict, five, seed=6)) == set(losses)


def test_bad_input_is_named(toy):
    sample = toy(5, seed=1)
    with pytest.raises(ValueError, match="a MLP has none that can be shown"):
        attention(MLP(), sample.X, sample.mask)
    with pytest.raises(ValueError, match="repeats = 1"):
        permutation_importance(lambda X, mask: torch.ones(5), sample, repeats=1, seed=1)
