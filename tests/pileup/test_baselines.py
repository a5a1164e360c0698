"""What all simple generators promise: numbers of events, seeds, files, refusals."""

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.base import clone

from hepgmm.events import make_events
from hepgmm.pileup.baselines import (
    GlobalMixture,
    IndependentGenerator,
    IndependentTracks,
    KernelDensity,
    Oversampling,
)

MODELS = {
    "oversampling": Oversampling(),
    "copies": Oversampling(rotate=False),
    "tracks": IndependentTracks(),
    "kernel": KernelDensity(),
    "mixture": GlobalMixture(n_components=range(1, 9), max_tracks=1000, seed=2),
}
MODEL_TYPES = [Oversampling, IndependentTracks, KernelDensity, GlobalMixture]


@pytest.fixture(scope="module", params=MODELS)
def model(request, toy_minbias):
    return clone(MODELS[request.param]).fit(toy_minbias)


def flat(events, name):
    return ak.to_numpy(ak.flatten(events[name]))


def test_events_with_few_tracks_are_dropped_and_counted(toy_minbias, model):
    few = int(ak.sum(ak.num(toy_minbias) < 3))
    assert few > 0
    assert model.report_["events_dropped"] == few
    assert model.report_["events_used"] == len(toy_minbias) - few


def test_exactly_n_events_of_the_same_format(toy_minbias, model):
    for n in (0, 1, 37):
        events = model.sample(n, seed=1)
        assert len(events) == n
        assert events.type.content == toy_minbias.type.content
        provenance = {"process": "minbias", "generator": type(model).__name__, "seed": "1"}
        assert events.attrs["provenance"] == provenance


def test_same_seed_same_sample(model):
    first, second, other = (model.sample(50, seed=seed) for seed in (5, 5, 6))
    assert ak.array_equal(first, second)
    assert not ak.array_equal(first, other)


def test_multiplicities_are_those_of_training_events(toy_minbias, model):
    counts = ak.to_numpy(ak.num(toy_minbias))
    counts = counts[counts >= 3]
    drawn, n = ak.to_numpy(ak.num(model.sample(4000, seed=2))), 4000
    assert set(drawn) == set(counts)
    assert abs(drawn.mean() - counts.mean()) < 4 * counts.std() / np.sqrt(n)
    expected = np.bincount(counts) / len(counts)
    errors = np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(np.bincount(drawn) / n - expected) <= 4 * errors).all()


@pytest.mark.parametrize("name", ["oversampling", "tracks", "kernel", "mixture"])
def test_phi_is_uniform(toy_minbias, name):
    # One track of each event: the azimuths of an event that was turned are not independent.
    phi = ak.to_numpy(clone(MODELS[name]).fit(toy_minbias).sample(5000, seed=3).phi[:, 0])
    assert np.abs(phi).max() <= np.float32(np.pi)
    assert kstest(phi.astype(float), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_save_and_load_sample_alike(model, tmp_path):
    model.save(tmp_path / "model.npz")
    loaded = type(model).load(tmp_path / "model.npz")
    assert ak.array_equal(loaded.sample(100, seed=9), model.sample(100, seed=9))
    assert loaded.report_ == model.report_


def test_what_a_file_must_hold_is_what_a_fit_makes(model):
    assert set(model.FITTED) == {name for name in vars(model) if name.endswith("_")}


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_not_fitted(kind, tmp_path):
    message = rf"this {kind.__name__} is not fitted: call fit\(events\)"
    with pytest.raises(ValueError, match=message):
        kind().sample(3, seed=1)
    with pytest.raises(ValueError, match=message):
        kind().save(tmp_path / "model.npz")


@pytest.mark.parametrize("n_events", [-1, 2.5, "3"])
def test_bad_numbers_of_events(model, n_events):
    with pytest.raises(ValueError, match=f"n_events = {n_events!r}: give a whole number"):
        model.sample(n_events, seed=1)


@pytest.mark.parametrize("kind", MODEL_TYPES)
def test_bad_events_are_named(toy_minbias, kind):
    with pytest.raises(ValueError, match="at least 10 events with at least 3 tracks, got 9"):
        kind().fit(toy_minbias[ak.num(toy_minbias) >= 3][:9])
    with pytest.raises(ValueError, match="at least 10 events with at least 500 tracks, got 0"):
        kind(min_tracks=500).fit(toy_minbias)
    with pytest.raises(ValueError, match="eta of event 4 is nan"):
        kind().fit(broken(toy_minbias, "eta", np.nan))
    for min_tracks in (0, 2.5):
        with pytest.raises(ValueError, match=f"min_tracks = {min_tracks}: give a whole number"):
            kind(min_tracks=min_tracks).fit(toy_minbias)


@pytest.mark.parametrize("kind", [KernelDensity, GlobalMixture])
def test_a_track_without_pt_has_no_logarithm(toy_minbias, kind):
    with pytest.raises(ValueError, match="pt of event 4 is 0 GeV"):
        kind().fit(broken(toy_minbias, "pt", 0.0))


def broken(events, name, value):
    """The events with one value of event 4 replaced."""
    columns = {field: flat(events, field).copy() for field in events.fields}
    counts = ak.to_numpy(ak.num(events))
    columns[name][counts[:4].sum()] = value
    return make_events(columns, counts)


def test_the_base_alone_is_no_generator():
    with pytest.raises(TypeError, match="abstract"):
        IndependentGenerator()
