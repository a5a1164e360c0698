"""The stages of the analysis: what each depends on, and where its outcome is kept."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepgmm.classify.ladder import CLASSIFIERS, RUNGS, code_of
from hepgmm.io.cache import Store, code_fingerprint, digest

__all__ = [
    "CURES",
    "OTHER_KEYS",
    "RUNG_KEYS",
    "STAGES",
    "Stage",
    "StageCache",
    "repeat",
    "rung_stage",
]

# None is the paper's plain model; the other two are the cures of speckles that it proposes.
CURES = (None, "clipped", "scaled")


@dataclass(frozen=True)
class Stage:
    """One step of the analysis and what its outcome depends on.

    Attributes
    ----------
    suffix
        Ending of its file in the cache.
    keys
        The preset's keys that it reads, as ``group.key``; ``group.*`` stands for a whole group.
    needs
        The stages whose outcome it reads; ``group.key`` stands for those that the preset names.
    code
        The modules of ``hepgmm`` that compute it; what they import is found.
    by_pileup
        ``overlay.pileup`` -> the keys and the needs that it adds.
    """

    suffix: str
    keys: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    by_pileup: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=dict)

    def chosen(self, parameters: Mapping[str, Any]) -> Stage:
        """The stage with the keys and needs that ``parameters`` choose."""
        keys, more = self.by_pileup.get(parameters["overlay"]["pileup"], ((), ()))
        needs = []
        for need in self.needs + more:
            group, _, key = need.partition(".")
            needs += parameters[group][key] if key else [need]
        return replace(self, keys=self.keys + keys, needs=tuple(needs), by_pileup={})

    def inputs(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The part of ``parameters`` that the stage reads, as ``{"group.key": value}``.

        Examples
        --------
        >>> Stage(".npz", keys=("overlay.mu",)).inputs({"overlay": {"mu": 60.0, "sigma_z": 53.0}})
        {'overlay.mu': 60.0}
        """
        chosen = {}
        for name in self.keys:
            group, key = name.split(".")
            for each in parameters[group] if key == "*" else (key,):
                chosen[f"{group}.{each}"] = parameters[group][each]
        return chosen


_FIT = tuple(
    f"mixture.{key}"
    for key in (
        "max_event_components",
        "high_level_max",
        "n_init",
        "covariance_floor",
    )
)
_CLIP = "mixture.clip_eigenvalues"
_SCHEDULE = ("batch_size", "learning_rate", "schedule")
#: What a preset says of a rung: keys that are arguments of its training, and of its network.
RUNG_KEYS = {
    "pt_cut": ((), ()),
    "trees": ((), ()),
    "mlp": (("epochs_mlp", *_SCHEDULE), ("features",)),
    "transformer": (
        ("epochs_transformer", *_SCHEDULE),
        ("features", "feedforward", "dropout", "attention_dropout"),
    ),
}
#: The same of all others.
OTHER_KEYS = (("batch_size",), ())


def rung_stage(name: str) -> Stage:
    """The training of a rung of the ladder.

    Examples
    --------
    >>> rung_stage("deepsets").keys
    ('training.batch_size',)
    """
    keys = tuple(f"training.{key}" for part in RUNG_KEYS.get(name, OTHER_KEYS) for key in part)
    return Stage(
        ".safetensors",
        keys=keys,
        needs=("datasets",),
        code=("classify.ladder",),
    )


STAGES: dict[str, Stage] = {
    "minbias": Stage(".parquet", keys=("data.n_minbias",), code=("collide.pythia",)),
    "minbias-pool": Stage(".parquet", keys=("data.n_pool",), code=("collide.pythia",)),
    "minbias-test": Stage(".parquet", keys=("mixture.synthetic_events",), code=("collide.pythia",)),
    "qcd": Stage(".parquet", keys=("data.n_qcd", "data.pt_hat_min"), code=("collide.pythia",)),
    "llp": Stage(".parquet", keys=("data.n_llp_per_mass", "data.ctau"), code=("collide.pythia",)),
    "hgmm": Stage(".npz", keys=_FIT, needs=("minbias",), code=("pileup.hierarchical",)),
    "hgmm-scaled": Stage(".npz", keys=_FIT, needs=("minbias",), code=("pileup.hierarchical",)),
    "shared": Stage(".npz", needs=("minbias",), code=("pileup.shared",)),
    "synthetic": Stage(".parquet", keys=("mixture.synthetic_events",), needs=("hgmm",)),
    "synthetic-clipped": Stage(
        ".parquet", keys=("mixture.synthetic_events", _CLIP), needs=("hgmm",)
    ),
    "synthetic-scaled": Stage(
        ".parquet", keys=("mixture.synthetic_events", _CLIP), needs=("hgmm-scaled",)
    ),
    "datasets": Stage(
        ".npz",
        keys=(
            "data.llp_masses",
            "overlay.*",
            "training.test_fraction",
            "training.validation_fraction",
        ),
        needs=("qcd", "llp"),
        code=("crossings.samples",),
        by_pileup={
            "hgmm": ((), ("hgmm",)),
            "hgmm_clipped": ((_CLIP,), ("hgmm",)),
            "hgmm_scaled": ((_CLIP,), ("hgmm-scaled",)),
            "shared": ((), ("shared",)),
            "real": ((), ("minbias-pool",)),
        },
    ),
    **{name: rung_stage(name) for name in RUNGS},
    # One file for each training of a rung, whose key is in its name, too.
    "scores": Stage(".npz", needs=("datasets",)),
    "figures": Stage(
        ".json",
        keys=("mixture.synthetic_events", "overlay.*", _CLIP, "training.classifiers"),
        needs=("qcd", "llp", "hgmm", "hgmm-scaled", "scores", "training.classifiers"),
        code=("analysis.figures", "pileup.speckles"),
    ),
}


class StageCache(Store):
    """The files of the stages of one run, and how they are called.

    Parameters
    ----------
    parameters : dict
        Of the run, by group, as :func:`hepgmm.analysis.presets.load_preset` gives them.
    name : str
        Of the run.
    cache : Path
    progress : bool
        Show which stage is computed.

    Raises
    ------
    ValueError
        If a rung of the user's own has the name of a stage.
    """

    def __init__(self, parameters: dict, *, name: str, cache: Path, progress: bool):
        super().__init__(cache)
        self.parameters, self.name, self.progress = parameters, name, progress
        for rung in self._rungs:
            if rung in STAGES and rung not in RUNGS:
                raise ValueError(
                    f"training.classifiers: {rung!r} is a stage; name the rung otherwise"
                )
        # All keys now: code that is edited during the run is not the code that runs.
        self._keys: dict[str, str] = {}
        for stage in (*STAGES, *self._rungs):
            self.key(stage)

    @property
    def label(self) -> str:
        """What figures say of their origin: ``"quick preset"``."""
        name = self.parameters["preset"]
        return f"{name} preset" + (", modified" if self.name != name else "")

    @property
    def _rungs(self):
        return self.parameters["training"]["classifiers"]

    def key(self, stage: str) -> str:
        """Digest of everything that decides the outcome of ``stage``."""
        if stage not in self._keys:
            entry = _stage(stage).chosen(self.parameters)
            code = [code_fingerprint(*entry.code)]
            if stage not in STAGES:  # a rung of the user's own
                code += code_of(CLASSIFIERS[stage])
            made = [stage, self.parameters["seed"], entry.inputs(self.parameters), code]
            made.append([self.key(name) for name in entry.needs])
            changes = self._changes(stage)
            self._keys[stage] = digest([*made, changes] if changes else made)
        return self._keys[stage]

    def _changes(self, stage) -> dict:
        """What decides the outcome of a stage beside the preset: nothing."""
        return {}

    def path(self, stage: str, variant: str = "") -> Path:
        """Where the cache keeps ``stage``; ``variant`` tells apart the masses of ``llp``."""
        return self.cache / f"{stage}{variant}-{self.key(stage)}{_stage(stage).suffix}"

    def scores_path(self, rung: str, number: int = 0) -> Path:
        """Where the cache keeps what a training of a rung says of the test events."""
        return self.path("scores", f"-{rung}{repeat(number)}-{self.key(rung)}")

    def seconds(self) -> dict[str, float]:
        """How long each stage in the cache took [s], without the stages that it needed."""
        files = {}
        for stage in dict.fromkeys((*STAGES, *self._rungs)):
            if stage == "llp":
                masses = [f"-{mass:g}" for mass in self.parameters["data"]["llp_masses"]]
                files |= {stage + mass: [self.path(stage, mass)] for mass in masses}
            elif stage == "scores":
                files[stage] = [self.scores_path(rung) for rung in self._rungs]
            else:
                files[stage] = [self.path(stage)]
        took = {stage: [_seconds(path) for path in paths] for stage, paths in files.items()}
        return {stage: sum(each) for stage, each in took.items() if None not in each}

    def training_seconds(self, rung: str, number: int = 0) -> float | None:
        """How long a training of a rung took [s]; None if the cache does not say."""
        return _seconds(self.path(rung, repeat(number)))

    def _seed(self, stage):
        mixed = np.random.SeedSequence([self.parameters["seed"], zlib.crc32(stage.encode())])
        return int(mixed.generate_state(1)[0])

    def _stage(self, stage, make, load, variant=""):
        """A stage, made when the cache has none."""
        return self._get(self.path(stage, variant), stage + variant, make, load)

    def _say(self, what):
        if self.progress:
            print(f"computing {what} ({self.label})", file=sys.stderr, flush=True)


def _stage(name):
    return STAGES.get(name) or rung_stage(name)


def repeat(number: int) -> str:
    """Variant of a training of a rung: the first one has none."""
    return f"-{number}" if number else ""


def _seconds(path):
    record = path.with_suffix(".seconds")
    return float(record.read_text()) if record.is_file() else None
