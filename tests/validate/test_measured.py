"""Features of tracks and events, and the samples that hold them."""

import awkward as ak
import numpy as np

from hepgmm.events import FEATURES, make_events
from hepgmm.validate import EVENT_FEATURES, TRACK_FEATURES, event_features
from hepgmm.validate.measured import Measured, track_features


def test_event_features_are_those_of_a_slow_loop():
    sample = make_events(
        {
            "pt": [1.0, 0.2, 3.0, 5.0, 0.7],
            "eta": [0.5, -1.0, 5.0, 2.0, -2.0],
            "phi": [0.1, 2.0, -3.0, 1.0, 1.5],
            "d0": [0.0, 2.0, -0.05, 0.0, 0.5],
            "dz": [0.0, 5.0, 0.02, 0.0, 0.0],
        },
        [3, 0, 2],
    )
    features, names = event_features(sample)
    assert names == EVENT_FEATURES
    assert features.shape == (3, len(EVENT_FEATURES))
    for row, event in zip(features, sample, strict=True):
        pt, eta, phi, d0, dz = (ak.to_numpy(event[name]).astype(float) for name in FEATURES)
        n = len(pt)
        expected = dict.fromkeys(names, 0.0)
        if n:
            expected |= {
                "n_tracks": n,
                "n_accepted": sum((pt > 0.5) & (abs(eta) < 4.5)),
                "log_sum_pt": np.log(1 + pt.sum()),
                "recoil": abs(sum(pt * np.exp(1j * phi))) ** 2 / sum(pt**2),
                "fraction_d0_10um": np.mean(abs(d0) > 0.01),
                "fraction_d0_1mm": np.mean(abs(d0) > 1),
                "fraction_dz_10um": np.mean(abs(dz) > 0.01),
                "fraction_dz_1mm": np.mean(abs(dz) > 1),
            }
            columns = (np.log(pt), eta, np.arcsinh(d0 / 0.01), np.arcsinh(dz / 0.01))
            for what, x in zip(TRACK_FEATURES, columns, strict=True):
                expected |= {f"mean_{what}": x.mean(), f"spread_{what}": x.std()}
                expected |= {f"min_{what}": x.min(), f"max_{what}": x.max()}
        np.testing.assert_allclose(row, [expected[name] for name in names], rtol=1e-5, atol=1e-12)


def test_tracks_know_their_event():
    _, event = track_features(make_events({name: np.ones(3) for name in FEATURES}, [2, 0, 1]))
    assert event.tolist() == [0, 0, 2]


def test_events_without_any_track():
    features, _ = event_features(make_events({name: [] for name in FEATURES}, [0, 0]))
    assert not features.any()


def test_part_of_a_sample_is_the_sample_of_the_part():
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 4, 30)
    sample = make_events({name: rng.random(counts.sum()) for name in FEATURES}, counts)
    index = rng.permutation(30)[:11]
    part, fresh = Measured.of(sample, seed=1).part(index), Measured.of(sample[index], seed=1)
    assert part.events.tolist() == fresh.events.tolist()
    np.testing.assert_array_equal(part.summaries, fresh.summaries)
    np.testing.assert_array_equal(part.accepted, fresh.accepted)
    for name in ("points", "tracks", "event"):
        rows = [getattr(some, name)[np.argsort(some.points[:, 0])] for some in (part, fresh)]
        np.testing.assert_array_equal(*rows)
