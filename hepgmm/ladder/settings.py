"""What classifiers are trained on and tested on: a preset with some keys changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hepgmm.analysis import Analysis
from hepgmm.cache import digest
from hepgmm.classify.changes import CHANGES
from hepgmm.classify.registry import CLASSIFIERS
from hepgmm.classify.samples import Sample
from hepgmm.ladder.trainings import Trainings, trained_scores

__all__ = ["SETTINGS", "Setting", "merged"]

_REAL = {"groups": {"overlay": {"pileup": "shared"}}, "test": {"overlay": {"pileup": "real"}}}
SETTINGS: dict[str, dict] = {
    "origin": {"groups": {"overlay": {"dz_reference": "origin"}}},
    "reconstructed": {"groups": {"overlay": {"dz_reference": "reconstructed"}}},
    "hard": {"groups": {"overlay": {"dz_reference": "hard"}}},
    "real": _REAL,
    "detector": _REAL | {"change": "smeared"},
}
"""Settings of the ladder: name → arguments of ``Setting``. The first three differ in what dz is
measured from, with the preset's pileup; in the last two, classifiers are trained with pileup of a
``SharedGMM`` and tested with real pileup events, in the last one with a detector's resolution."""


class Setting:
    """Samples of a preset with some keys changed, made when they are needed.

    Hard events are split in the same way in training and test whatever the test changes, so that no
    hard event is in both.

    Parameters
    ----------
    preset
        Name or file.
    groups
        Keys of the preset to change, by group.
    test
        Further ones for the test events alone.
    change
        Of all samples, from ``hepgmm.classify.changes.CHANGES``.
    part
        How many of the training and validation events are used.
    fresh
        Whether every network has fresh pileup in each epoch; if not, those that ask for it.
    seed
        Of the preset; its own when not given.
    workers
        Processes that generate events.
    """

    def __init__(
        self,
        preset: str,
        groups: Mapping[str, Mapping],
        *,
        test: Mapping[str, Mapping] | None = None,
        change: str | None = None,
        part: float = 1.0,
        fresh: bool = False,
        seed: int | None = None,
        workers: int | None = None,
    ):
        self.change, self.part, self.fresh, self._samples = change, part, fresh, None
        options = {"seed": seed, "workers": workers}
        self.training = self.test = Analysis(preset, **groups, **options)
        if test is not None:
            self.test = Analysis(preset, **merged(groups, test), **options)
        self.seed = self.training.parameters["seed"]

    def samples(self) -> dict[str, Sample]:
        """``train``, ``validation`` and ``test`` of this setting."""
        if self._samples is None:
            samples = dict(self.training.datasets(), test=self.test.datasets()["test"])
            for name in ("train", "validation"):
                # Events are in random order.
                samples[name] = samples[name][: round(self.part * len(samples[name]))]
            self._samples = {name: self._changed(part) for name, part in samples.items()}
        return self._samples

    def fresh_sample(self, epoch: int) -> Sample:
        """Training events of an epoch, from 1, with pileup of their own."""
        return self._changed(self.training.hard_events()["train"].sample(epoch), epoch)

    def train(
        self,
        name: str,
        *,
        trainings: int = 1,
        training: Mapping | None = None,
        progress: Callable = print,
    ) -> Trainings:
        """Trainings of a rung, as ``hepgmm.ladder.trainings.trained_scores`` keeps them.

        Parameters
        ----------
        name
            Of the rung.
        trainings
            How many, with other initial weights and another order of events.
        training
            Arguments of :func:`hepgmm.classify.train` for a network.
        progress
            Called with a line before each.

        Returns
        -------
        Trainings
        """
        network = hasattr(CLASSIFIERS[name], "architecture")
        fresh = network and (self.fresh or CLASSIFIERS[name].fresh_pileup)
        keys = [each.key("datasets") for each in (self.training, self.test)]
        return trained_scores(
            name,
            self.samples,
            key=digest([keys, self.change, self.part]),
            cache=self.training.cache,
            seeds=[[self.seed, number] for number in range(trainings)],
            fresh=self.fresh_sample if fresh else None,
            training=training,
            progress=progress,
        )

    def _changed(self, sample, epoch=0):
        if self.change is None:
            return sample
        return CHANGES[self.change](sample, seed=[self.seed, epoch])


def merged(*groups: Mapping[str, Mapping]) -> dict:
    """Keys of several settings by group, later ones over earlier ones."""
    names = {name for each in groups for name in each}
    return {name: {k: v for g in groups for k, v in g.get(name, {}).items()} for name in names}
