"""Training events drawn again: which ones, how often, and what turning leaves alone."""

import awkward as ak
import numpy as np
import pytest

from hepgmm.events import make_events
from hepgmm.pileup.baselines import Oversampling


@pytest.fixture(scope="module")
def kept(toy_minbias):
    return toy_minbias[ak.num(toy_minbias) >= 3]


def test_copies_are_exact(toy_minbias, kept):
    model = Oversampling(rotate=False).fit(toy_minbias)
    copies, sources = model.sample(200, seed=1, return_sources=True)
    assert sources.dtype == np.int64
    assert ak.array_equal(copies, kept[sources], check_parameters=False)


def test_turning_changes_nothing_but_phi(toy_minbias, kept):
    events, sources = Oversampling().fit(toy_minbias).sample(200, seed=1, return_sources=True)
    originals = kept[sources]
    for name in ("pt", "eta", "d0", "dz"):
        assert ak.array_equal(events[name], originals[name])
    turned, original = (
        ak.values_astype(sample.phi, np.float64) - ak.values_astype(sample.phi[:, 0], np.float64)
        for sample in (events, originals)
    )
    difference = np.remainder(ak.to_numpy(ak.flatten(turned - original)) + np.pi, 2 * np.pi) - np.pi
    np.testing.assert_allclose(difference, 0, atol=1e-6)
    assert np.abs(ak.to_numpy(ak.flatten(events.phi))).max() <= np.float32(np.pi)


def test_each_event_is_turned_by_its_own_azimuth(toy_minbias):
    model = Oversampling().fit(toy_minbias)
    events, sources = model.sample(300, seed=1, return_sources=True)
    turned = model.set_params(rotate=False).sample(300, seed=1)
    turns = np.remainder(ak.to_numpy(events.phi[:, 0] - turned.phi[:, 0]), 2 * np.pi)
    # Copies of one training event are turned differently: no two turns are alike.
    assert len(np.unique(sources)) < 300
    assert np.diff(np.sort(turns)).min() > 0


def test_azimuths_beyond_a_turn_come_back():
    columns = {name: np.ones(30) for name in ("pt", "eta", "d0", "dz")}
    events = make_events({**columns, "phi": np.tile([0.0, 3.0, -3.1], 10)}, [3] * 10)
    phi = ak.to_numpy(Oversampling().fit(events).sample(500, seed=1).phi).astype(float)
    assert np.abs(phi).max() <= np.float32(np.pi)
    np.testing.assert_allclose(np.cos(phi[:, 1] - phi[:, 0]), np.cos(3.0), atol=1e-6)
    np.testing.assert_allclose(np.sin(phi[:, 2] - phi[:, 0]), np.sin(-3.1), atol=1e-6)


def test_every_training_event_is_as_likely(toy_minbias, kept):
    n, m = 20_000, len(kept)
    _, sources = Oversampling().fit(toy_minbias).sample(n, seed=4, return_sources=True)
    found = np.bincount(sources, minlength=m)
    # χ² with m - 1 degrees of freedom, whose variance is twice that.
    chi_squared = ((found - n / m) ** 2 / (n / m)).sum()
    assert abs(chi_squared - (m - 1)) < 4 * np.sqrt(2 * (m - 1))


def test_number_of_different_events(toy_minbias, kept):
    model, m = Oversampling().fit(toy_minbias), len(kept)
    different = [
        len(np.unique(model.sample(m, seed=seed, return_sources=True)[1])) for seed in range(200)
    ]
    expected = m * (1 - (1 - 1 / m) ** m)
    assert abs(np.mean(different) - expected) < 4 * np.std(different) / np.sqrt(200)


def test_two_track_events_can_be_kept(toy_minbias):
    model = Oversampling(min_tracks=2).fit(toy_minbias)
    assert model.report_ == {"events_used": len(toy_minbias), "events_dropped": 0}
    assert ak.min(ak.num(model.sample(500, seed=1))) == 2
