"""What all generators promise: numbers of events, seeds, files, refusals, names."""

import json
import re

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.base import clone

from hepgmm.analysis.presets import SCHEMA
from hepgmm.events import make_events
from hepgmm.pileup import load_generator
from hepgmm.pileup.base import GENERATORS, Generator
from hepgmm.pileup.baselines import GlobalMixture, IndependentTracks, KernelDensity, Oversampling
from hepgmm.pileup.diffusion import DiffusionPileup
from hepgmm.pileup.flow import FlowPileup
from hepgmm.pileup.hierarchical import HierarchicalGMM
from hepgmm.pileup.shared import SharedGMM

MODELS = {
    "oversampling": Oversampling(),
    "copies": Oversampling(rotate=False),
    "independent": IndependentTracks(),
    "kernel_density": KernelDensity(),
    "global_mixture": GlobalMixture(n_components=range(1, 9), max_tracks=1000, seed=2),
    "hgmm": HierarchicalGMM(n_components=range(1, 4), max_components=[1, 2, 4], seed=3),
    "hgmm_cured": HierarchicalGMM(
        n_components=range(1, 4),
        max_components=[2],
        draw="tracks",
        parametrisation="log",
        features="asinh",
    ),
    "shared": SharedGMM(n_prompt=6, n_displaced=3, seed=3),
    "flow": FlowPileup(epochs=1, width=16, transforms=1, seed=3),
    "diffusion": DiffusionPileup(epochs=1, width=16, global_width=8, n_layers=1, n_steps=4, seed=3),
}
CLASSES = list(dict.fromkeys(type(model) for model in MODELS.values()))


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


def test_a_generator_is_a_seed_that_moves_on(model):
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    first, second = model.sample(20, seed=rng), model.sample(20, seed=rng)
    assert ak.array_equal(first, model.sample(20, seed=same))
    assert not ak.array_equal(first, second)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"copies", "flow", "diffusion"}))
def test_phi_is_uniform(toy_minbias, name):
    # One track of each event: the azimuths of an event that was turned are not independent.
    phi = ak.to_numpy(clone(MODELS[name]).fit(toy_minbias).sample(5000, seed=3).phi[:, 0])
    assert np.abs(phi).max() <= np.float32(np.pi)
    assert kstest(phi.astype(float), "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3


def test_save_and_load_sample_alike(model, tmp_path):
    path = tmp_path / "model.npz"
    model.save(path)
    for loaded in (type(model).load(path), load_generator(path)):
        assert type(loaded) is type(model)
        assert ak.array_equal(loaded.sample(100, seed=9), model.sample(100, seed=9))
        assert loaded.report_ == model.report_
        for name in model.FITTED:
            if isinstance(value := getattr(model, name), np.ndarray):
                np.testing.assert_array_equal(getattr(loaded, name), value)
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_what_a_file_must_hold_is_what_a_fit_makes(model):
    fitted = {name for name in vars(model) if name.endswith("_")}
    assert set(model.FITTED) == fitted - {"sample_report_"}


def test_scikit_learn_manners(model):
    fresh = clone(model)
    assert fresh.get_params() == model.get_params()
    assert fresh.set_params(min_tracks=5) is fresh and fresh.min_tracks == 5


@pytest.mark.parametrize("kind", CLASSES)
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


@pytest.mark.parametrize("kind", CLASSES)
def test_bad_events_are_named(toy_minbias, kind):
    with pytest.raises(ValueError, match="at least 10 events with at least 3 tracks, got 9"):
        kind().fit(toy_minbias[ak.num(toy_minbias) >= 3][:9])
    with pytest.raises(ValueError, match="at least 10 events with at least 500 tracks, got 0"):
        kind(min_tracks=500).fit(toy_minbias)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"eta of event 4 is {value}"):
            kind().fit(broken(toy_minbias, "eta", value))
    for min_tracks in (0, 2.5):
        with pytest.raises(ValueError, match=f"min_tracks = {min_tracks}: give a whole number"):
            kind(min_tracks=min_tracks).fit(toy_minbias)


@pytest.mark.parametrize("kind", CLASSES)
def test_a_track_without_pt_has_no_logarithm(toy_minbias, kind):
    silent = broken(toy_minbias, "pt", 0.0)
    if kind in (Oversampling, IndependentTracks):
        assert 0 in flat(kind(min_tracks=1).fit(silent).sample(2000, seed=1), "pt")
    else:
        with pytest.raises(ValueError, match="pt of event 4 is 0 GeV"):
            kind().fit(silent)


def broken(events, name, value):
    """The events with one value of event 4 replaced."""
    columns = {field: flat(events, field).copy() for field in events.fields}
    counts = ak.to_numpy(ak.num(events))
    columns[name][counts[:4].sum()] = value
    return make_events(columns, counts)


@pytest.mark.parametrize("kind", [IndependentTracks, SharedGMM])
def test_a_failed_refit_leaves_no_mixed_model(toy_minbias, kind):
    model = kind().fit(toy_minbias)
    with pytest.raises(ValueError, match="events"):
        model.fit(toy_minbias[:4])
    with pytest.raises(ValueError, match="not fitted"):
        model.sample(1, seed=1)


def test_the_base_alone_is_no_generator():
    with pytest.raises(TypeError, match="abstract"):
        Generator()


def test_files_that_are_no_models(toy_minbias, tmp_path):
    model, path = clone(MODELS["hgmm"]).fit(toy_minbias), tmp_path / "model.npz"
    with pytest.raises(FileNotFoundError, match=r"model\.npz: no such file"):
        HierarchicalGMM.load(path)
    model.save(path)
    whole = path.read_bytes()
    for damage in (whole[: len(whole) // 2], whole[:100] + b"x" * 50 + whole[150:], b"", b"pt,eta"):
        path.write_bytes(damage)
        with pytest.raises(ValueError, match=r"model\.npz: not a whole HierarchicalGMM file"):
            HierarchicalGMM.load(path)
        with pytest.raises(ValueError, match=r"not a whole Oversampling or .* or DiffusionPileup"):
            load_generator(path)
    np.savez(path, about='{"kind": "SharedGMM"}')
    with pytest.raises(ValueError, match="holds a SharedGMM, not a HierarchicalGMM"):
        HierarchicalGMM.load(path)
    np.savez(path, about='{"kind": "MLP"}')
    with pytest.raises(ValueError, match="holds a MLP, not a Oversampling or"):
        load_generator(path)
    np.savez(path, about='{"kind": "HierarchicalGMM", "parameters": {"depth": 3}}')
    with pytest.raises(ValueError, match=r"damaged .*depth"):
        HierarchicalGMM.load(path)
    with pytest.raises(ValueError, match=re.escape("must end in .npz")):
        model.save(tmp_path / "model.pkl")


@pytest.mark.parametrize("name", ["range_", "n_components_counts_", "report_"])
def test_a_model_without_a_fitted_attribute_is_refused(toy_minbias, tmp_path, name):
    path = tmp_path / "model.npz"
    clone(MODELS["hgmm"]).fit(toy_minbias).save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files if key != name}
    about = json.loads(str(arrays.pop("about")))
    about["attributes"].pop(name, None)
    np.savez(path, about=json.dumps(about), **arrays)
    with pytest.raises(ValueError, match=rf"model\.npz: the HierarchicalGMM in it has no {name};"):
        HierarchicalGMM.load(path)


def test_pileup_of_presets_is_called_as_the_generators_are():
    assert set(SCHEMA["overlay"]["pileup"].choices) <= {*GENERATORS, "real"}
