"""Boosted trees on a few numbers an event: what simple tools reach."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from hepgmm.classify.fitted import FittedModel
from hepgmm.classify.registry import register
from hepgmm.classify.summaries import EventSummaries, event_summaries
from hepgmm.crossings.samples import Sample

__all__ = ["BoostedTrees", "TreeEnsemble"]


class TreeEnsemble(nn.Module):
    """Fitted trees as tensors: a network as others are, to be saved, exported and timed.

    All trees are walked side by side: node → left or right child, as the feature of the node is
    at most its threshold or not, ``depth`` times; a leaf is its own child. The logit is the sum
    of the leaves' values and a constant.

    Parameters
    ----------
    n_columns : int
        Of the tracks.
    features : sequence of str
        Formulas of the ``EventSummaries`` that the trees were fitted to, in their order.
    n_trees, n_nodes : int
        The nodes of all trees are in one table.
    depth : int
        Of the deepest tree.

    Raises
    ------
    ValueError
        If the summaries are others by now.

    Examples
    --------
    >>> features = EventSummaries(5).formulas
    >>> trees = TreeEnsemble(n_columns=5, features=features, n_trees=2, n_nodes=6, depth=1)
    >>> trees(torch.ones(4, 80, 5), torch.ones(4, 80, dtype=torch.bool))
    tensor([0., 0., 0., 0.])
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


#: What there is of the ensemble, of each tree, and of each node: its feature and threshold, its
#: children, and the value of a leaf.
_TABLES = {
    "constant": torch.float64,
    "root": torch.int64,
    "feature": torch.int64,
    "threshold": torch.float64,
    "left": torch.int64,
    "right": torch.int64,
    "value": torch.float64,
}


@register("trees", title="Boosted trees")
class BoostedTrees(FittedModel):
    """Gradient-boosted trees on some thirty-five summaries of an event.

    Boosting stops when a tenth of the training events, set aside, no longer gains by it.

    Parameters
    ----------
    learning_rate : float
    max_iter : int
        The most trees.

    Attributes
    ----------
    model : torch.nn.Module
        The fitted trees.

    Examples
    --------
    >>> X = np.random.default_rng(1).random((200, 9, 5))
    >>> sample = Sample(X, np.ones((200, 9)), [0, 1] * 100)
    >>> trees = BoostedTrees(max_iter=3).fit(sample, seed=1)
    >>> trees.predict_proba(sample.X, sample.mask).shape
    (200,)
    """

    def __init__(self, *, learning_rate=0.05, max_iter=300):
        self.settings = {"learning_rate": learning_rate, "max_iter": max_iter}

    def fit(self, training: Sample, validation=None, *, seed, progress=False):
        """Fit the trees; validation events and progress are not needed.

        Raises
        ------
        ValueError
            If a class is missing.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        training.check_classes("training")
        trees = HistGradientBoostingClassifier(
            **self.settings, early_stopping=True, random_state=seed
        )
        trees.fit(event_summaries(training.X, training.mask), training.y)
        self.model = as_tensors(trees, training.X.shape[2])
        return self


def as_tensors(trees, n_columns):
    """The trees of a fitted ``HistGradientBoostingClassifier``, as a ``TreeEnsemble``."""
    # scikit-learn has no public way to its nodes; that these are the same function is tested.
    tables = [step[0].nodes for step in trees._predictors]
    roots = np.cumsum([0, *map(len, tables)])
    nodes = np.concatenate(tables)
    leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
    first = np.repeat(roots[:-1], np.diff(roots))
    model = TreeEnsemble(
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
        "left": np.where(leaf, own, first + nodes["left"]),
        "right": np.where(leaf, own, first + nodes["right"]),
        "value": np.where(leaf, nodes["value"], 0.0),
    }
    for name, values in columns.items():
        getattr(model, name).copy_(torch.as_tensor(values))
    return model.eval()
