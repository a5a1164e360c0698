"""How fast classifiers train and answer: events a second, torch's own blocks beside ours."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hepgmm.analysis.figures import environment
from hepgmm.classify.features import TrackFeatures
from hepgmm.classify.files import export_onnx, onnx_latency
from hepgmm.classify.ladder import classifier_class, classifier_names
from hepgmm.classify.layers import SUM_UNIT, HiddenLayers
from hepgmm.classify.networks import Transformer
from hepgmm.cores import one_thread
from hepgmm.crossings.samples import Sample
from hepgmm.measure.cost import training_operations
from hepgmm.measure.speed import in_turns, ratio, summary

__all__ = ["TorchTransformer", "benchmark_classifiers"]

#: Events of a batch, as in the ladder.
BATCH = 128
#: The paper's.
DROPOUT = 0.1
#: What the paper's transformer is varied in, one at a time.
SCAN = {"n_tracks": (20, 40, 80, 160), "width": (16, 32, 64, 128)}
SCAN |= {"n_heads": (1, 2, 4, 8), "n_blocks": (1, 2, 4, 6)}
#: Side of the square matrices whose product shows what the core can do.
SIDE = 1024


class TorchTransformer(nn.Module):
    """Our transformer with ``torch.nn.TransformerEncoder``, of the same weights and function."""

    def __init__(self, model: Transformer):
        super().__init__()
        shape = model.hyperparameters
        width = shape["width"]
        self.features = TrackFeatures(shape["features"])
        self.encoder = HiddenLayers(len(self.features.rows), width, 1, F.gelu)
        sizes = (shape[name] for name in ("n_heads", "feedforward", "dropout"))
        options = {"activation": "gelu", "batch_first": True, "norm_first": True}
        layer = nn.TransformerEncoderLayer(width, *sizes, **options)
        self.blocks = nn.TransformerEncoder(layer, shape["n_blocks"], enable_nested_tensor=False)
        self.decoder = HiddenLayers(width, width, 3, F.gelu, normalise=False)
        self.output = nn.Linear(width, 1)
        self.copy(model)

    def copy(self, model: Transformer) -> None:
        """Take over the weights of our own."""
        for name in ("features", "encoder", "decoder", "output"):
            getattr(self, name).load_state_dict(getattr(model, name).state_dict())
        for theirs, ours in zip(self.blocks.layers, model.blocks, strict=True):
            theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
            theirs.self_attn.out_proj.load_state_dict(ours.attention_output.state_dict())
            theirs.norm2.load_state_dict(ours.feedforward_norm.state_dict())
            theirs.linear1.load_state_dict(ours.expand.state_dict())
            theirs.linear2.load_state_dict(ours.contract.state_dict())
            with torch.no_grad():
                theirs.self_attn.in_proj_weight.copy_(ours.queries_keys_values.weight)
                theirs.self_attn.in_proj_bias.copy_(ours.queries_keys_values.bias)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5), where mask, bool (n, T), is True."""
        tracks = self.encoder(self.features(X, mask), mask)
        tracks = self.blocks(tracks, src_key_padding_mask=~mask)
        total = (tracks * mask.unsqueeze(-1)).sum(1) / SUM_UNIT
        return self.output(self.decoder(total)).squeeze(-1)


def benchmark_classifiers(*, names=None, n_events=512, repeats=5, seed=1) -> dict:
    """Measure training of every network, and latency of every rung of the ladder, on one core.

    Events have 80 tracks drawn at random: what they hold changes no time of a network. Rates are in
    events a second; ``torch`` is the paper's transformer in torch's own blocks with its default
    loader, ``blocks`` without that loader, ``dropout`` and ``torch_dropout`` ours and torch's with
    dropout, which torch's blocks apply to the attention weights, too; ``operations`` and ``peak``,
    the product of two large matrices, are in GFLOP/s, ``latency`` through onnxruntime in ms.
    """
    if names is not None and "transformer" not in names:
        raise ValueError("names: the paper's transformer is what torch's is compared with")

    rng = np.random.default_rng(seed)
    X = np.abs(rng.standard_normal((n_events, 80, 6), dtype=np.float32)) + 0.01
    X[..., 0] /= X[..., 0].sum(axis=1, keepdims=True)
    X[..., 2] %= np.pi
    # A label that trees can go on approaching, so that there are as many as they may be.
    spread = X[..., 4].std(axis=1)
    y = (spread > np.median(spread)).astype(np.float32)
    data = X, np.ones((n_events, 80), dtype=bool), y
    models = {name: untrained(classifier_class(name), data) for name in names or classifier_names()}
    networks = {n: m for n, m in models.items() if classifier_class(n).is_network}
    theirs = TorchTransformer(networks["transformer"])
    dropped = Transformer(**networks["transformer"].hyperparameters | {"dropout": DROPOUT})
    one, other = torch.rand(2, SIDE, SIDE)
    tasks = {name: epoch(network, data) for name, network in networks.items()}
    tasks |= {"torch": loader_epoch(theirs, data), "blocks": epoch(theirs, data)}
    tasks["dropout"] = epoch(dropped, data)
    tasks["torch_dropout"] = loader_epoch(TorchTransformer(dropped), data)
    tasks["peak"] = lambda: one @ other
    with one_thread():
        for task in tasks.values():
            task()
        seconds = in_turns(tasks, repeats)
        scan = scan_transformer(networks["transformer"], repeats, seed)
    peak = summary(2e-9 * SIDE**3 / seconds.pop("peak"))
    rates = {name: summary(n_events / times) for name, times in seconds.items()}
    giga = {name: training_operations(network, 80) / 1e9 for name, network in networks.items()}
    return {
        "seed": seed,
        "repeats": repeats,
        **environment(),
        **{name: rates.pop(name) for name in ("torch", "blocks", "dropout", "torch_dropout")},
        "faster": {
            **{name: ratio(seconds[name], seconds["transformer"]) for name in ("torch", "blocks")},
            "dropout": ratio(seconds["torch_dropout"], seconds["dropout"]),
        },
        "operations": {
            name: {part: each * rates[name][part] for part in ("value", "error")}
            for name, each in giga.items()
        },
        "peak": peak,
        "scan": scan,
        "training": rates,
        "latency": {name: latency(model, data) for name, model in models.items()},
        "trees": models["trees"].hyperparameters if "trees" in models else None,
    }


def untrained(cls, data):
    """The network of a rung with its first weights, or another rung's model fitted to the data."""
    if cls.is_network:
        return cls.architecture(**cls.options)
    X, mask, y = data
    return cls().fit(Sample(X, mask, y), seed=1).model


def scan_transformer(model, repeats, seed):
    """Training rate of the paper's transformer with one number changed at a time."""
    rng, tasks = np.random.default_rng(seed), {}
    for name, values in SCAN.items():
        for value in values:
            other = {"n_tracks": 80} | {name: value}
            shape = BATCH, other.pop("n_tracks")
            X = np.abs(rng.standard_normal((*shape, 6), dtype=np.float32)) + 0.01
            y = (np.arange(BATCH) % 2).astype(np.float32)
            network = Transformer(**model.hyperparameters | other)
            tasks[name, value] = epoch(network, (X, np.ones(shape, dtype=bool), y))
    for task in tasks.values():
        task()
    seconds = in_turns(tasks, repeats)
    return {
        name: {str(value): summary(BATCH / seconds[name, value]) for value in values}
        for name, values in SCAN.items()
    }


def epoch(network, data):
    """A function that trains one epoch on tensors that stay in memory, as ``train`` does."""
    tensors = [torch.as_tensor(each) for each in data]

    def batches():
        for rows in torch.randperm(len(tensors[0])).split(BATCH):
            yield [each[rows] for each in tensors]

    return training(network, batches)


def loader_epoch(network, data):
    """The same with torch's default loader, which takes events one by one."""
    loader = DataLoader(TensorDataset(*map(torch.as_tensor, data)), BATCH, shuffle=True)
    return training(network, lambda: loader)


def training(network, batches):
    """A function that does one step of the optimiser on each batch."""
    optimizer = torch.optim.AdamW(network.train().parameters(), lr=1e-3)

    def run():
        for X, mask, y in batches():
            loss = F.binary_cross_entropy_with_logits(network(X, mask), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()

    return run


def latency(model, data):
    """Latency of a model through onnxruntime [ms]."""
    X, mask, _ = data
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_onnx(path, model, X[:8], mask[:8])
        return onnx_latency(path, X, mask)
