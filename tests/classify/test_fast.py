"""Fast attention and dropout: the functions, gradients and shares of torch's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hepgmm.classify import layers
from hepgmm.classify.fast import VALUES, Dropout, narrow_attention
from hepgmm.classify.layers import TransformerBlock, attended_keys


def tensors(*, n=9, n_tracks=13, n_heads=3, d=4, size=1.0, seed=1):
    """Queries, keys and values; which keys count, with gaps; and a gradient."""
    rng = torch.Generator().manual_seed(seed)
    heads = size * torch.randn(n, n_tracks, 3, n_heads, d, generator=rng)
    mask = torch.rand(n, n_tracks, generator=rng) < 0.6
    mask[:, 5] = True
    return heads, mask, torch.randn(n, n_tracks, n_heads * d, generator=rng)


def expected(heads, mask, gradient):
    """Attention and gradient by torch, in double precision."""
    heads = heads.double().requires_grad_()
    q, k, v = heads.permute(2, 0, 3, 1, 4)
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    out = torch.cat(out.unbind(1), dim=-1)
    out.backward(gradient.double())
    return out.detach(), heads.grad


@pytest.mark.parametrize("d", [1, 2, 3, 4])
@pytest.mark.parametrize("n_tracks", [6, 13, 80])
def test_output_and_gradient_are_those_of_torch(d, n_tracks):
    heads, mask, gradient = tensors(d=d, n_tracks=n_tracks)
    out, slope = expected(heads, mask, gradient)
    heads.requires_grad_()
    made = narrow_attention(heads, mask)
    made.backward(gradient)
    np.testing.assert_allclose(made.detach(), out, atol=2e-6)
    np.testing.assert_allclose(heads.grad, slope, atol=2e-5)
    assert not heads.grad[~mask][:, 1:].any()


def test_large_logits_stay_finite():
    """One key has all the weight, others less than the smallest number."""
    heads, mask, gradient = tensors(size=30.0)
    out, slope = expected(heads, mask, gradient)
    heads.requires_grad_()
    made = narrow_attention(heads, mask)
    made.backward(gradient)
    np.testing.assert_allclose(made.detach(), out, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(heads.grad, slope, rtol=1e-3, atol=0.1)


def test_threads_and_layout_change_nothing():
    heads, mask, gradient = tensors(n=40)
    found, threads = [], torch.get_num_threads()
    try:
        for n_threads, own in ((1, heads), (2, heads), (1, heads.transpose(0, 1).contiguous())):
            torch.set_num_threads(n_threads)
            own = own if own is heads else own.transpose(0, 1)
            own = own.detach().requires_grad_()
            out = narrow_attention(own, mask)
            out.backward(gradient)
            found.append((out.detach(), own.grad))
    finally:
        torch.set_num_threads(threads)
    for out, slope in found[1:]:
        assert torch.equal(out, found[0][0]) and torch.equal(slope, found[0][1])


@pytest.fixture
def calls(monkeypatch):
    """The shapes that narrow attention was called with by a block."""
    shapes = []

    def look(heads, mask):
        shapes.append(tuple(heads.shape))
        return narrow_attention(heads, mask)

    monkeypatch.setattr(layers, "narrow_attention", look)
    return shapes


def test_a_block_trains_with_it_and_is_the_same_function_without(calls):
    torch.manual_seed(2)
    block = TransformerBlock(8, 2, 16, 0.0, 0.0)
    x, mask = torch.randn(5, 11, 8), torch.rand(5, 11) < 0.7
    mask[0] = False
    out = block(x, attended_keys(mask))
    assert calls == [(5, 11, 3, 2, 4)]
    slopes = torch.autograd.grad(out.square().sum(), block.parameters())
    with torch.no_grad():
        np.testing.assert_allclose(block(x, attended_keys(mask)), out.detach(), atol=1e-6)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        other = block(x, attended_keys(mask))
    assert len(calls) == 1
    others = torch.autograd.grad(other.square().sum(), block.parameters())
    for slope, by_torch in zip(slopes, others, strict=True):
        np.testing.assert_allclose(slope, by_torch, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "case", ["dropout of attention weights", "bias", "wide heads", "double precision"]
)
def test_what_it_cannot_do_is_left_to_torch(calls, case):
    heads = 1 if case == "wide heads" else 2
    dropout = 0.5 if case == "dropout of attention weights" else 0.0
    block, x = TransformerBlock(8, heads, 16, 0.0, dropout), torch.randn(5, 11, 8)
    attended = attended_keys(torch.ones(5, 11, dtype=torch.bool))
    if case == "bias":
        attended = torch.zeros(5, 1, 11, 11)
    if case == "double precision":
        block, x = block.double(), x.double()
    block(x, attended).sum().backward()
    assert not calls
    assert all(parameter.grad.isfinite().all() for parameter in block.parameters())


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
