"""An exported network is the same function, for any number of events."""

import numpy as np
import pytest
import torch

from hepgmm.classify.ladder import NetworkClassifier, classifier_class, classifier_names
from hepgmm.classify.networks import MLP
from hepgmm.cli import main
from hepgmm.events import make_events
from hepgmm.io.parquet import save_tracks

onnxruntime = pytest.importorskip("onnxruntime", reason="needs hepgmm[onnx]")
pytest.importorskip("onnxscript", reason="needs hepgmm[onnx]")

from hepgmm.classify.files import export_onnx, onnx_latency, onnx_logits, save_model  # noqa: E402

SMALL = {"n_blocks": 1, "n_heads": 2}


def rung(name, toy):
    """A rung of the ladder, small and, if it is a network, not trained."""
    cls = classifier_class(name)
    if issubclass(cls, NetworkClassifier):
        small = SMALL if "transformer" in name else {}
        return cls.architecture(**{**cls.options, **small}, seed=1)
    return cls().fit(toy(200, seed=2), seed=1).model


@pytest.mark.parametrize(
    ("name", "n_tracks"), [*((name, 24) for name in classifier_names()), ("trees", 8)]
)
def test_logits_are_those_of_torch_for_any_number_of_events(name, n_tracks, toy, tmp_path):
    sample, model = toy(9, seed=1, n_tracks=n_tracks), rung(name, toy)
    mask = sample.mask.copy()
    mask[4] = False
    model.train()
    export_onnx(tmp_path / "model.onnx", model, sample.X[:3], sample.mask[:3])
    assert model.training
    model.eval()
    with torch.inference_mode():
        expected = model(torch.from_numpy(sample.X), torch.from_numpy(mask)).numpy()
    for n in (9, 1):
        found = onnx_logits(tmp_path / "model.onnx", sample.X[:n], mask[:n])
        np.testing.assert_allclose(found, expected[:n], atol=1e-5)
    times = onnx_latency(tmp_path / "model.onnx", sample.X, mask, n_events=20)
    assert 0 < times["median"] <= times["p99"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_network_whose_file_would_differ_is_refused(toy, tmp_path, monkeypatch):
    sample = toy(4, seed=1)
    monkeypatch.setattr("hepgmm.classify.files.onnx_logits", lambda *_: np.full(4, 9.0))
    with pytest.raises(ValueError, match=r"model\.onnx: logits differ from those of torch by"):
        export_onnx(tmp_path / "model.onnx", MLP(), sample.X, sample.mask)
    with pytest.raises(ValueError, match="1 events; give at least 2"):
        export_onnx(tmp_path / "model.onnx", MLP(), sample.X[:1], sample.mask[:1])
    assert not list(tmp_path.iterdir())


def test_export_command(tmp_path, capsys):
    rng = np.random.default_rng(1)
    columns = {name: rng.uniform(0.6, 3, 60) for name in ("pt", "eta", "phi", "d0", "dz")}
    save_tracks(tmp_path / "events.parquet", make_events(columns, np.full(6, 10)))
    save_model(tmp_path / "mlp.safetensors", MLP())
    files = f"{tmp_path}/mlp.safetensors {tmp_path}/events.parquet"
    assert main(f"export {files} -o {tmp_path}/mlp.onnx".split()) == 0
    out = capsys.readouterr().out
    assert "median" in out and "ms" in out and (tmp_path / "mlp.onnx").is_file()
