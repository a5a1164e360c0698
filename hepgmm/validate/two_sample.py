"""Classifiers that tell two samples apart, event by event or in bundles."""

from __future__ import annotations

import awkward as ak
import numpy as np
from threadpoolctl import threadpool_limits

from hepgmm.events import make_events, to_columns
from hepgmm.statistics import weighted_auc
from hepgmm.validate.measured import event_features

__all__ = [
    "FOLDS",
    "MIN_BUNDLES",
    "boosted_scores",
    "bundle_auc",
    "split",
    "superimpose",
    "weighted_two_sample_auc",
]

FOLDS = 5
# Rows of each sample that suffice.
_MAX_ROWS = 100_000


def split(synthetic, source, *, seed):
    """Fold of each event: events of one source are in one fold, and each fold has both samples.

    Of five sources with consecutive numbers each is in another fold. Where neighbours are alike,
    every fold has its share of every kind, and no classifier can learn which kind a fold lacks.
    """
    rng = np.random.default_rng(seed)
    fold = np.empty(len(source), dtype=int)
    for side in (False, True):
        here = synthetic == side
        _, number = np.unique(source[here], return_inverse=True)
        sources = np.arange(number.max() + 1)
        order = np.lexsort((rng.random(len(sources)), sources // FOLDS))
        folds = np.empty(len(sources), dtype=int)
        folds[order] = sources % FOLDS
        fold[here] = folds[number]
    return fold


def boosted_scores(features, synthetic, fold, *, seed):
    """Probability of the second sample, shape (n,), by boosted trees fitted to the other folds."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    scores = np.empty(len(features))
    for k in range(FOLDS):
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        # Trees of so few rows gain nothing by threads, which wait for each other on a busy machine.
        with threadpool_limits(1):
            trees.fit(features[fold != k], synthetic[fold != k])
        scores[fold == k] = trees.predict_proba(features[fold == k])[:, 1]
    return scores


def weighted_two_sample_auc(features, synthetic, event, *, source=None, seed):
    """AUC of boosted trees that tell two samples apart, as a function of event weights.

    Cross-validated: trees fitted to four fifths of the events score the last fifth, and the five
    AUCs are averaged. Of more than 100,000 rows of a sample, as many are chosen at random: tracks
    of many events say more than all tracks of a few. ``event`` is the event of each row, ``source``
    what each event was made from: neither is on both sides of a split.
    """
    rng = np.random.default_rng(seed)
    used = np.concatenate([_some_rows(synthetic == side, rng) for side in (False, True)])
    features, synthetic, event = features[used], synthetic[used], event[used]
    fold = split(synthetic, event if source is None else source[event], seed=seed)
    scores = boosted_scores(features, synthetic, fold, seed=seed)
    folds = [np.flatnonzero(fold == k) for k in range(FOLDS)]
    areas = [(weighted_auc(scores[rows], synthetic[rows]), event[rows]) for rows in folds]
    return lambda weights: np.mean([area(weights[events]) for area, events in areas])


def _some_rows(here, rng):
    """Rows of one sample, as many as are needed."""
    rows = np.flatnonzero(here)
    return np.sort(rng.permutation(rows)[:_MAX_ROWS])


#: Fewest bundles of each sample in each fold.
MIN_BUNDLES = 2
#: How often the events of a fold are put into bundles anew.
REGROUPINGS = 4


def superimpose(events, index):
    """Events of all tracks of several events, numbered by index, shape (n_bundles, bundle_size)."""
    columns, offsets = to_columns(events[index.ravel()])
    return make_events(columns, np.diff(offsets).reshape(index.shape).sum(axis=1))


def bundle_auc(real, synthetic, fold, *, size, seed):
    """Mean AUC, with its error, of trees on the summaries of bundles; None if there are too few.

    Bundles are made of events of one fold, so that no event is on both sides of a split. The events
    of each fold are put into bundles at random four times; all are used. The error is the standard
    deviation of the AUCs of the five folds times √(1/5 + 1/4). Two folds share no events, so that
    it does not matter that bundles of one fold do; the 1/4, the ratio of test to training events,
    is there since the trees of the folds are trained on much the same events (Nadeau, Bengio,
    Machine Learning 52 (2003) 239: the corrected variance of resampling).
    """
    from sklearn.metrics import roc_auc_score

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
    areas = [roc_auc_score(is_synthetic[fold == k], scores[fold == k]) for k in range(FOLDS)]
    error = np.std(areas, ddof=1) * np.sqrt(1 / FOLDS + 1 / (FOLDS - 1))
    return {"value": float(np.mean(areas)), "error": float(error)}
