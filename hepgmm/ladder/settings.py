"""What classifiers are trained on and tested on: a preset with some keys changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from hepgmm.analysis.analysis import Analysis
from hepgmm.classify.changes import CHANGES
from hepgmm.classify.ladder import classifier_class
from hepgmm.crossings.samples import Sample
from hepgmm.io.cache import code_fingerprint, digest
from hepgmm.ladder.trainings import Trainings, trained_scores

__all__ = ["SETTINGS", "Setting", "merged"]

#: Keys that decide the split of the events, beside their numbers.
SPLIT = ("training.test_fraction", "training.validation_fraction")
#: Modules that decide what is trained on, beside those of the stages.
CODE = ("crossings.samples", "classify.changes")

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

    The events of each mass are split by themselves, in the same way in training and test, so that
    no hard event is in both.

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
        Share of the training and validation events that is used.
    fresh
        Whether networks have fresh pileup in each epoch; when not given, those that ask for it.
    seed
        Of the preset; its own when not given.
    workers
        Processes that generate events.
    progress
        Whether stages show what they do.

    Raises
    ------
    ValueError
        If the test has other numbers of events or other fractions: the split would be another.
    """

    def __init__(
        self,
        preset: str,
        groups: Mapping[str, Mapping],
        *,
        test: Mapping[str, Mapping] | None = None,
        change: str | None = None,
        part: float = 1.0,
        fresh: bool | None = None,
        seed: int | None = None,
        workers: int | None = None,
        progress: bool = True,
    ):
        self.change, self.part, self.fresh, self._samples = change, part, fresh, None
        options = {"seed": seed, "workers": workers, "progress": progress}
        self.training = self.test = Analysis(preset, **groups, **options)
        if test is not None:
            self.test = Analysis(preset, **merged(groups, test), **options)
            for key in ("data.n_qcd", "data.n_llp_per_mass", *SPLIT):
                one, other = (each.parameters for each in (self.training, self.test))
                group, name = key.split(".")
                if one[group][name] != other[group][name]:
                    raise ValueError(f"test: another {key} would split hard events otherwise")
        self.seed = self.training.parameters["seed"]

    def samples(self) -> dict[str, Sample]:
        """``train``, ``validation`` and ``test`` of this setting."""
        if self._samples is None:
            samples = dict(self.training.datasets(), test=self.test.datasets()["test"])
            if self.part < 1:
                samples |= {name: self._hard(name).sample() for name in ("train", "validation")}
            self._samples = {
                name: self._changed(sample, number)
                for number, (name, sample) in enumerate(samples.items())
            }
        return self._samples

    def fresh_sample(self, epoch: int) -> Sample:
        """Training events of an epoch, from 1, with pileup of their own."""
        sample = self._hard("train").sample(epoch, workers=self.training.workers)
        return self._changed(sample, 0, epoch)

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
        cls = classifier_class(name)
        fresh = cls.is_network and (cls.fresh_pileup if self.fresh is None else self.fresh)
        made = [self.change, code_fingerprint(*CODE)]
        return trained_scores(
            name,
            self.samples,
            key=digest([self.training.key("datasets"), self.part, *made]),
            test_key=digest([self.test.key("datasets"), *made]),
            cache=self.training.cache,
            seeds=[[self.seed, number] for number in range(trainings)],
            fresh=self.fresh_sample if fresh else None,
            training=training,
            progress=progress,
        )

    @cache  # noqa: B019
    def _hard(self, name):
        part = self.training.hard_events()[name]
        return part.part(self.part, seed=self.seed) if self.part < 1 else part

    def _changed(self, sample, *key):
        if self.change is None:
            return sample
        return CHANGES[self.change](sample, seed=[self.seed, *key])


def merged(*groups: Mapping[str, Mapping]) -> dict:
    """Keys of several settings by group, later ones over earlier ones."""
    names = {name for each in groups for name in each}
    return {name: {k: v for g in groups for k, v in g.get(name, {}).items()} for name in names}
