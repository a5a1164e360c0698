"""Networks of a set of tracks: in any order, with any amount of padding, to one logit.

Boosted trees and a cut are among them, as tensors, to be saved, exported and timed alike.

The paper leaves open, and is here chosen: the transformer's feed-forward width (128), LayerNorm
before attention and feed-forward ("pre-norm") and none after the last block, no dropout on the
attention weights, and one hidden layer in the transformer's encoder of tracks.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from hepgmm.classify.fast import Dropout
from hepgmm.classify.features import TrackFeatures
from hepgmm.classify.layers import (
    POOLINGS,
    ClassAttention,
    HiddenLayers,
    TransformerBlock,
    VertexBias,
    attended_keys,
    initialised,
    pool,
)
from hepgmm.classify.summaries import EventPt, EventSummaries
from hepgmm.crossings.samples import COLUMNS, check_tracks

__all__ = [
    "MLP",
    "PAIR_FEATURES",
    "DeepSets",
    "ParticleTransformer",
    "Steps",
    "Transformer",
    "TreeEnsemble",
    "pair_features",
    "predict",
]


class TrackNetwork(nn.Module):
    """A network of tracks, whose ``hyperparameters`` make it again."""

    def __init__(self, features, **hyperparameters):
        super().__init__()
        self.features = TrackFeatures(features)
        self.hyperparameters = {"features": self.features.table, **hyperparameters}


class MLP(TrackNetwork):
    """The paper's multilayer perceptron: every track alone, then the mean over the tracks.

    Inputs → ``n_layers`` × (Linear → LayerNorm → ReLU), with padded tracks set to 0 after the
    first activation → mean over the tracks of the event → Linear → 1 logit. The paper's is 3 layers
    of 32. (A last linear layer before the mean would be the same function.)

    Parameters
    ----------
    features : str, Path or dict
        Inputs, see :class:`~hepgmm.classify.TrackFeatures`.
    width, n_layers : int
    seed : int
        Of the initial weights.

    Examples
    --------
    >>> model = MLP()
    >>> model(torch.rand(4, 80, 5), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(self, *, features="asinh", width=32, n_layers=3, seed=0):
        super().__init__(features, width=width, n_layers=n_layers, seed=seed)
        with initialised(seed):
            self.encoder = HiddenLayers(len(self.features.rows), width, n_layers, F.relu)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5), where mask, bool (n, T), is True."""
        tracks = self.encoder(self.features(X, mask), mask)
        return self.output(pool(tracks, mask, "mean")).squeeze(-1)


class DeepSets(TrackNetwork):
    """Every track alone, then mean and maximum over the tracks, then the event.

    Inputs → ``n_layers`` × (Linear → LayerNorm → GELU) → mean and maximum over the tracks →
    2 × (Linear → LayerNorm → GELU) → Linear → 1 logit. The maximum says whether there is a track
    of some kind at all; in a mean one such track is lost among eighty.

    Parameters
    ----------
    features : str, Path or dict
        Inputs, see :class:`~hepgmm.classify.TrackFeatures`.
    width, n_layers : int
    pooling : {"mean_max", "mean", "sum"}
    dropout : float
        Probability to drop one of the event's numbers before the last layers.
    seed : int
        Of the initial weights.

    References
    ----------
    Zaheer et al., Deep Sets, arXiv:1703.06114; for particles, Komiske, Metodiev, Thaler,
    arXiv:1810.05165.

    Examples
    --------
    >>> model = DeepSets()
    >>> model(torch.rand(4, 80, 6), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        *,
        features="full",
        width=64,
        n_layers=3,
        pooling="mean_max",
        dropout=0.1,
        seed=0,
    ):
        check_pooling("DeepSets", pooling)
        super().__init__(
            features, width=width, n_layers=n_layers, pooling=pooling, dropout=dropout, seed=seed
        )
        self.pooling = pooling
        with initialised(seed):
            self.encoder = HiddenLayers(len(self.features.rows), width, n_layers, F.gelu)
            self.dropout = Dropout(dropout)
            self.decoder = HiddenLayers(pooled_width(width, pooling), width, 2, F.gelu)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 6), where mask, bool (n, T), is True."""
        tracks = self.encoder(self.features(X, mask), mask)
        event = self.dropout(pool(tracks, mask, self.pooling))
        return self.output(self.decoder(event)).squeeze(-1)


class Transformer(TrackNetwork):
    """The paper's transformer: tracks look at each other, then are summed.

    Inputs → Linear → LayerNorm → GELU (``width`` features a track) → ``n_blocks`` × pre-norm
    self-attention and feed-forward with padded tracks masked as keys → sum over the tracks of the
    event, in units of 80 → 3 × (Linear → GELU), without LayerNorm → Linear → 1 logit.

    Parameters
    ----------
    features : str, Path or dict
        Inputs, see :class:`~hepgmm.classify.TrackFeatures`.
    width, n_blocks, n_heads : int
    feedforward : int
        Width of the blocks' hidden layer; the paper does not state it.
    pooling : {"sum", "mean", "mean_max"}
        From tracks to the event; the paper's is the sum.
    dropout, attention_dropout : float
        The paper states one dropout of 0.1; on the attention weights it triples the training time
        on a CPU, so that it is an argument of its own, 0 unless asked.
    vertex_bias : bool
        Whether attention knows how far two tracks are from each other along the beam, as
        ``hepgmm.classify.layers.VertexBias`` says.
    track_task : bool
        Whether there is a second output, for each track: is it of the hard collision?
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads, or the pooling is unknown.

    Examples
    --------
    >>> model = Transformer(n_blocks=1)
    >>> model(torch.rand(4, 80, 5), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        *,
        features="asinh",
        width=32,
        n_blocks=6,
        n_heads=8,
        feedforward=128,
        pooling="sum",
        dropout=0.1,
        attention_dropout=0.0,
        vertex_bias=False,
        track_task=False,
        seed=0,
    ):
        check_heads("Transformer", width, n_heads)
        check_pooling("Transformer", pooling)
        super().__init__(
            features,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward=feedforward,
            pooling=pooling,
            dropout=dropout,
            attention_dropout=attention_dropout,
            vertex_bias=vertex_bias,
            track_task=track_task,
            seed=seed,
        )
        self.pooling, self.track_task = pooling, track_task
        with initialised(seed):
            self.encoder = HiddenLayers(len(self.features.rows), width, 1, F.gelu)
            self.blocks = nn.ModuleList(
                [
                    TransformerBlock(width, n_heads, feedforward, dropout, attention_dropout)
                    for _ in range(n_blocks)
                ]
            )
            inputs = pooled_width(width, pooling)
            self.decoder = HiddenLayers(inputs, width, 3, F.gelu, normalise=False)
            self.output = nn.Linear(width, 1)
            self.vertex_bias = VertexBias(n_heads) if vertex_bias else None
            self.track_output = nn.Linear(width, 1) if track_task else None

    def forward(self, X, mask, *, tracks=False):
        """Logits, shape (n,), of tracks X, shape (n, T, 5), where mask, bool (n, T), is True.

        With ``tracks``, for a model with ``track_task``, also the logit that each track is of the
        hard collision, shape (n, T).
        """
        attended = self.attended(X, mask)
        x = self.encoder(self.features(X, mask), mask)
        for block in self.blocks:
            x = block(x, attended)
        logits = self.output(self.decoder(pool(x, mask, self.pooling))).squeeze(-1)
        return (logits, self.track_output(x).squeeze(-1)) if tracks else logits

    def attended(self, X, mask):
        """Which keys count in attention, or what is added to their logits."""
        attended = attended_keys(mask)
        if self.vertex_bias is None:
            return attended
        dz = X[..., COLUMNS.index("dz")].masked_fill(~mask, 0.0)
        return self.vertex_bias(dz).masked_fill(~attended, -torch.inf)


def check_pooling(model, pooling):
    """An error unless it is the name of a pooling."""
    if pooling not in POOLINGS:
        raise ValueError(
            f"{model}: pooling={pooling!r} is unknown; choose one of {', '.join(POOLINGS)}"
        )


def pooled_width(width, pooling):
    """How many numbers an event has after the pooling of tracks of ``width`` numbers."""
    return 2 * width if pooling == "mean_max" else width


def check_heads(model, width, n_heads):
    """An error unless every head gets as many features."""
    if width % n_heads:
        raise ValueError(f"{model}: width={width} is not a multiple of n_heads={n_heads}")


def predict(model, X, mask, *, batch_size=512):
    """Probability that each event is signal.

    Parameters
    ----------
    model : torch.nn.Module
        Of a rung of the ladder, used on the device on which it lies, without dropout.
    X : array, shape (n, max_tracks, 5 or 6)
    mask : array, bool, shape (n, max_tracks)
    batch_size : int
        Events at a time; no effect on the result beyond rounding.

    Returns
    -------
    array, float64, shape (n,)

    Examples
    --------
    >>> X, mask = torch.ones(3, 80, 5), torch.ones(3, 80, dtype=torch.bool)
    >>> predict(MLP(), X, mask).shape
    (3,)
    """
    device = next(model.parameters()).device
    X = torch.as_tensor(X, dtype=torch.float32)
    mask = torch.as_tensor(mask, dtype=torch.bool)
    check_tracks(X, mask, getattr(getattr(model, "features", None), "n_columns", None))
    training = model.training
    model.eval()
    with torch.inference_mode():
        logits = [
            model(x.to(device), m.to(device)).cpu().double()
            for x, m in zip(X.split(batch_size), mask.split(batch_size), strict=True)
        ]
    model.train(training)
    return torch.cat(logits).sigmoid().numpy()


#: What is known of two tracks.
PAIR_FEATURES = ("ln ΔR", "ln kT", "ln z", "ln m²")
# Tracks at the same place have no logarithm of their distance: far below what a detector resolves,
# also for the square of the mass of soft tracks.
_FLOOR = 1e-16


def pair_features(pt, eta, phi, first, second):
    r"""Logarithms of what two massless particles have in common, shape (n, n_pairs, 4).

    :math:`\Delta R = \sqrt{\Delta\eta^2 + \Delta\phi^2}`,
    :math:`k_T = \min(p_{T,a}, p_{T,b}) \Delta R`,
    :math:`z = \min(p_{T,a}, p_{T,b}) / (p_{T,a} + p_{T,b})` and
    :math:`m^2 = 2 p_{T,a} p_{T,b} (\cosh\Delta\eta - \cos\Delta\phi)`,
    each with a floor of 10⁻¹⁶ under the logarithm (arXiv:2202.03772, equation 3), of tracks with
    pt, eta and phi, shape (n, T), and the numbers of the first and second of each pair.
    """
    a, b = pt[:, first], pt[:, second]
    delta_eta = eta[:, first] - eta[:, second]
    delta_phi = phi[:, first] - phi[:, second]
    delta_phi = delta_phi - 2 * torch.pi * torch.round(delta_phi / (2 * torch.pi))
    softer = torch.minimum(a, b)
    distance = (delta_eta**2 + delta_phi**2).clamp_min(_FLOOR).sqrt()
    # cosh x - 1 = 2 sinh²(x / 2) and 1 - cos x = 2 sin²(x / 2) lose nothing for near tracks.
    mass = 4 * a * b * (torch.sinh(delta_eta / 2) ** 2 + torch.sin(delta_phi / 2) ** 2)
    values = distance, softer * distance, softer / (a + b).clamp_min(_FLOOR), mass
    return torch.stack([value.clamp_min(_FLOOR).log() for value in values], dim=-1)


class ParticleTransformer(TrackNetwork):
    """Self-attention with a bias for each pair of tracks, then class attention.

    Inputs → 2 × (Linear → LayerNorm → GELU) → ``n_blocks`` × pre-norm self-attention, whose logits
    have ln ΔR, ln kT, ln z and ln m² of the two tracks, made into one number for each head by a
    small network that the blocks share, added → 2 × class attention, in which a learnt summary
    collects what it needs from the tracks → LayerNorm → Linear → 1 logit.

    The reference has more LayerNorms in its blocks and is far larger; tracks are massless here.

    Parameters
    ----------
    features : str, Path or dict
        Inputs, see :class:`~hepgmm.classify.TrackFeatures`.
    width, n_blocks, n_heads, feedforward : int
    pair_width : int
        Hidden layer of the network of pairs.
    dropout : float
    seed : int
        Of the initial weights.

    Raises
    ------
    ValueError
        If the width is not a multiple of the number of heads.

    References
    ----------
    Qu, Li, Qian, Particle Transformer for jet tagging, arXiv:2202.03772.

    Examples
    --------
    >>> model = ParticleTransformer(n_blocks=1)
    >>> model(torch.rand(4, 80, 6), torch.ones(4, 80, dtype=torch.bool)).shape
    torch.Size([4])
    """

    def __init__(
        self,
        *,
        features="full",
        width=32,
        n_blocks=2,
        n_heads=4,
        feedforward=128,
        pair_width=8,
        dropout=0.1,
        seed=0,
    ):
        check_heads("ParticleTransformer", width, n_heads)
        super().__init__(
            features,
            width=width,
            n_blocks=n_blocks,
            n_heads=n_heads,
            feedforward=feedforward,
            pair_width=pair_width,
            dropout=dropout,
            seed=seed,
        )
        with initialised(seed):
            self.encoder = HiddenLayers(len(self.features.rows), width, 2, F.gelu)
            self.pairs = nn.Sequential(
                nn.Linear(len(PAIR_FEATURES), pair_width), nn.GELU(), nn.Linear(pair_width, n_heads)
            )
            self.blocks = nn.ModuleList(
                [
                    TransformerBlock(width, n_heads, feedforward, dropout, 0.0)
                    for _ in range(n_blocks)
                ]
            )
            self.summary = nn.Parameter(torch.randn(1, 1, width) * 0.02)
            self.class_blocks = nn.ModuleList(
                [ClassAttention(width, n_heads, feedforward, dropout) for _ in range(2)]
            )
            self.norm = nn.LayerNorm(width)
            self.output = nn.Linear(width, 1)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, 5 or 6), where mask, bool (n, T)."""
        bias = self._bias(X, mask)
        tracks = self.encoder(self.features(X, mask), mask)
        for block in self.blocks:
            tracks = block(tracks, bias)
        summary = self.summary.expand(X.shape[0], -1, -1)
        for block in self.class_blocks:
            summary = block(summary, tracks, mask)
        return self.output(self.norm(summary[:, 0])).squeeze(-1)

    def _bias(self, X, mask):
        """Logits to be added for each head, query and key, shape (n, n_heads, T, T)."""
        n_tracks = X.shape[1]
        X = X.masked_fill(~mask.unsqueeze(-1), 0.0)
        pt, eta, phi = (X[..., COLUMNS.index(name)] for name in ("pt_relative", "eta", "phi"))
        # Each pair once; in numpy, so that they are constants of an exported model.
        first, second = np.triu_indices(n_tracks)
        pair = np.empty((n_tracks, n_tracks), dtype=np.int64)
        pair[first, second] = pair[second, first] = np.arange(len(first))
        first, second, pair = (torch.as_tensor(x, device=X.device) for x in (first, second, pair))
        # Logarithms from some -20 to 2 become numbers of order one.
        values = self.pairs(pair_features(pt, eta, phi, first, second) / 5 + 1)
        bias = values[:, pair.flatten()].unflatten(1, (n_tracks, n_tracks)).permute(0, 3, 1, 2)
        # An event without tracks attends to its padding: softmax over nothing would be NaN.
        ignored = ~(mask | ~mask.any(1, keepdim=True))
        return bias.masked_fill(ignored[:, None, None, :], -torch.inf)


#: What there is of an ensemble of trees, of each tree, and of each node: its feature and
#: threshold, its children, and the value of a leaf.
_TABLES = {
    "constant": torch.float64,
    "root": torch.int64,
    "feature": torch.int64,
    "threshold": torch.float64,
    "left": torch.int64,
    "right": torch.int64,
    "value": torch.float64,
}


class TreeEnsemble(nn.Module):
    """Fitted trees as tensors.

    All trees are walked side by side: node → left or right child, as the feature of the node is
    at most its threshold or not, ``depth`` times; a leaf is its own child. The logit is the sum
    of the leaves' values and a constant. The nodes of all trees are in one table; ``features`` are
    the formulas of the ``EventSummaries`` that they were fitted to, and others are refused.
    """

    def __init__(self, *, n_columns, features, n_trees, n_nodes, depth):
        super().__init__()
        self.features = EventSummaries(n_columns)
        if tuple(features) != self.features.formulas:
            raise ValueError(
                "trees were fitted to other summaries of events than this hepgmm makes; "
                "train them again"
            )
        self.hyperparameters = {
            "n_columns": n_columns,
            "features": list(features),
            "n_trees": n_trees,
            "n_nodes": n_nodes,
            "depth": depth,
        }
        shapes = {"constant": (), "root": (n_trees,)}
        for name, dtype in _TABLES.items():
            table = torch.zeros(shapes.get(name, (n_nodes,)), dtype=dtype)
            self.register_parameter(name, nn.Parameter(table, requires_grad=False))

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, n_columns), where mask is True."""
        summaries, node = self.features(X, mask), self.root.expand(X.shape[0], -1)
        for _ in range(self.hyperparameters["depth"]):
            below = summaries.gather(1, self.feature[node]) <= self.threshold[node]
            node = torch.where(below, self.left[node], self.right[node])
        return (self.constant + self.value[node].sum(1)).float()

    @classmethod
    def of(cls, trees, n_columns):
        """The trees of a fitted ``HistGradientBoostingClassifier``."""
        # scikit-learn has no public way to its nodes; that these are the same function is tested.
        tables = [step[0].nodes for step in trees._predictors]
        roots = np.cumsum([0, *map(len, tables)])
        nodes = np.concatenate(tables)
        leaf, itself = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
        first = np.repeat(roots[:-1], np.diff(roots))
        model = cls(
            n_columns=n_columns,
            features=EventSummaries(n_columns).formulas,
            n_trees=len(tables),
            n_nodes=len(nodes),
            depth=int(nodes["depth"].max()),
        )
        columns = {
            "constant": np.squeeze(trees._baseline_prediction),
            "root": roots[:-1],
            "feature": np.where(leaf, 0, nodes["feature_idx"]),
            "threshold": np.where(leaf, 0.0, nodes["num_threshold"]),
            "left": np.where(leaf, itself, first + nodes["left"]),
            "right": np.where(leaf, itself, first + nodes["right"]),
            "value": np.where(leaf, nodes["value"], 0.0),
        }
        for name, values in columns.items():
            getattr(model, name).copy_(torch.as_tensor(values))
        return model.eval()


#: Probabilities keep this far from 0 and 1, where there is no logit.
_MARGIN = 2.0**-20


class Steps(nn.Module):
    """A probability that rises or falls with one pT, linear between its knots.

    ``column`` is that of the pT, in the order of ``features.formulas``.
    """

    def __init__(self, *, n_columns, column, n_knots):
        super().__init__()
        self.features = EventPt(n_columns)
        self.hyperparameters = {"n_columns": n_columns, "column": column, "n_knots": n_knots}
        knots = torch.arange(n_knots, dtype=torch.float64)
        self.knots = nn.Parameter(knots, requires_grad=False)
        self.probability = nn.Parameter(torch.full_like(knots, 0.5), requires_grad=False)

    def forward(self, X, mask):
        """Logits, shape (n,), of tracks X, shape (n, T, n_columns), where mask is True."""
        x, p = self.features(X, mask)[:, self.hyperparameters["column"]], self.probability
        right = (x[:, None] >= self.knots).sum(1).clamp(1, len(p) - 1)
        left = right - 1
        share = (x - self.knots[left]) / (self.knots[right] - self.knots[left])
        between = p[left] + share.clamp(0, 1) * (p[right] - p[left])
        between = between.clamp(_MARGIN, 1 - _MARGIN)
        return (between / (1 - between)).log().float()
