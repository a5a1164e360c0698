"""Two-sample classifier of bundles: many events on top of each other, as in one bunch crossing."""

from __future__ import annotations

import awkward as ak
import numpy as np

from hepgmm.statistics import weighted_auc
from hepgmm.tracks import make_events, to_columns
from hepgmm.validate.features import event_features
from hepgmm.validate.two_sample import FOLDS, boosted_scores

__all__ = ["MIN_BUNDLES", "bundle_auc", "superimpose"]

#: Fewest bundles of each sample in each fold.
MIN_BUNDLES = 2
#: How often the events of a fold are put into bundles anew.
REGROUPINGS = 4


def superimpose(events, index):
    """Events that hold all tracks of several events.

    Parameters
    ----------
    events : awkward array of Track records
    index : array of int, shape (n_bundles, bundle_size)
        Numbers of the events in each bundle.

    Returns
    -------
    awkward array of Track records, n_bundles

    Examples
    --------
    >>> from hepgmm.tracks import FEATURES
    >>> events = make_events({name: [1.0, 2.0, 3.0] for name in FEATURES}, [2, 0, 1])
    >>> superimpose(events, np.array([[2, 0]])).pt.tolist()
    [[3.0, 1.0, 2.0]]
    """
    columns, offsets = to_columns(events[index.ravel()])
    return make_events(columns, np.diff(offsets).reshape(index.shape).sum(axis=1))


def bundle_auc(real, synthetic, fold, *, size, seed):
    """AUC of boosted trees on the summaries of bundles of events.

    Bundles are made of events of one fold, so that no event is on both sides of a split. The events
    of each fold are put into bundles at random four times; all are used.

    Parameters
    ----------
    real, synthetic : awkward array of Track records
    fold : array of int, shape (n_real + n_synthetic,)
    size : int
        Events in a bundle.
    seed : int

    Returns
    -------
    dict or None
        ``value``: mean of the AUCs of the five folds; ``error``: their standard deviation times
        √(1/5 + 1/4). Two folds share no events, so that it does not matter that bundles of one fold
        do; the 1/4, the ratio of test to training events, is there since the trees of the folds
        are trained on much the same events. None if a fold has fewer than two bundles of a sample.

    References
    ----------
    Nadeau, Bengio, Machine Learning 52 (2003) 239: the corrected variance of resampling.
    """
    events, n_real = ak.concatenate([real, synthetic]), len(real)
    sides = np.split(np.arange(len(events)), [n_real])
    members = [side[fold[side] == k] for side in sides for k in range(FOLDS)]
    if min(map(len, members)) < MIN_BUNDLES * size:
        return None
    rng = np.random.default_rng(seed)
    bundles = [
        rng.permutation(some)[: len(some) // size * size].reshape(-1, size)
        for some in members
        for _ in range(REGROUPINGS)
    ]
    features = np.concatenate([event_features(superimpose(events, some))[0] for some in bundles])
    first = np.concatenate(bundles)[:, 0]
    is_synthetic, fold = first >= n_real, fold[first]
    scores = boosted_scores(features, is_synthetic, fold, seed=seed)
    areas = []
    for k in range(FOLDS):
        area = weighted_auc(scores[fold == k], is_synthetic[fold == k])
        areas.append(area(np.ones((fold == k).sum())))
    error = np.std(areas, ddof=1) * np.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    return {"value": float(np.mean(areas)), "error": float(error)}
