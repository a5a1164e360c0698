import awkward as ak
import numpy as np
import pytest

from hepgmm.crossings.overlay import overlay
from hepgmm.crossings.samples import (
    SPLITS,
    label_events,
    load_samples,
    save_samples,
    split_hard_events,
)
from hepgmm.events import make_events
from hepgmm.io.parquet import save_tracks

OPTIONS = {
    "mu": 3,
    "sigma_z": 53.0,
    "dz_reference": "origin",
    "pt_min": 0.5,
    "abs_eta_max": 4.5,
    "max_tracks": 20,
}


def toy_events(n_events, *, d0, seed):
    """Events of four tracks; d0 marks the event that a track comes from."""
    random = np.random.default_rng(seed)
    d0 = np.repeat(np.broadcast_to(d0, n_events), 4)
    columns = {
        "pt": random.uniform(1, 10, 4 * n_events),
        "eta": random.normal(size=4 * n_events),
        "phi": random.uniform(-np.pi, np.pi, 4 * n_events),
        "d0": d0,
        "dz": np.zeros(4 * n_events),
    }
    return make_events(columns, np.full(n_events, 4))


def make(**changes):
    hard = {0.0: toy_events(60, d0=-1.0, seed=1), 100.0: toy_events(60, d0=-2.0, seed=2)}
    pool = toy_events(200, d0=np.arange(200) + 1.0, seed=3)
    return sampled(hard, pool, options=OPTIONS | changes)


def sampled(hard, pileup, *, options=OPTIONS):
    return {name: part.sample() for name, part in split(hard, pileup, options=options).items()}


def split(hard, pileup, *, options=OPTIONS):
    fractions = {"test_fraction": 0.2, "validation_fraction": 0.25}
    return split_hard_events(hard, pileup, options=options, **fractions, seed=5)


def test_the_split_has_its_fractions_and_no_hard_event_twice():
    samples = make(mu=0)
    assert [len(samples[name]) for name in SPLITS] == [72, 24, 24]
    hardest = np.concatenate([samples[name].X[:, 0, 2] for name in SPLITS])
    assert len(np.unique(hardest)) == 120


def test_labels_follow_their_events():
    for sample in make(max_tracks=200).values():
        for X, mask, y, mass in zip(sample.X, sample.mask, sample.y, sample.mass, strict=True):
            own = set(X[mask][:, 3]) & {-1.0, -2.0}
            assert own == {-2.0 if y else -1.0}
            assert mass == 100 * y


def test_no_real_pileup_event_is_in_two_samples():
    samples = make(mu=20, max_tracks=200)
    used = [set(samples[name].X[samples[name].mask][:, 3]) - {-1.0, -2.0} for name in SPLITS]
    assert all(used)
    assert not (used[0] & used[1] or used[0] & used[2] or used[1] & used[2])


def test_truth_marks_the_tracks_of_the_hard_event():
    for sample in make().values():
        np.testing.assert_array_equal(sample.hard, sample.mask & (sample.X[..., 3] < 0))


def test_each_epoch_has_the_same_hard_events_with_other_pileup():
    hard = {0.0: toy_events(30, d0=-1.0, seed=1), 100.0: toy_events(30, d0=-2.0, seed=2)}
    part = split(hard, toy_events(200, d0=np.arange(200) + 1.0, seed=3))["train"]
    samples = [part.sample(epoch) for epoch in (0, 1, 1, 2)]
    np.testing.assert_array_equal(samples[1].X, samples[2].X)
    for one, other in ((0, 1), (1, 3), (0, 3)):
        one, other = samples[one], samples[other]
        assert not np.array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.mass, other.mass)
        # pT in GeV tells a hard track, whatever is laid over it.
        assert set(one.X[one.hard][:, 5]) & set(other.X[other.hard][:, 5])


def test_samples_without_a_mass_survive_too(tmp_path):
    samples = {name: type(part)(part.X, part.mask, part.y) for name, part in make().items()}
    save_samples(tmp_path / "samples.npz", samples)
    back = load_samples(tmp_path / "samples.npz")
    assert all(back[name].mass is None and back[name].hard is None for name in SPLITS)


def test_each_mass_is_split_alike_whatever_the_others_are():
    hard = {mass: toy_events(40, d0=-1.0 - mass, seed=int(mass) + 1) for mass in (0.0, 7.0, 9.0)}
    pool = toy_events(20, d0=1.0, seed=3)
    whole, without = split(hard, pool), split({9.0: hard[9.0], 0.0: hard[0.0]}, pool)
    for name in SPLITS:
        for mass in (0.0, 9.0):
            one, other = (p[name].events[p[name].mass == mass] for p in (whole, without))
            assert ak.array_equal(one, other)
        assert set(whole[name].mass) == {0, 7, 9}


def test_parts_of_hard_events_are_random_and_nested():
    hard = {mass: toy_events(100, d0=-1.0, seed=int(mass) + 1) for mass in (0.0, 7.0)}
    train = split(hard, toy_events(20, d0=1.0, seed=3))["train"]
    small, large = (train.part(share, seed=5) for share in (0.2, 0.5))
    assert len(small.events) == 24 and len(large.events) == 60
    assert 6 <= (small.mass == 7).sum() <= 18
    known = {tuple(pt) for pt in large.events.pt.to_list()}
    assert {tuple(pt) for pt in small.events.pt.to_list()} < known


def test_a_generator_serves_all_samples():
    class Generator:
        def sample(self, n_events, *, seed):
            return toy_events(n_events, d0=7.0, seed=np.random.default_rng(seed))

    hard = {0.0: toy_events(30, d0=-1.0, seed=1), 100.0: toy_events(30, d0=-2.0, seed=2)}
    samples = sampled(hard, Generator())
    for sample in samples.values():
        assert set(sample.X[sample.mask][:, 3]) <= {-1.0, -2.0, 7.0}


def test_threads_change_nothing():
    hard = {0.0: toy_events(1300, d0=-1.0, seed=1)}
    part = split(hard, toy_events(50, d0=1.0, seed=3))["train"]
    one, three = part.sample(1), part.sample(1, workers=3)
    for name in ("X", "mask", "y", "mass", "hard"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_the_seed_decides_everything():
    first, again = make(), make()
    for name in SPLITS:
        np.testing.assert_array_equal(first[name].X, again[name].X)


def test_samples_survive_a_round_trip(tmp_path):
    samples = make()
    save_samples(tmp_path / "samples.npz", samples)
    back = load_samples(tmp_path / "samples.npz")
    for name in SPLITS:
        for field in ("X", "mask", "y", "mass", "hard"):
            np.testing.assert_array_equal(getattr(samples[name], field), getattr(back[name], field))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"no zip at all"])
def test_a_broken_file_of_samples_is_named(tmp_path, content):
    path = tmp_path / "samples.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"samples\.npz: not a file of samples"):
        load_samples(path)


def test_a_file_of_other_arrays_is_named(tmp_path):
    np.savez(tmp_path / "samples.npz", X=np.zeros(3))
    with pytest.raises(ValueError, match=r"samples\.npz: not a file of samples"):
        load_samples(tmp_path / "samples.npz")


def test_two_files_become_a_labelled_sample(tmp_path):
    for name, d0 in (("background", -1.0), ("signal", -2.0)):
        save_tracks(tmp_path / f"{name}.parquet", toy_events(5, d0=d0, seed=1))
    sample = label_events(tmp_path / "background.parquet", tmp_path / "signal.parquet")
    assert sample.y.tolist() == [0] * 5 + [1] * 5
    assert set(sample.X[sample.y == 1][sample.mask[sample.y == 1]][:, 3]) == {-2.0}


def test_files_that_know_their_collisions_tell_hard_tracks(tmp_path):
    background, signal = (tmp_path / f"{name}.parquet" for name in ("background", "signal"))
    for path, d0 in ((background, -1.0), (signal, -2.0)):
        hard, pool = toy_events(20, d0=d0, seed=1), toy_events(30, d0=1.0, seed=2)
        mixed, truth = overlay(hard, pool, mu=3, seed=3, return_truth=True)
        save_tracks(path, mixed, truth=truth)
    sample = label_events(background, signal)
    assert sample.hard.any() and (sample.hard == (sample.X[..., 3] < 0)).all()
    save_tracks(signal, mixed)
    assert label_events(background, signal).hard is None


def test_events_without_tracks_are_left_out_of_their_labels_too():
    hard = {0.0: toy_events(30, d0=-1.0, seed=1), 100.0: toy_events(30, d0=-2.0, seed=2)}
    hard[0.0] = ak.concatenate([hard[0.0][:20], hard[0.0][20:][:, :0]])
    samples = sampled(hard, toy_events(10, d0=1.0, seed=3), options=OPTIONS | {"mu": 0})
    assert sum(len(sample) for sample in samples.values()) == 50
    assert sum((sample.y == 0).sum() for sample in samples.values()) == 20
