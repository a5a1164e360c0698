"""Classifiers that tell two samples apart."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from hepgmm.statistics import weighted_auc

__all__ = ["weighted_two_sample_auc"]

_FOLDS = 5
_MAX_ROWS = 40_000


def weighted_two_sample_auc(features, synthetic, event, *, seed):
    """AUC of boosted trees that tell two samples apart, as a function of event weights.

    Cross-validated: trees fitted to four fifths of the events score the last fifth, and the five
    AUCs are averaged. At most 40,000 rows are used, of whole events chosen at random.

    Parameters
    ----------
    features : array, shape (n, d)
        Both samples.
    synthetic : array of bool, shape (n,)
        Which rows are of the second sample.
    event : array of int, shape (n,)
        Event of each row, so that no event is on both sides of a split.
    seed : int

    Returns
    -------
    callable
        From weights of the events to the AUC.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    shuffled = np.random.default_rng(seed).permutation(event.max() + 1)[event]
    allowed = np.sort(shuffled)[:_MAX_ROWS][-1]
    used = shuffled <= allowed
    features, synthetic, event = features[used], synthetic[used], event[used]
    fold = shuffled[used] % _FOLDS
    areas = []
    for k in range(_FOLDS):
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        # Trees of so few rows gain nothing by threads, which wait for each other on a busy machine.
        with threadpool_limits(1):
            trees.fit(features[fold != k], synthetic[fold != k])
        scores = trees.predict_proba(features[fold == k])[:, 1]
        areas.append((weighted_auc(scores, synthetic[fold == k]), event[fold == k]))
    return lambda weights: np.mean([area(weights[rows]) for area, rows in areas])
