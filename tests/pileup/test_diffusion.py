"""The diffusion model: what it learns, what it samples, symmetries of its network."""

import awkward as ak
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hepgmm.events import make_events
from hepgmm.pileup.diffusion import (
    LARGEST,
    Denoiser,
    DiffusionPileup,
    free_of_noise,
    turn,
)
from hepgmm.pileup.flow import tracks_of
from hepgmm.training import seeded

OPTIONS = {"epochs": 2, "width": 16, "global_width": 8, "n_layers": 1, "n_steps": 4, "seed": 3}


def flat(events, name):
    return ak.to_numpy(ak.flatten(events[name])).astype(float)


@pytest.fixture(scope="module")
def model(toy_minbias):
    return DiffusionPileup(**OPTIONS).fit(toy_minbias)


@pytest.fixture
def network():
    with seeded(1):
        network = Denoiser(7, width=16, global_width=8, n_layers=2, typical=5.0)
        # Layers start as identities, and the output at 0.
        for weights in network.parameters():
            torch.nn.init.normal_(weights, std=0.3)
    return network.eval()


def test_network_does_not_see_the_order_of_tracks(network):
    x, sigma, counts = torch.rand(9, 7), torch.tensor([[0.3], [2.0]]), torch.tensor([4, 5])
    order = torch.tensor([2, 0, 3, 1, 8, 4, 7, 5, 6])
    torch.testing.assert_close(network(x[order], sigma, counts), network(x, sigma, counts)[order])


def test_events_do_not_see_each_other(network):
    x, sigma, counts = torch.rand(9, 7), torch.tensor([[0.3], [2.0]]), torch.tensor([4, 5])
    together = network(x, sigma, counts)
    alone = [network(x[:4], sigma[:1], counts[:1]), network(x[4:], sigma[1:], counts[1:])]
    torch.testing.assert_close(together, torch.cat(alone))
    # But tracks of one event do.
    x[0] += 1
    assert not torch.allclose(network(x, sigma, counts)[1:4], together[1:4], atol=1e-3)


def test_heun_follows_the_exact_flow():
    """For Gaussian features of spread s, D = x s² / (s² + σ²) and x(0) = x(σ) s / √(s² + σ²)."""
    spread = torch.tensor([0.2, 0.5, 1.0, 1.0, 1.0, 2.0, 3.0])

    def exact(x, sigma, counts):
        return x * spread**2 / (spread**2 + sigma.repeat_interleave(counts, 0) ** 2)

    counts = torch.tensor([3, 4])
    with seeded(4):
        found = free_of_noise(exact, counts, 60)
    with seeded(4):
        start = LARGEST * torch.randn(7, 7)
    torch.testing.assert_close(
        found, start * spread / (spread**2 + LARGEST**2) ** 0.5, rtol=0.02, atol=0
    )


def test_turns_and_mirrors_keep_what_they_must():
    with seeded(2):
        points, counts = torch.randn(7, 7), torch.tensor([3, 4])
        turned = turn(points, counts)
    for same in (0, 2):
        torch.testing.assert_close(turned[:, same], points[:, same])
    for sign in (1, 3, 4):
        torch.testing.assert_close(turned[:, sign].abs(), points[:, sign].abs())
    torch.testing.assert_close(turned[:, 1] * turned[:, 4], points[:, 1] * points[:, 4])
    for event in (slice(0, 3), slice(3, 7)):
        before, after = points[event, 5:], turned[event, 5:]
        torch.testing.assert_close(after @ after.T, before @ before.T)
        # d0 changes sign with the sense of the turn from one track to the next.
        senses = [x[0, 0] * x[1, 1] - x[0, 1] * x[1, 0] for x in (before, after)]
        torch.testing.assert_close(senses[1] * turned[event, 3], senses[0] * points[event, 3])


def test_tracks_of_chosen_events():
    offsets = torch.tensor([0, 2, 2, 5, 6])
    tracks, counts = tracks_of(torch.tensor([3, 1, 0, 3]), offsets)
    assert tracks.tolist() == [5, 0, 1, 5] and counts.tolist() == [1, 0, 2, 1]


def test_multiplicities_are_those_of_training_events(model):
    events = model.sample(300, seed=1)
    assert len(events) == 300  # more than are sampled at once
    assert set(ak.num(events)) <= set(model.multiplicities_)


def test_every_track_is_possible(toy_minbias, model):
    events = model.sample(200, seed=4)
    kept = toy_minbias[ak.num(toy_minbias) >= 3]
    for name in events.fields:
        values, real = flat(events, name), flat(kept, name)
        assert np.isfinite(values).all()
        if name != "phi":
            assert real.min() - 1e-3 <= values.min() <= values.max() <= real.max() + 1e-3
    assert flat(events, "pt").min() > 0
    assert np.abs(flat(events, "phi")).max() <= np.float32(np.pi)


def test_same_seed_same_fit(toy_minbias, model):
    again = DiffusionPileup(**OPTIONS).fit(toy_minbias)
    np.testing.assert_array_equal(again.parameters_, model.parameters_)


def test_the_global_stream_is_left_alone(toy_minbias):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    DiffusionPileup(**OPTIONS).fit(toy_minbias).sample(3, seed=1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


@pytest.fixture(scope="module")
def jets():
    """Events of eight tracks near one direction, at a common eta, and about −1.5 in log pT."""
    rng = np.random.default_rng(5)
    n, tracks = 300, 8
    displaced = rng.random(n * tracks) < 0.4
    columns = {
        "pt": np.exp(rng.normal(-1.5, 0.5, n * tracks)),
        "eta": np.repeat(rng.normal(0, 3, n), tracks) + rng.normal(0, 0.5, n * tracks),
        "phi": np.repeat(rng.uniform(-np.pi, np.pi, n), tracks) + rng.normal(0, 0.3, n * tracks),
        "d0": np.where(displaced, rng.normal(size=n * tracks), 0),
        "dz": np.where(displaced, rng.normal(size=n * tracks), 0),
    }
    return make_events(columns, np.full(n, tracks))


@pytest.fixture(scope="module")
def learnt(jets):
    options = {"width": 32, "global_width": 16, "n_layers": 2, "learning_rate": 5e-3}
    return DiffusionPileup(epochs=40, **options, seed=1).fit(jets)


def test_learns_a_known_distribution(learnt):
    """Of tracks, and how those of one event go together; a network that knows nothing does not."""
    assert learnt.losses_[:, 1].min() < learnt.losses_[0, 1] - 0.1
    naive = DiffusionPileup(**learnt.get_params())
    vars(naive).update({name: value for name, value in vars(learnt).items() if name.endswith("_")})
    naive.parameters_ = np.zeros_like(learnt.parameters_)
    figures = []
    for model in (naive, learnt):
        events = model.sample(400, seed=2)
        together = ak.to_numpy(abs(ak.mean(np.exp(1j * events.phi), axis=1)))
        within = ak.to_numpy(ak.std(events.eta, axis=1))
        figures.append([np.log(flat(events, "pt")).std(), within.mean(), together.mean()])
    known = [0.5, 0.5, np.exp(-(0.3**2) / 2)]
    misses = np.abs(np.array(figures) - known)
    assert (misses[1] < [0.1, 0.3, 0.15]).all()
    assert (misses[1, 1:] < misses[0, 1:] / 3).all()
    assert np.log(flat(events, "pt")).mean() == pytest.approx(-1.5, abs=0.1)
    assert np.mean(flat(events, "d0") != 0) == pytest.approx(0.4, abs=0.1)
    first = ak.to_numpy(events.phi[:, 0]).astype(float)
    assert kstest(first, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_steps": 0}, "n_steps = 0: give 1 or more"),
        ({"batch_size": 1.5}, "batch_size = 1.5: give 1 or more"),
        ({"min_tracks": 1}, "min_tracks = 1: give at least 2"),
        ({"pt_limits": (2.0, 1.0)}, "pt_limits = "),
    ],
)
def test_bad_settings_are_named(toy_minbias, change, message):
    with pytest.raises(ValueError, match=message):
        DiffusionPileup(**OPTIONS | change).fit(toy_minbias)
