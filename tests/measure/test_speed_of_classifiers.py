"""What the benchmark of classifiers compares is the same function."""

import pytest
import torch

from hepgmm.classify.ladder import CLASSIFIERS
from hepgmm.classify.networks import Transformer
from hepgmm.cli import main
from hepgmm.measure import speed_of_classifiers as classifiers
from hepgmm.measure.cost import training_operations


def test_torchs_own_transformer_is_the_same_function():
    ours = Transformer(n_blocks=2, seed=3).eval()
    theirs = classifiers.TorchTransformer(ours).eval()
    generator = torch.Generator().manual_seed(1)
    X = torch.rand(6, 12, 5, generator=generator)
    mask = torch.rand(6, 12, generator=generator) > 0.3
    mask[:, 0] = True
    torch.testing.assert_close(theirs(X, mask), ours(X, mask), rtol=1e-5, atol=1e-5)


def test_every_network_is_timed(monkeypatch):
    scan = {"n_tracks": (5, 9), "n_blocks": (1, 2)}
    for name, value in {"SCAN": scan, "BATCH": 4, "SIDE": 64}.items():
        monkeypatch.setattr(classifiers, name, value)
    pytest.importorskip("onnxruntime", reason="needs hepgmm[onnx]")
    pytest.importorskip("onnxscript", reason="needs hepgmm[onnx]")
    names = ("pt_cut", "trees", "mlp", "transformer")
    figures = classifiers.benchmark_classifiers(names=names, n_events=60, repeats=2)
    assert set(figures["latency"]) == set(names)
    assert figures["trees"]["n_trees"] > 10 and figures["trees"]["depth"] > 0
    assert set(figures["training"]) == {"mlp", "transformer"}
    for name, times in figures["latency"].items():
        assert 0 < times["median"] <= times["p99"], name
    assert all(figures["faster"][name]["value"] > 0 for name in ("torch", "blocks", "dropout"))
    for name, rate in figures["training"].items():
        each = training_operations(CLASSIFIERS[name].architecture(**CLASSIFIERS[name].options), 80)
        assert figures["operations"][name]["value"] == pytest.approx(rate["value"] * each / 1e9)
    assert figures["peak"]["value"] > 0
    found = {name: tuple(map(int, rates)) for name, rates in figures["scan"].items()}
    assert found == scan
    with pytest.raises(ValueError, match="the paper's transformer is what"):
        classifiers.benchmark_classifiers(names=("mlp",))


def test_what_is_of_the_mixture_is_refused_before_anything_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(classifiers, "benchmark_classifiers", lambda **_: pytest.fail("measured"))
    for option in ("--only curves", "--largest 9"):
        assert main(f"benchmark classifiers {option}".split()) == 2
        name = option.split()[0]
        assert f"{name}: of `benchmark mixture` alone; leave it out" in capsys.readouterr().err
