"""Real tracks thrown together: their distribution stays, what they have in common goes."""

import awkward as ak
import numpy as np

from hepgmm.events import flatten, make_events
from hepgmm.pileup.baselines import IndependentTracks


def rows(events):
    """The tracks without phi."""
    return flatten(events)[0][:, [0, 1, 3, 4]]


def test_every_track_is_a_training_track(toy_minbias):
    training = rows(toy_minbias[ak.num(toy_minbias) >= 3])
    drawn = rows(IndependentTracks().fit(toy_minbias).sample(300, seed=1))
    assert {tuple(row) for row in drawn} <= {tuple(row) for row in training}


def test_statistics_of_tracks_are_those_of_the_training_sample(toy_minbias):
    training = rows(toy_minbias[ak.num(toy_minbias) >= 3])
    drawn = rows(IndependentTracks().fit(toy_minbias).sample(4000, seed=1))
    for power in (1, 2):
        values = training**power
        error = values.std(axis=0) / np.sqrt(len(drawn))
        assert (np.abs((drawn**power).mean(axis=0) - values.mean(axis=0)) < 4 * error).all()
    prompt = (training[:, 2] == 0).mean()
    error = np.sqrt(prompt * (1 - prompt) / len(drawn))
    assert abs((drawn[:, 2] == 0).mean() - prompt) < 4 * error


def test_features_of_one_track_stay_together():
    pt = np.linspace(1, 2, 100)
    columns = {"pt": pt, "eta": 2 * pt, "phi": 0 * pt, "d0": 3 * pt, "dz": 4 * pt}
    drawn = rows(IndependentTracks().fit(make_events(columns, [10] * 10)).sample(50, seed=1))
    np.testing.assert_allclose(drawn / drawn[:, :1], np.tile([1, 2, 3, 4], (500, 1)), rtol=1e-6)


def test_tracks_of_one_event_are_independent():
    """Training events whose tracks all have one eta: the mean over 10 tracks varies as theirs."""
    rng = np.random.default_rng(1)
    eta = np.repeat(rng.normal(size=400), 10)
    ones = np.ones(4000)
    columns = {"pt": ones, "eta": eta, "phi": ones, "d0": ones, "dz": ones}
    sample = IndependentTracks().fit(make_events(columns, [10] * 400)).sample(4000, seed=2)
    variance = ak.to_numpy(ak.mean(sample.eta, axis=1)).var()
    # 1/10 of the variance of a track, and not all of it.
    assert abs(variance / (eta.var() / 10) - 1) < 4 * np.sqrt(2 / 4000)


def test_directions_in_one_event_are_independent(toy_minbias):
    sample = IndependentTracks().fit(toy_minbias).sample(4000, seed=3)
    px, py = sample.pt * np.cos(sample.phi), sample.pt * np.sin(sample.phi)
    recoil = ak.sum(px, axis=1) ** 2 + ak.sum(py, axis=1) ** 2
    ratio = ak.to_numpy(recoil / ak.sum(sample.pt**2, axis=1))
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / np.sqrt(len(ratio))
