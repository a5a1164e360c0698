"""What a classifier looks at: attention between tracks, and what it loses without a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hepgmm.classify.metrics import auc
from hepgmm.crossings.samples import COLUMNS, Sample, check_tracks

__all__ = ["PARAMETERS", "attention", "attention_shares", "permutation_importance"]

#: What is shuffled as one: name → columns of X.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "pT": ("pt_relative", "pt"),
    "eta": ("eta",),
    "phi": ("phi",),
    "d0": ("d0",),
    "dz": ("dz",),
}


def attention(model, X, mask):
    """Attention weights of every block and head of a :class:`~hepgmm.classify.Transformer`.

    Parameters
    ----------
    model : Transformer
    X : array, shape (n, T, 5 or 6)
    mask : array, bool, shape (n, T)

    Returns
    -------
    array, float32, shape (n_blocks, n, n_heads, T, T)
        How much query i (second to last) takes from key j (last): the rows of real tracks add up to
        1, those of padding are 0. All at once in memory: give some hundred events.

    Raises
    ------
    ValueError
        If the model has no attention blocks of this kind.

    Examples
    --------
    >>> from hepgmm.classify import Transformer
    >>> model = Transformer(width=8, n_heads=2, n_blocks=3, feedforward=8)
    >>> attention(model, np.ones((4, 5, 5)), np.ones((4, 5), dtype=bool)).shape
    (3, 4, 2, 5, 5)
    """
    if not hasattr(model, "attended"):
        raise ValueError(f"attention: a {type(model).__name__} has none that can be shown")
    X, mask = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(mask, dtype=torch.bool)
    check_tracks(X, mask)
    training = model.training
    try:
        with torch.inference_mode():
            attended = model.eval().attended(X, mask)
            tracks, weights = model.encoder(model.features(X, mask), mask), []
            for block in model.blocks:
                weights.append(block.weights(tracks, attended) * mask[:, None, :, None])
                tracks = block(tracks, attended)
    finally:
        model.train(training)
    return torch.stack(weights).numpy()


def attention_shares(weights, sample: Sample, groups: Mapping) -> dict:
    """How much of its attention to others an average track of one group gives to each group.

    What a track gives to itself is left out, and the rest scaled to add up to 1.

    Parameters
    ----------
    weights : array, shape (n, T, T)
        Of one head, or a mean over heads.
    sample : Sample
        The events.
    groups : mapping of str to array, bool, shape (n, T)
        Name → which tracks are of the group; padding is never.

    Returns
    -------
    dict
        Giving group → receiving group → ``share``, the mean over giving tracks of the attention
        that receiving tracks get together; ``even``, what they would get if attention were even
        over the other tracks of the event; and ``value``, the one over the other, with its
        ``error``: a ratio of means over events, taken as independent. NaN where there is none
        to receive.
        Events of one track are left out.

    Examples
    --------
    >>> sample = Sample(np.ones((1, 3, 5)), np.ones((1, 3)), [1])
    >>> groups = {"first": np.array([[True, False, False]])}
    >>> groups["others"] = ~groups["first"]
    >>> weights = np.array([[[0.8, 0.1, 0.1], [0.6, 0.2, 0.2], [0.4, 0.4, 0.2]]])
    >>> attention_shares(weights, sample, groups)["others"]["first"]
    {'share': 0.625, 'even': 0.5, 'value': 1.25, 'error': 0.0}
    """
    several = sample.mask.sum(1) > 1
    mask, weights = sample.mask[several], weights[several] * (1 - np.eye(weights.shape[-1]))
    weights = weights / np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)
    own = {name: group[several] & mask for name, group in groups.items()}
    shares: dict = {}
    for giver, giving in own.items():
        number = max(giving.sum(), 1)
        shares[giver] = {}
        for receiver, receiving in own.items():
            received = np.einsum("nij,nj->ni", weights, receiving)
            # A track of the receiving group is not among the others that it looks at.
            others = receiving.sum(1, keepdims=True) - receiving
            evenly = others / (mask.sum(1, keepdims=True) - 1)
            share, even = ((each * giving).sum(1) for each in (received, evenly))
            total = even.sum() or np.nan
            ratio = share.sum() / total
            error = np.sqrt(((share - ratio * even) ** 2).sum()) / total
            shares[giver][receiver] = {
                "share": float(share.sum() / number),
                "even": float(even.sum() / number),
                "value": float(ratio),
                "error": float(error),
            }
    return shares


def permutation_importance(
    predict,
    sample: Sample,
    *,
    parameters: Mapping[str, Sequence[str]] = PARAMETERS,
    repeats=5,
    seed,
) -> dict:
    """How much AUC is lost when one parameter is shuffled among all tracks of all events.

    The shuffled parameter keeps its distribution over tracks and loses all it has to do with the
    event, the other parameters and the class. Parameters that tell the same are both unimportant by
    this measure: each can do without the other.

    Parameters
    ----------
    predict : callable
        (X, mask) → probability of signal.
    sample : Sample
        Test events.
    parameters : mapping
        Name → columns of X that are shuffled together.
    repeats : int
        Shufflings.
    seed
        Anything that ``numpy.random.default_rng`` takes.

    Returns
    -------
    dict
        Name → ``{"value", "error"}``: mean loss of AUC, and its standard error over the
        shufflings of these test events; other test events are not in it.

    Raises
    ------
    ValueError
        For fewer than two repeats, which have no spread.

    References
    ----------
    Breiman, Random Forests, Machine Learning 45 (2001), section 10.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> X, y = rng.random((500, 3, 5)), rng.integers(0, 2, 500)
    >>> X[..., 3] += y[:, None]
    >>> sample = Sample(X, np.ones((500, 3)), y)
    >>> def score(X, mask):
    ...     return X[..., 3].mean(1)
    >>> loss = permutation_importance(score, sample, seed=2)
    >>> loss["d0"]["value"] > 0.3, loss["dz"]["value"]
    (True, 0.0)
    """
    if repeats < 2:
        raise ValueError(f"repeats = {repeats}: an error needs at least 2")
    rng, X, mask = np.random.default_rng(seed), sample.X, sample.mask
    whole = auc(predict(X, mask), sample.y)
    losses = {}
    for name, columns in parameters.items():
        places = [COLUMNS.index(c) for c in columns if COLUMNS.index(c) < X.shape[2]]
        found = []
        for _ in range(repeats):
            shuffled, order = X.copy(), rng.permutation(mask.sum())
            for place in places:
                shuffled[..., place][mask] = X[..., place][mask][order]
            found.append(whole - auc(predict(shuffled, mask), sample.y))
        error = np.std(found, ddof=1) / np.sqrt(repeats)
        losses[name] = {"value": float(np.mean(found)), "error": float(error)}
    return losses
