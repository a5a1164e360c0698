"""Transfer: classifiers trained with synthetic pileup, tested with real pileup."""

from __future__ import annotations

from collections.abc import Mapping
from tempfile import TemporaryDirectory

import awkward as ak
import numpy as np

from hepgmm.classify import (
    MLP,
    BoostedTrees,
    predict,
    train,
)
from hepgmm.classify.metrics import auc
from hepgmm.crossings.samples import HardEvents, Sample, split_events

__all__ = ["Transfer", "transfer_loss"]

#: Training of the MLP; a fifth of the training events choose its epoch.
TRAINING = {"epochs": 12, "batch_size": 128, "learning_rate": 2e-3, "schedule": "cosine"}
VALIDATION = 0.2


class Transfer:
    """Classifiers of the same hard events, trained with one pileup after the other.

    Every pileup is laid over the same hard events with the same seeds, from a pool of events that
    are drawn with replacement, so that slow generators and Pythia can be compared too.

    Parameters
    ----------
    hard, test_hard
        ``(events, mass)`` for training and for the test.
    test_pool
        Real pileup events for the test.
    options
        The ``overlay`` group of a preset.
    repeats
        Trainings, each with its own overlay.
    seed
        Of everything.

    Raises
    ------
    ValueError
        For fewer than two repeats, which have no spread.
    """

    def __init__(self, hard, test_hard, test_pool, *, options: Mapping, repeats: int, seed: int):
        if repeats < 2:
            raise ValueError(f"repeats = {repeats}: an error needs at least 2")
        self.hard, self.options, self.repeats = hard, options, repeats
        self.seeds = np.random.SeedSequence(seed).spawn(repeats + 1)
        self.test = HardEvents(*test_hard, test_pool, options, self.seeds[-1]).sample()

    def areas(self, pool: ak.Array) -> dict[str, list[float]]:
        """AUC on the test events with real pileup, of each training with pileup from ``pool``.

        Parameters
        ----------
        pool
            Pileup events.

        Returns
        -------
        dict
            ``"trees"`` and ``"mlp"``: an AUC for each repeat.
        """
        areas: dict[str, list[float]] = {"trees": [], "mlp": []}
        for seed in self.seeds[:-1]:
            sample = HardEvents(*self.hard, pool, self.options, seed).sample()
            number = int(seed.generate_state(1)[0])
            for name, scores in self._scores(sample, number).items():
                areas[name].append(auc(scores, self.test.y))
        return areas

    def _scores(self, sample: Sample, seed: int):
        trees = BoostedTrees().fit(sample, seed=seed)
        fractions = (1 - VALIDATION, VALIDATION)
        parts = [sample[i] for i in split_events(len(sample), fractions=fractions, seed=seed)]
        with TemporaryDirectory() as folder:
            model = MLP(features="asinh", seed=seed)
            options = TRAINING | {"batch_size": min(TRAINING["batch_size"], len(parts[0]))}
            result = train(model, *parts, **options, seed=seed, directory=folder, progress=False)
        X, mask = self.test.X, self.test.mask
        return {"trees": trees.predict_proba(X, mask), "mlp": predict(result.model, X, mask)}


def transfer_loss(areas: Mapping[str, list], reference: Mapping[str, list]) -> dict:
    """What training with synthetic pileup costs: mean of the paired differences in AUC.

    Parameters
    ----------
    areas, reference
        What :meth:`Transfer.areas` gives for the synthetic and for the real pool.

    Returns
    -------
    dict
        Classifier → ``{"value", "error"}`` of AUC with synthetic minus AUC with real pileup in
        training; the error is the standard error over the repeats.

    Examples
    --------
    >>> transfer_loss({"trees": [0.7, 0.8]}, {"trees": [0.8, 0.8]})["trees"]
    {'value': -0.05, 'error': 0.05}
    """
    losses = {}
    for name, values in areas.items():
        differences = np.subtract(values, reference[name])
        error = differences.std(ddof=1) / np.sqrt(len(differences))
        value = differences.mean()
        losses[name] = {"value": float(value.round(12)), "error": float(error.round(12))}
    return losses
