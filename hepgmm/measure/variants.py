"""Variants of an analysis: other events in training and test, from those of a preset."""

from __future__ import annotations

from collections.abc import Mapping

from hepgmm.analysis.analysis import Analysis
from hepgmm.analysis.stages import STAGES
from hepgmm.classify.ladder import RUNGS, classifier_class
from hepgmm.crossings.samples import Sample
from hepgmm.io.cache import code_fingerprint, digest
from hepgmm.measure.changes import CHANGES
from hepgmm.measure.plans import Point

__all__ = ["Variant", "merged"]

#: Keys that decide the split of the events.
SPLIT = [("data", "n_qcd"), ("data", "n_llp_per_mass")]
SPLIT += [("training", "test_fraction"), ("training", "validation_fraction")]


class Variant(Analysis):
    """An analysis whose classifiers are trained on, or tested on, something else.

    Without arguments of its own it reads the same files as the :class:`hepgmm.Analysis`. Training
    and test events of each mass are split in the same way, so that no hard event is in both.

    Parameters
    ----------
    preset : str or path
    test : mapping, optional
        Keys of the preset to change, by group, for the test events alone.
    change : str, optional
        Of all samples, from ``hepgmm.measure.changes.CHANGES``.
    part : float
        Share of the training and validation events that is used.
    fresh : bool, optional
        Whether networks have fresh pileup in each epoch; when not given, those that ask for it.
    train : mapping, optional
        Arguments of :func:`hepgmm.classify.train` for all networks.
    **options
        Of :class:`hepgmm.Analysis`.

    Raises
    ------
    ValueError
        If the test would be split otherwise; for an unknown change; as :class:`hepgmm.Analysis`.

    Examples
    --------
    >>> analysis = Analysis("quick")
    >>> variant = Variant("quick", test={"data": {"ctau": 10}})
    >>> analysis.path("mlp") == variant.path("mlp")
    True
    >>> analysis.scores_path("mlp") == variant.scores_path("mlp")
    False
    """

    def __init__(
        self,
        preset="quick",
        *,
        test: Mapping[str, Mapping] | None = None,
        change: str | None = None,
        part: float = 1.0,
        fresh: bool | None = None,
        train: Mapping | None = None,
        **options,
    ):
        if change not in (None, *CHANGES):
            raise ValueError(f"change: no {change!r}; there are {', '.join(CHANGES)}")
        self.change, self.part, self.fresh, self.train = change, part, fresh, dict(train or {})
        self._samples: dict[str, Sample] | None = None
        changed = {group: {**(options.get(group) or {}), **test[group]} for group in test or ()}
        self.tested = Analysis(preset, **options | changed)
        super().__init__(preset, **options)
        for group, key in SPLIT:
            if self.tested.parameters[group][key] != self.parameters[group][key]:
                raise ValueError(f"test: another {group}.{key} would split hard events otherwise")
        made = [test or None, change, part, fresh, self.train or None]
        if made != [None, None, 1.0, None, None]:
            self.name += f"-{digest(made)}"

    @classmethod
    def at(cls, point: Point, preset, groups: Mapping[str, Mapping] | None = None, **options):
        """The variant at a point of a study, or in a setting of the ladder.

        ``groups`` are keys of the preset that are changed at every point, by group.
        """
        chosen = {"test": point.test, "change": point.change, "part": point.events}
        groups = merged(groups or {}, point.groups)
        return cls(preset, **groups, **chosen, fresh=point.fresh, **options)

    def datasets(self) -> dict[str, Sample]:
        """``train``, ``validation`` and ``test`` of this variant."""
        if self._samples is None:
            samples = dict(super().datasets(), test=self.tested.datasets()["test"])
            if self.part < 1:
                samples |= {name: self._part(name).sample() for name in ("train", "validation")}
            self._samples = {
                name: self._changed(sample, number)
                for number, (name, sample) in enumerate(samples.items())
            }
        return self._samples

    def fresh_pileup(self):
        """Function of an epoch, from 1, that gives its training events with other pileup."""
        hard = self._part("train")
        return lambda epoch: self._changed(hard.sample(epoch, workers=self.workers), 0, epoch)

    def _part(self, name):
        hard = self.hard_events()[name]
        return hard.part(self.part, seed=self.parameters["seed"]) if self.part < 1 else hard

    def _changed(self, sample, *numbers):
        if self.change is None:
            return sample
        return CHANGES[self.change](sample, seed=[self.parameters["seed"], *numbers])

    def _has_fresh_pileup(self, cls):
        return cls.fresh_pileup if self.fresh is None else self.fresh

    def _rung_options(self, name):
        options = super()._rung_options(name)
        return options and options | {"training": {**options["training"], **self.train}}

    def _changes(self, stage):
        is_rung, changes = stage in RUNGS or stage not in STAGES, {}
        if stage == "scores" and self.tested.key("datasets") != self.key("datasets"):
            changes["test"] = self.tested.key("datasets")
        if is_rung and self.part < 1:
            changes["part"] = self.part
        if is_rung and classifier_class(stage).is_network:
            if self.train:
                changes["train"] = self.train
            if self.fresh not in (None, classifier_class(stage).fresh_pileup):
                changes["fresh"] = self.fresh
        if self.change and (is_rung or stage == "scores"):
            changes["change"] = [self.change, code_fingerprint("measure.changes")]
        return changes


def merged(*groups: Mapping[str, Mapping]) -> dict:
    """Keys of several settings by group, later ones over earlier ones."""
    names = {name for each in groups for name in each}
    return {name: {k: v for g in groups for k, v in g.get(name, {}).items()} for name in names}
