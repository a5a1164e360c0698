"""What the benchmark of classifiers compares is the same function."""

import pytest
import torch

from hepgmm.benchmark import classifiers
from hepgmm.classify.models import Transformer


def test_torchs_own_transformer_is_the_same_function():
    ours = Transformer(n_blocks=2, seed=3).eval()
    theirs = classifiers.TorchTransformer(ours).eval()
    generator = torch.Generator().manual_seed(1)
    X = torch.rand(6, 12, 5, generator=generator)
    mask = torch.rand(6, 12, generator=generator) > 0.3
    mask[:, 0] = True
    torch.testing.assert_close(theirs(X, mask), ours(X, mask), rtol=1e-5, atol=1e-5)


def test_every_network_is_timed():
    pytest.importorskip("onnxruntime", reason="needs hepgmm[onnx]")
    pytest.importorskip("onnxscript", reason="needs hepgmm[onnx]")
    figures = classifiers.benchmark_classifiers(names=("mlp", "transformer"), n_events=4, repeats=2)
    assert set(figures["training"]) == set(figures["latency"])
    assert set(figures["training"]) == {"mlp", "transformer"}
    for name, times in figures["latency"].items():
        assert 0 < times["median"] <= times["p99"], name
    assert figures["faster"]["value"] > 0
