import numpy as np
import pytest
import torch

from hepgmm.classify.features import TRANSFORMS, TrackFeatures


@pytest.fixture
def tracks(toy):
    sample = toy(50, seed=1)
    return torch.from_numpy(sample.X), torch.from_numpy(sample.mask)


def turned(X, angle):
    """Tracks with angle (n,) or (n, max_tracks) added to φ, back in (-π, π]."""
    X = X.clone()
    phi = X[..., 2] + (angle[:, None] if angle.ndim == 1 else angle)
    X[..., 2] = torch.atan2(phi.sin(), phi.cos())
    return X


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_inverse_gives_the_tracks_back(kind, tracks):
    X, mask = tracks
    features = TrackFeatures(kind).fit(X, mask)
    tracks = features.inverse(features(X, mask))
    if kind == "asinh":
        tracks = turned(tracks, X[:, 0, 2])  # toy tracks are sorted by pT
        tracks[..., 1] += X[:, :1, 1]
    torch.testing.assert_close(tracks[mask], X[mask])


def test_asinh_inputs_do_not_depend_on_the_orientation_of_the_event(tracks):
    X, mask = tracks
    features = TrackFeatures("asinh")
    angles = torch.linspace(-3, 3, len(X))
    torch.testing.assert_close(features(turned(X, angles), mask), features(X, mask))
    each_track_by_another = turned(X, angles[:, None] * X[..., 0])
    assert not torch.allclose(features(each_track_by_another, mask), features(X, mask))


def test_hardest_track_is_the_origin_of_the_angles_in_any_order_of_tracks_and_padding(tracks):
    X, mask = (values.flip(1) for values in tracks)
    X = torch.where(mask[..., None], X, 1e9)
    inputs = TrackFeatures("asinh")(X, mask)
    assert torch.equal(inputs[:, -1, 1:3], torch.zeros(len(X), 2))
    torch.testing.assert_close(inputs.flip(1), TrackFeatures("asinh")(*tracks))


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
    hardest, x = [0.8, 1.0, -2.0, 0.0, 0.0], [0.2, -2.0, 2.5, 0.7, -120.0]
    delta = 4.5 - 2 * np.pi
    expected = [np.log(0.2) + 5, -1.5, delta / np.pi, np.arcsinh(7.0) / 4, np.arcsinh(-2.4)]
    inputs = TrackFeatures("asinh")(torch.tensor([[x, hardest]]), torch.tensor([[True, True]]))
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
