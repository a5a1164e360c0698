"""What the attention knows of two tracks."""

import numpy as np
import pytest
import torch

from hepgmm.classify.networks import ParticleTransformer, pair_features


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
