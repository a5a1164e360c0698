import numpy as np
import pytest
import torch

from hepgmm.classify.features import TRANSFORMS, TrackFeatures


@pytest.fixture
def tracks(toy):
    sample = toy(50, seed=1)
    return torch.from_numpy(sample.X), torch.from_numpy(sample.mask)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_inverse_gives_the_tracks_back(kind, tracks):
    X, mask = tracks
    features = TrackFeatures(kind).fit(X, mask)
    torch.testing.assert_close(features.inverse(features(X, mask))[mask], X[mask])


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_extreme_tracks_have_finite_inputs_and_gradients(kind, tracks):
    features = TrackFeatures(kind).fit(*tracks)
    X = torch.tensor([[[0.0, 10.0, 3.0, 1e5, -1e6], [1.0, 0.0, 0.0, 0.0, 0.0]]])
    X.requires_grad_()
    inputs = features(X, torch.tensor([[True, True]]))
    inputs.sum().backward()
    assert torch.isfinite(inputs).all()
    assert torch.isfinite(X.grad).all()


def test_asinh_inputs_are_those_of_the_table():
    x = np.array([0.2, -3.0, 1.5, 0.7, -120.0])
    expected = [np.log(0.2) + 5, -1.5, 1.5 / np.pi, np.arcsinh(7.0) / 4, np.arcsinh(-2.4)]
    inputs = TrackFeatures("asinh")(
        torch.tensor(x, dtype=torch.float32)[None, None], torch.tensor([[True]])
    )
    np.testing.assert_allclose(inputs[0, 0], expected, rtol=1e-6)


def test_scaled_inputs_have_zero_mean_and_unit_variance_over_tracks(tracks):
    X, mask = tracks
    inputs = TrackFeatures("scaled").fit(X, mask)(X, mask)[mask]
    torch.testing.assert_close(inputs.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)


def test_a_constant_feature_is_only_shifted():
    X, mask = torch.full((3, 2, 5), 7.0), torch.ones(3, 2, dtype=torch.bool)
    assert torch.equal(TrackFeatures("scaled").fit(X, mask)(X, mask), torch.zeros(3, 2, 5))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_padding_becomes_zero_whatever_it_held(kind, tracks):
    X, mask = tracks
    X = torch.where(mask[..., None], X, torch.nan)
    inputs = TrackFeatures(kind).fit(X, mask)(X, mask)
    assert torch.equal(inputs[~mask], torch.zeros_like(inputs[~mask]))
    assert torch.isfinite(inputs).all()


def test_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="'log' is unknown; choose one of raw, scaled, asinh"):
        TrackFeatures("log")
