"""The flows: what they learn and what they sample."""

import awkward as ak
import numpy as np
import pytest
import torch
from scipy.stats import kstest

from hepgmm.events import make_events
from hepgmm.pileup.flow import (
    SUMMARY,
    FlowPileup,
    agree,
    balance,
    class_counts,
    relative_extremes,
    summarise,
)
from hepgmm.pileup.points import read_clouds

OPTIONS = {"epochs": 3, "width": 16, "transforms": 1, "seed": 3}


def flat(events, name):
    return ak.to_numpy(ak.flatten(events[name])).astype(float)


@pytest.fixture(scope="module")
def model(toy_minbias):
    return FlowPileup(**OPTIONS).fit(toy_minbias)


@pytest.fixture(scope="module")
def shifted():
    """Events about −1.5 in log pT, of which 30% of the tracks are displaced by about 1 mm."""
    rng = np.random.default_rng(5)
    counts = rng.integers(10, 30, 200)
    n = counts.sum()
    displaced = rng.random(n) < 0.3
    columns = {
        "pt": np.exp(rng.normal(-1.5, 0.5, n)),
        "eta": rng.normal(0, 2, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(displaced, rng.choice([-1, 1], n) * np.exp(rng.normal(0, 0.5, n)), 0),
        "dz": np.where(displaced, rng.choice([-1, 1], n) * np.exp(rng.normal(2, 0.5, n)), 0),
    }
    return make_events(columns, counts)


@pytest.fixture(scope="module")
def learnt(shifted):
    return FlowPileup(epochs=25, width=32, seed=1).fit(shifted)


def test_a_mirror_changes_signs_along_the_beam(toy_minbias):
    clouds = read_clouds(toy_minbias)
    (direct, _), (mirrored, _) = (
        summarise(seen, np.random.default_rng(1)) for seen in (clouds, clouds.mirrored())
    )
    mean, low, high = (SUMMARY.index(name) for name in ("mean_eta", "min_eta", "max_eta"))
    np.testing.assert_allclose(mirrored[:, [mean, low, high]], -direct[:, [mean, high, low]])
    others = [i for i in range(len(SUMMARY)) if i not in (mean, low, high)]
    np.testing.assert_allclose(mirrored[:, others], direct[:, others])


def test_a_summary_says_what_numpy_says(toy_minbias):
    clouds = read_clouds(toy_minbias)
    summaries, _ = summarise(clouds, np.random.default_rng(1))
    first = slice(0, clouds.counts[0])
    log_pt, eta = clouds.features[first, :2].T
    displaced = clouds.displaced[first].sum()
    assert class_counts(summaries)[0].tolist() == [clouds.counts[0] - displaced, displaced]
    recoil = abs(np.sum(np.exp(log_pt + 1j * clouds.phi[first]))) ** 2 / np.sum(np.exp(2 * log_pt))
    expected = [x for v in (log_pt, eta) for x in (v.mean(), np.log(v.std()), v.min(), v.max())]
    np.testing.assert_allclose(summaries[0, 2:], [*expected, np.log(recoil)])


def test_tracks_agree_with_their_summary(toy_minbias):
    """Standardised tracks are undone exactly, and those of others are made to agree."""
    clouds = read_clouds(toy_minbias)
    summaries, tracks = summarise(clouds, np.random.default_rng(1))
    features = agree(tracks, summaries, clouds.counts)
    np.testing.assert_allclose(features, clouds.features, atol=1e-9)
    tracks[:, :2] = np.random.default_rng(2).normal(size=(len(tracks), 2))
    others = clouds._replace(features=agree(tracks, summaries, clouds.counts))
    found, _ = summarise(others, np.random.default_rng(1))
    moments = [SUMMARY.index(f"{x}_{f}") for x in ("mean", "log_spread") for f in ("log_pt", "eta")]
    np.testing.assert_allclose(found[:, moments], summaries[:, moments], atol=1e-9)
    for name in ("max_log_pt", "min_eta"):
        column = SUMMARY.index(name)
        miss = relative_extremes(found)[:, column] - relative_extremes(summaries)[:, column]
        assert np.median(np.abs(miss)) < 0.02


def test_momentum_is_balanced_by_small_turns():
    rng = np.random.default_rng(3)
    counts = np.full(300, 20)
    pt, phi = rng.exponential(size=6000) + 0.5, rng.uniform(-np.pi, np.pi, 6000)
    recoil = rng.uniform(0.05, 2, 300)
    turned = balance(pt, phi, counts, recoil)
    p = (pt * np.exp(1j * turned)).reshape(300, 20)
    found = np.abs(p.sum(axis=1)) ** 2 / (np.abs(p) ** 2).sum(axis=1)
    np.testing.assert_allclose(found, recoil, rtol=1e-2)
    # New angles at random would differ by π/√3 in root mean square.
    assert np.sqrt(np.mean((turned - phi) ** 2)) < 0.3


def test_no_event_has_fewer_tracks_than_asked_for(model):
    assert ak.min(ak.num(model.sample(300, seed=1))) >= model.min_tracks


def test_every_track_is_possible(toy_minbias, model):
    events = model.sample(200, seed=4)
    for name in events.fields:
        assert np.isfinite(flat(events, name)).all()
    assert flat(events, "pt").min() > 0
    assert np.abs(flat(events, "phi")).max() <= np.float32(np.pi)
    np.testing.assert_array_equal(flat(events, "d0") == 0, flat(events, "dz") == 0)
    for name in ("eta", "d0", "dz"):
        real = flat(toy_minbias[ak.num(toy_minbias) >= 3], name)
        limits = np.array([real.min(), real.max()])
        assert np.all(np.abs(flat(events, name)) <= np.abs(limits).max() * (1 + 1e-5))


def test_same_seed_same_fit(toy_minbias, model):
    again = FlowPileup(**OPTIONS).fit(toy_minbias)
    np.testing.assert_array_equal(again.track_parameters_, model.track_parameters_)


def test_the_global_stream_is_left_alone(toy_minbias):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    FlowPileup(**OPTIONS | {"epochs": 1}).fit(toy_minbias).sample(3, seed=1)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_likelihood_improves_to_what_is_known(learnt):
    """All of a prompt track is nearly standard normal: log pT and eta in its event, d0 and dz."""
    losses = learnt.track_losses_[:, 1]
    assert losses.min() < losses[0] - 0.1
    # A displaced track's d0 and dz lie in narrow peaks, with less entropy than normals.
    normal = 0.5 * np.log(2 * np.pi * np.e)
    assert losses.min() < 4 * normal
    assert learnt.event_losses_[:, 1].min() < learnt.event_losses_[0, 1] - 0.5
    assert learnt.report_["track_epoch"] == losses.argmin() + 1


def test_learns_a_known_distribution(shifted, learnt):
    events = learnt.sample(400, seed=2)
    log_pt, d0 = np.log(flat(events, "pt")), flat(events, "d0")
    assert log_pt.mean() == pytest.approx(-1.5, abs=0.05)
    assert log_pt.std() == pytest.approx(0.5, abs=0.05)
    assert np.mean(d0 != 0) == pytest.approx(0.3, abs=0.05)
    assert np.median(np.abs(d0[d0 != 0])) == pytest.approx(1.0, rel=0.25)
    assert np.mean(ak.num(events)) == pytest.approx(np.mean(ak.num(shifted)), rel=0.1)
    assert kstest(flat(events, "phi"), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_prompt_events_alone_will_do(toy_minbias):
    prompt = toy_minbias[toy_minbias.d0 == 0]
    events = FlowPileup(**OPTIONS | {"epochs": 1}).fit(prompt).sample(20, seed=1)
    assert not flat(events, "d0").any() and np.isfinite(flat(events, "eta")).all()


def test_a_network_of_another_size_is_refused(model):
    model.set_params(width=17)
    with pytest.raises(ValueError, match="its size was changed after the fit"):
        model.sample(3, seed=1)
    model.set_params(width=16)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs = 0: give 1 or more"),
        ({"bins": 2.5}, "bins = 2.5: give 1 or more"),
        ({"learning_rate": 0.0}, "learning_rate = 0.0"),
        ({"min_tracks": 1}, "min_tracks = 1: give at least 2"),
        ({"pt_limits": (0.0, 1.0)}, "pt_limits = "),
        ({"learning_rate": 1e30}, "event flow: val_loss of epoch 1 is"),
    ],
)
def test_bad_settings_are_named(toy_minbias, change, message):
    with pytest.raises(ValueError, match=message):
        FlowPileup(**OPTIONS | change).fit(toy_minbias)
