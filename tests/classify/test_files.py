import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from hepgmm.classify.files import load_model, save_card, save_model
from hepgmm.classify.networks import (
    MLP,
    DeepSets,
    ParticleTransformer,
    Transformer,
    predict,
)


@pytest.mark.parametrize(
    "model",
    [
        MLP(features="raw", width=8, n_layers=2, seed=1),
        MLP(features="scaled", seed=2),
        DeepSets(width=8, pooling="mean", seed=4),
        ParticleTransformer(width=8, n_blocks=1, pair_width=4, seed=5),
        Transformer(n_blocks=1, width=16, n_heads=4, feedforward=24, dropout=0.2, seed=3),
        Transformer(n_blocks=1, width=8, n_heads=2, vertex_bias=True, track_task=True, seed=3),
    ],
)
def test_a_saved_model_predicts_the_same(model, toy, tmp_path):
    sample = toy(30, seed=1)
    model.features.fit(sample.X, sample.mask)
    save_model(tmp_path / "model.safetensors", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert type(loaded) is type(model)
    assert loaded.hyperparameters == model.hyperparameters
    assert not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
    np.testing.assert_array_equal(
        predict(loaded, sample.X, sample.mask), predict(model, sample.X, sample.mask)
    )


def test_scales_of_the_training_set_are_saved(toy, tmp_path):
    sample = toy(30, seed=1)
    model = MLP(features="scaled")
    model.features.fit(sample.X, sample.mask)
    save_model(tmp_path / "m.safetensors", model)
    mean = load_model(tmp_path / "m.safetensors").features.mean
    np.testing.assert_allclose(mean, sample.X[sample.mask].mean(0)[:5], rtol=1e-4, atol=1e-5)


def test_a_saved_model_is_as_readable_as_any_file(tmp_path):
    (tmp_path / "plain").touch()
    save_model(tmp_path / "model.safetensors", MLP())
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def write(path, *, weights=None, **metadata):
    described = {"format": "hepgmm classifier 1", "hyperparameters": "{}", **metadata}
    save_file(weights or {"w": torch.zeros(2)}, path, described)


def test_a_file_of_a_newer_version_says_so(tmp_path):
    write(tmp_path / "new.safetensors", format="hepgmm classifier 2", architecture="MLP")
    with pytest.raises(ValueError, match=r"new\.safetensors: written by a newer hepgmm \(format 2"):
        load_model(tmp_path / "new.safetensors")


def test_a_card_says_what_a_model_is(tmp_path):
    model = MLP(width=8, n_layers=2)
    card = json.loads(save_card(tmp_path / "m.safetensors", model, metrics={"auc": 1}).read_text())
    assert card["parameters"] == sum(weights.numel() for weights in model.parameters())
    assert card["hyperparameters"] == {"width": 8, "n_layers": 2, "seed": 0}
    assert len(card["inputs"]) == 5 and card["metrics"] == {"auc": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_files_that_are_not_ours_are_named(tmp_path):
    path = tmp_path / "model.safetensors"
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: no such file"):
        load_model(path)
    path.write_bytes(b"not a model")
    with pytest.raises(ValueError, match=r"model\.safetensors: not a safetensors file"):
        load_model(path)
    save_file({"w": torch.zeros(2)}, path)
    with pytest.raises(ValueError, match=r"not written by hepgmm\.classify\.save_model"):
        load_model(path)
    write(path, architecture="Perceptron")
    with pytest.raises(ValueError, match="'Perceptron' is unknown; known are MLP, DeepSets"):
        load_model(path)
    write(path, architecture="MLP", weights=Transformer(n_blocks=1).state_dict())
    with pytest.raises(ValueError, match="its weights do not fit the MLP it names"):
        load_model(path)
    write(path, architecture="MLP", hyperparameters=json.dumps({"depth": 3}))
    with pytest.raises(ValueError, match="its hyperparameters do not fit the MLP it names"):
        load_model(path)


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "model.safetensors"
    save_model(path, MLP())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not a safetensors file, or a truncated one"):
        load_model(path)


def test_a_model_carries_its_own_table_of_inputs(toy, tmp_path):
    table = tmp_path / "mine.yaml"
    table.write_text("rows: [{name: eta, of: eta, scale: 2}, {name: pt, of: pt_relative}]")
    sample = toy(10, seed=1)
    model = MLP(features=table, seed=1)
    save_model(tmp_path / "model.safetensors", model)
    expected = predict(model, sample.X, sample.mask)
    table.unlink()
    loaded = load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(predict(loaded, sample.X, sample.mask), expected)
    assert [row.formula for row in loaded.features.rows] == ["η / 2", "pT / Σ pT"]


def test_an_architecture_that_could_not_be_read_back_is_refused(tmp_path):
    class Mine(MLP):
        pass

    with pytest.raises(ValueError, match=r"Mine: unknown to saved models; add it"):
        save_model(tmp_path / "model.safetensors", Mine())
    assert not list(tmp_path.iterdir())
