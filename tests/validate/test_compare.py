import awkward as ak
import numpy as np
import pytest
from scipy.stats import norm, wasserstein_distance

from hepgmm.tracks import FEATURES, make_events
from hepgmm.validate import EVENT_FEATURES, TRACK_FEATURES, compare, event_features
from hepgmm.validate.distances import weighted_wasserstein
from hepgmm.validate.features import track_features
from hepgmm.validate.two_sample import weighted_two_sample_auc


def events(n_events, *, seed, eta_shift=0.0, mean_tracks=6):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(mean_tracks, n_events)
    n = counts.sum()
    columns = {
        "pt": rng.lognormal(0, 0.5, n),
        "eta": rng.normal(eta_shift, 1.0, n),
        "phi": rng.uniform(-np.pi, np.pi, n),
        "d0": np.where(rng.random(n) < 0.1, rng.normal(0, 10, n), 0.0),
        "dz": rng.normal(0, 50, n),
    }
    return make_events(columns, counts)


@pytest.fixture(scope="module")
def same():
    return compare(events(400, seed=1), events(400, seed=2), seed=3)


@pytest.fixture(scope="module")
def shifted():
    return compare(events(1600, seed=1), events(1200, seed=2, eta_shift=1.0), seed=3)


def test_equal_samples_are_not_told_apart(same):
    for name in ("auc_events", "auc_tracks"):
        assert abs(same[name]["value"] - 0.5) < 4 * same[name]["error"]
        assert abs(same[name]["floor"] - 0.5) < 6 * same[name]["error"]
        assert same[name]["error"] < 0.03
    for name in ("fpd", "kpd"):
        assert abs(same[name]["value"] - same[name]["floor"]) < 5 * same[name]["error"]
    for name in (f"w1_track_{feature}" for feature in TRACK_FEATURES):
        assert same[name]["value"] < same[name]["floor"] + 4 * same[name]["error"]


def test_shifted_tracks_are_told_apart_as_well_as_they_can_be(shifted):
    best = norm.cdf(1 / np.sqrt(2))
    figure = shifted["auc_tracks"]
    assert best - 0.03 < figure["value"] < best + 4 * figure["error"]
    assert shifted["auc_events"]["value"] > 0.9
    for name in ("fpd", "kpd"):
        assert shifted[name]["value"] > 5 * shifted[name]["error"]
        assert shifted[name]["value"] > 5 * abs(shifted[name]["floor"])


def test_distance_of_a_shift_is_the_shift(shifted):
    figure = shifted["w1_track_eta"]
    assert figure["value"] == pytest.approx(1.0, abs=4 * figure["error"])
    assert figure["error"] < 0.05
    assert figure["floor"] < 0.1
    assert shifted["w1_event_mean_eta"]["value"] > 1


def test_floors_of_distances_belong_to_the_sizes_of_the_samples():
    real, synthetic = events(200, seed=1), events(400, seed=2)
    few, many = (compare(real, synthetic[:n], seed=3, n_bootstrap=2) for n in (100, 400))
    assert few["auc_events"]["floor"] == many["auc_events"]["floor"]
    for name in (name for name in few if name.startswith("w1_")):
        expected = many[name]["floor"] * np.sqrt((1 / 200 + 1 / 100) / (1 / 200 + 1 / 400))
        assert few[name]["floor"] == pytest.approx(expected)


def test_every_figure_has_value_error_and_floor(same):
    names = ["auc_events", "auc_tracks", "fpd", "kpd", "w1_events", "w1_tracks"]
    assert list(same)[:6] == names
    assert len(same) == 6 + len(EVENT_FEATURES) + len(TRACK_FEATURES)
    for figure in same.values():
        assert list(figure) == ["value", "error", "floor"]
        assert all(np.isfinite(list(figure.values())))
    names = [f"w1_event_{name}" for name in EVENT_FEATURES]
    assert same["w1_events"]["value"] == pytest.approx(
        np.mean([same[name]["value"] for name in names])
    )


def test_copies_have_no_distance_and_same_seeds_same_figures():
    real = events(100, seed=7)
    figures = compare(real, real, seed=8, n_bootstrap=5)
    for name, figure in figures.items():
        assert not name.startswith(("w1", "fpd")) or figure["value"] < 1e-12
    assert compare(real, real, seed=8, n_bootstrap=5) == figures


def test_copies_of_training_events_are_found():
    training, real, fresh = (events(150, seed=seed) for seed in (1, 2, 3))
    figures = [
        compare(real, other, training=training, seed=4, n_bootstrap=5)["nearest"]
        for other in (training, fresh)
    ]
    assert figures[0]["value"] == 0
    assert figures[1]["value"] == pytest.approx(1, abs=0.15)
    assert figures[1]["floor"] == pytest.approx(1, abs=0.15)


def test_wasserstein_distance_is_scipys():
    rng = np.random.default_rng(9)
    x, y = np.round(rng.normal(size=(40, 2)), 1), np.round(rng.normal(0.3, 2, (60, 2)), 1)
    weights = rng.integers(0, 4, 100)
    is_second = np.arange(100) >= 40
    ours = weighted_wasserstein(np.concatenate([x, y]), is_second)(weights)
    for column in range(2):
        exact = wasserstein_distance(x[:, column], y[:, column], weights[:40], weights[40:])
        assert ours[column] == pytest.approx(exact)


def test_weights_act_on_whole_events():
    """Twice the weight on every event changes nothing; none on an event removes its tracks."""
    rng = np.random.default_rng(10)
    event = np.repeat(np.arange(200), 3)
    synthetic = event >= 100
    features = rng.normal(size=(600, 1)) + synthetic[:, None]
    area = weighted_two_sample_auc(features, synthetic, event, seed=11)
    ones = np.ones(200)
    assert area(2 * ones) == pytest.approx(area(ones))
    ones[::2] = 0
    assert area(ones) != area(np.ones(200))
    assert 0.65 < area(ones) < 0.9


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


def test_too_few_or_broken_events_are_named():
    good = events(100, seed=12)
    with pytest.raises(ValueError, match="synthetic"):
        compare(good, good[:50], seed=0)
    with pytest.raises(ValueError, match="real"):
        compare(good[["pt", "eta"]], good, seed=0)
