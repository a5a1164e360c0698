"""Networks of sets of tracks: symmetries, padding, and what pairs of tracks tell."""

import numpy as np
import pytest
import torch
from scipy.special import expit
from torch import nn

from hepgmm.classify.layers import (
    ClassAttention,
    TransformerBlock,
    VertexBias,
    pool,
)
from hepgmm.classify.networks import (
    MLP,
    DeepSets,
    ParticleTransformer,
    Transformer,
    pair_features,
    predict,
)

MODELS = {
    "MLP": MLP(seed=1),
    "DeepSets": DeepSets(seed=1),
    "Transformer": Transformer(seed=1, n_blocks=2),
    "mean and maximum": Transformer(seed=1, n_blocks=1, pooling="mean_max", features="full"),
    "vertex bias": Transformer(
        seed=1, n_blocks=2, pooling="mean_max", features="full", vertex_bias=True, track_task=True
    ),
    "ParticleTransformer": ParticleTransformer(seed=1),
}


@pytest.fixture(params=MODELS.values(), ids=MODELS)
def model(request):
    return request.param.eval()


@pytest.fixture
def tracks(toy):
    sample = toy(6, seed=1)
    return torch.from_numpy(sample.X), torch.from_numpy(sample.mask)


def test_more_padding_changes_nothing(model, tracks):
    X, mask = tracks
    padded = torch.cat([X, torch.full((6, 5, X.shape[-1]), 1e3)], dim=1)
    longer = torch.cat([mask, torch.zeros(6, 5, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(model(padded, longer), model(X, mask))


def test_order_of_tracks_changes_nothing(model, tracks):
    X, mask = tracks
    order = torch.randperm(X.shape[1], generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(model(X[:, order], mask[:, order]), model(X, mask))


def test_events_do_not_see_each_other(model, tracks):
    X, mask = tracks
    alone = torch.cat([model(X[i : i + 1], mask[i : i + 1]) for i in range(len(X))])
    torch.testing.assert_close(alone, model(X, mask))


def test_every_track_and_every_feature_matters(model, tracks):
    X, mask = tracks
    X = X.clone().requires_grad_()
    model(X, mask).sum().backward()
    used = sorted(set(model.features.columns))
    assert (X.grad[..., used][mask].abs() > 0).all()
    assert torch.equal(X.grad[~mask], torch.zeros_like(X.grad[~mask]))


def test_an_event_without_tracks_is_finite_in_value_and_gradient(model, tracks):
    X, mask = tracks
    mask = mask.clone()
    mask[0] = False
    model.zero_grad()
    model.train()
    logits = model(X, mask)
    logits.sum().backward()
    assert torch.isfinite(logits).all()
    weights = {name: w for name, w in model.named_parameters() if "track_output" not in name}
    assert all(torch.isfinite(w.grad).all() for w in weights.values())
    model.zero_grad()


def test_mlp_is_its_formula_written_slowly(tracks):
    X, mask = tracks
    model = MLP(seed=3)
    with torch.no_grad():  # so that LayerNorm's gain and shift are not 1 and 0
        for weight in model.parameters():
            weight.add_(0.1 * torch.linspace(-1, 1, weight.numel()).view_as(weight))
    w = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    inputs = model.features(X, mask).double().numpy()
    expected = []
    for event, real in zip(inputs, mask.numpy(), strict=True):
        hidden = []
        for x, is_track in zip(event, real, strict=True):
            for i in range(3):
                x = w[f"encoder.linear.{i}.weight"] @ x + w[f"encoder.linear.{i}.bias"]
                x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
                x = x * w[f"encoder.norm.{i}.weight"] + w[f"encoder.norm.{i}.bias"]
                x = np.maximum(x, 0)
                if i == 0:
                    x = x * is_track
            hidden.append(x)
        mean = sum(h for h, is_track in zip(hidden, real, strict=True) if is_track) / real.sum()
        expected.append(w["output.weight"][0] @ mean + w["output.bias"][0])
    np.testing.assert_allclose(model(X, mask).detach(), expected, rtol=1e-5, atol=1e-6)


def test_mask_is_applied_after_the_first_activation_and_before_the_second_layer():
    layers = MLP(seed=3).encoder
    x = torch.ones(1, 2, 5)
    seen = []
    layers.linear[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    layers(x, torch.tensor([[True, False]]))
    assert seen[0][0, 0].any()
    assert not seen[0][0, 1].any()


def test_norms_and_activations_are_where_the_paper_has_them():
    mlp, transformer = MLP(), Transformer()
    assert [type(norm) for norm in mlp.encoder.norm] == [nn.LayerNorm] * 3
    assert mlp.encoder.activation is nn.functional.relu
    assert [type(norm) for norm in transformer.encoder.norm] == [nn.LayerNorm]
    assert transformer.encoder.activation is nn.functional.gelu
    assert [type(norm) for norm in transformer.decoder.norm] == [nn.Identity] * 3
    assert transformer.decoder.activation is nn.functional.gelu
    assert len(transformer.blocks) == 6
    assert {block.n_heads for block in transformer.blocks} == {8}
    assert {block.dropout.p for block in transformer.blocks} == {0.1}


@pytest.mark.parametrize(("width", "feedforward"), [(32, 128), (32, 64), (16, 2048)])
def test_number_of_parameters_is_the_closed_form(width, feedforward):
    def count(model):
        return sum(weight.numel() for weight in model.parameters())

    hidden = width * (width + 1)
    assert count(MLP(width=width)) == 6 * width + 2 * hidden + 3 * 2 * width + width + 1
    attention = 4 * hidden
    feed = feedforward * (width + 1) + width * (feedforward + 1)
    block = attention + feed + 2 * 2 * width
    expected = (6 * width + 2 * width) + 6 * block + 3 * hidden + width + 1
    assert count(Transformer(width=width, feedforward=feedforward)) == expected


@pytest.mark.parametrize("attention_dropout", [0.0, 0.1])
def test_block_is_torchs_own_layer(attention_dropout):
    torch_layer = nn.TransformerEncoderLayer(
        32, 8, 128, 0.1, activation="gelu", batch_first=True, norm_first=True
    ).eval()
    block = TransformerBlock(32, 8, 128, 0.1, attention_dropout).eval()
    pairs = {
        "attention_norm": torch_layer.norm1,
        "attention_output": torch_layer.self_attn.out_proj,
        "feedforward_norm": torch_layer.norm2,
        "expand": torch_layer.linear1,
        "contract": torch_layer.linear2,
    }
    for name, module in pairs.items():
        getattr(block, name).load_state_dict(module.state_dict())
    block.queries_keys_values.load_state_dict(
        {
            "weight": torch_layer.self_attn.in_proj_weight,
            "bias": torch_layer.self_attn.in_proj_bias,
        }
    )
    generator = torch.Generator().manual_seed(4)
    x = torch.randn(5, 9, 32, generator=generator)
    mask = torch.rand(5, 9, generator=generator) > 0.3
    mask[:, 0] = True
    # With gradients, torch does not take its fused path, which leaves padding at zero.
    expected = torch_layer(x, src_key_padding_mask=~mask)
    ours = block(x, mask[:, None, None, :])
    torch.testing.assert_close(ours[mask], expected[mask], rtol=1e-5, atol=1e-5)


def test_weights_of_a_block_are_those_it_attends_with():
    """What is added to the tracks is the weighted mean of the values."""
    torch.manual_seed(4)
    block, x = TransformerBlock(8, 2, 16, 0.0, 0.0).eval(), torch.randn(3, 5, 8)
    mask = torch.rand(3, 1, 1, 5) < 0.7
    mask[..., 0] = True
    for attended in (mask, torch.randn(3, 2, 5, 5).masked_fill(~mask, -torch.inf)):
        weights = block.weights(x, attended)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2, 5))
        assert not weights[~mask.expand_as(weights)].any()
        values = block.queries_keys_values(block.attention_norm(x))[..., 16:]
        heads = weights @ values.view(3, 5, 2, 4).transpose(1, 2)
        after = x + block.attention_output(heads.transpose(1, 2).reshape(3, 5, 8))
        after = after + block.contract(
            nn.functional.gelu(block.expand(block.feedforward_norm(after)))
        )
        torch.testing.assert_close(block(x, attended), after)


def test_vertex_bias_is_its_formula():
    bias, dz = VertexBias(3), torch.tensor([[0.0, 0.1, 30.0], [1.0, 1.0, -2.0]])
    bias.log_strength.data = torch.tensor([0.0, 1.0, -1.0])
    found = bias(dz).detach().numpy()
    for n in range(2):
        for h, (strength, scale) in enumerate(
            zip((1, np.e, 1 / np.e), (0.1, 10**0.5, 100), strict=True)
        ):
            for i in range(3):
                for j in range(3):
                    distance = float(dz[n, i] - dz[n, j])
                    expected = -strength * np.log(1 + (distance / scale) ** 2)
                    assert found[n, h, i, j] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_tracks_have_an_output_of_their_own_if_asked_for(tracks):
    X, mask = tracks
    model = MODELS["vertex bias"].eval()
    logits, of_tracks = model(X, mask, tracks=True)
    torch.testing.assert_close(logits, model(X, mask))
    assert of_tracks.shape == mask.shape
    order = torch.randperm(X.shape[1], generator=torch.Generator().manual_seed(3))
    turned = model(X[:, order], mask[:, order], tracks=True)[1]
    torch.testing.assert_close(turned[mask[:, order]], of_tracks[:, order][mask[:, order]])


def test_class_attention_is_softmax_written_slowly():
    block = ClassAttention(8, 2, 16, 0.1).eval()
    generator = torch.Generator().manual_seed(6)
    summary, x = (torch.randn(3, n, 8, generator=generator) for n in (1, 5))
    mask = torch.rand(3, 5, generator=generator) > 0.4
    expected = []
    for c, tracks, real in zip(summary, x, mask, strict=True):
        keys = block.attention_norm(torch.cat([c, tracks[real]]))
        q = block.query(keys[:1]).view(2, 4)
        k, v = block.keys_values(keys).view(-1, 2, 2, 4).unbind(1)
        weights = torch.einsum("hd,thd->ht", q, k).div(2.0).softmax(-1)
        attention = torch.einsum("ht,thd->hd", weights, v).flatten()
        c = c + block.attention_output(attention)
        hidden = nn.functional.gelu(block.expand(block.feedforward_norm(c)))
        expected.append(c + block.contract(hidden))
    torch.testing.assert_close(block(summary, x, mask), torch.stack(expected))


def test_poolings_are_those_of_the_tracks_that_exist():
    x = torch.tensor([[[1.0, -2.0], [3.0, -4.0], [99.0, 99.0]]])
    mask = torch.tensor([[True, True, False]])
    assert pool(x, mask, "mean").tolist() == [[2.0, -3.0]]
    assert pool(x, mask, "mean_max").tolist() == [[2.0, -3.0, 3.0, -2.0]]
    torch.testing.assert_close(pool(x, mask, "sum"), torch.tensor([[4.0, -6.0]]) / 80)
    assert pool(x, ~mask & mask, "mean_max").tolist() == [[0.0] * 4]


def test_transformer_sums_over_tracks(tracks):
    X, mask = tracks
    model = Transformer(n_blocks=1, features="raw", seed=5).eval()
    with torch.no_grad():  # without attention and relative angles, each track is its own event
        model.blocks[0].attention_output.weight.zero_()
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(X, mask)
    model(X[mask][:, None], torch.ones(int(mask.sum()), 1, dtype=torch.bool))
    event = torch.arange(len(X))[:, None].expand_as(mask)[mask]
    summed = torch.zeros_like(seen[0]).index_add_(0, event, seen[1])
    torch.testing.assert_close(seen[0], summed, rtol=1e-4, atol=1e-5)


def test_seed_decides_the_initial_weights_and_leaves_torch_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second, other = (MLP(seed=seed).output.weight for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_predict_does_not_depend_on_batches_and_has_no_dropout(model, toy):
    sample = toy(20, seed=6)
    model.train()
    probabilities = predict(model, sample.X, sample.mask)
    assert model.training
    np.testing.assert_allclose(
        predict(model, sample.X, sample.mask, batch_size=3), probabilities, rtol=1e-5
    )
    model.eval()
    with torch.no_grad():
        logits = model(torch.from_numpy(sample.X), torch.from_numpy(sample.mask)).double()
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, expit(logits.numpy()), rtol=1e-6)


def test_dropout_acts_in_training_only(tracks):
    model = Transformer(n_blocks=1, dropout=0.5, seed=1)
    assert not torch.equal(model.train()(*tracks), model(*tracks))
    assert torch.equal(model.eval()(*tracks), model(*tracks))


def test_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match="width=30 is not a multiple of n_heads=8"):
        Transformer(width=30)


def test_unknown_pooling_names_the_known_ones():
    with pytest.raises(ValueError, match="pooling='median' is unknown; choose one of sum, mean"):
        DeepSets(pooling="median")


@pytest.fixture
def particles():
    generator = torch.Generator().manual_seed(1)
    pt = torch.rand(2, 4, generator=generator, dtype=torch.float64) + 0.1
    eta = 4 * torch.rand(2, 4, generator=generator, dtype=torch.float64) - 2
    phi = 6 * torch.rand(2, 4, generator=generator, dtype=torch.float64) - 3
    return pt, eta, phi


def test_mass_is_that_of_the_sum_of_four_momenta(particles):
    pt, eta, phi = (x[:, :2] for x in particles)
    momenta = torch.stack([pt * eta.cosh(), pt * phi.cos(), pt * phi.sin(), pt * eta.sinh()])
    energy, *momentum = momenta.sum(-1)
    mass = energy**2 - sum(p**2 for p in momentum)
    found = pair_features(pt, eta, phi, torch.tensor([0]), torch.tensor([1]))[:, 0, 3]
    torch.testing.assert_close(found.exp(), mass)


def test_features_are_symmetric_and_do_not_change_when_the_event_is_turned(particles):
    first, second = torch.tensor([0, 1]), torch.tensor([3, 2])
    pt, eta, phi = particles
    values = pair_features(pt, eta, phi, first, second)
    torch.testing.assert_close(pair_features(pt, eta, phi, second, first), values)
    turned = torch.remainder(phi + 2.5 + torch.pi, 2 * torch.pi) - torch.pi
    torch.testing.assert_close(pair_features(pt, eta, turned, first, second), values)


def test_gradients_are_those_of_finite_differences(particles):
    first, second = torch.triu_indices(4, 4, offset=1)
    inputs = [x.requires_grad_() for x in particles]
    assert torch.autograd.gradcheck(lambda *x: pair_features(*x, first, second), inputs)


def test_a_track_with_itself_and_padding_are_finite_in_value_and_gradient():
    inputs = [torch.zeros(1, 2, requires_grad=True) for _ in range(3)]
    values = pair_features(*inputs, torch.tensor([0, 0]), torch.tensor([0, 1]))
    values.sum().backward()
    assert torch.isfinite(values).all()
    assert all(torch.isfinite(x.grad).all() for x in inputs)


def test_the_bias_of_every_pair_is_that_of_its_features(toy):
    sample = toy(3, seed=2, n_tracks=5)
    X, mask = torch.from_numpy(sample.X), torch.from_numpy(sample.mask)
    model = ParticleTransformer(seed=1, n_blocks=1)
    bias = model._bias(X, mask)
    for i in range(5):
        for j in range(5):
            pair = torch.tensor([i]), torch.tensor([j])
            expected = model.pairs(pair_features(*X[..., :3].unbind(-1), *pair) / 5 + 1)[:, 0]
            real = mask[:, i] & mask[:, j]
            torch.testing.assert_close(bias[real, :, i, j], expected[real])
    assert (bias[:, :, 0][~mask[:, None].expand_as(bias[:, :, 0])] == -np.inf).all()


def test_pairs_matter(toy):
    """Turning one track around the beam changes what a model without angles as inputs sees."""
    sample = toy(4, seed=3)
    table = {"rows": [{"name": "pt", "of": "pt_relative"}]}
    model = ParticleTransformer(features=table, seed=1).eval()
    X, mask = torch.from_numpy(sample.X), torch.from_numpy(sample.mask)
    moved = X.clone()
    moved[:, 1, 2] += 1.0
    assert not torch.allclose(model(moved, mask), model(X, mask), atol=1e-6)
    turned = X.clone()
    turned[..., 2] += 1.0
    torch.testing.assert_close(model(turned, mask), model(X, mask))


def test_collinear_soft_tracks_are_above_the_floor():
    pt, eta = torch.full((1, 2), 1e-3), torch.tensor([[0.0, 1e-3]])
    values = pair_features(pt, eta, torch.zeros(1, 2), torch.tensor([0]), torch.tensor([1]))
    # m² = pT² Δη²
    assert values[0, 0, 3].exp().item() == pytest.approx(1e-12, rel=1e-3)


def test_no_event_at_all_gives_no_logit():
    assert ParticleTransformer()(torch.zeros(0, 5, 6), torch.zeros(0, 5).bool()).shape == (0,)
