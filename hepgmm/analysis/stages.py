"""The stages of the analysis: what each depends on, and where its outcome is kept."""

from __future__ import annotations

import sys
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from hepgmm.classify.ladder import CLASSIFIERS, RUNGS, code_of
from hepgmm.io.atomic import atomic_write
from hepgmm.io.cache import alone, code_fingerprint, digest

__all__ = [
    "CURES",
    "OTHER_KEYS",
    "RUNG_KEYS",
    "STAGES",
    "Stage",
    "StageCache",
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
    >>> rung_stage("mlp").keys[:2]
    ('training.epochs_mlp', 'training.batch_size')
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
    "scores": Stage(
        ".npz", keys=("training.classifiers",), needs=("datasets", "training.classifiers")
    ),
    "figures": Stage(
        ".json",
        keys=("mixture.synthetic_events", "overlay.*", _CLIP),
        needs=("qcd", "llp", "hgmm", "hgmm-scaled", "scores"),
        code=("analysis.figures", "pileup.speckles"),
    ),
}


class StageCache:
    """The files of the stages of one run, and how they are called.

    Parameters
    ----------
    parameters
        Of the run, by group, as :func:`hepgmm.analysis.presets.load_preset` gives them.
    name
        Of the run.
    cache
        Folder.
    progress
        Show which stage is computed.

    Raises
    ------
    ValueError
        If a rung of the user's own has the name of a stage.
    """

    def __init__(self, parameters: dict, *, name: str, cache: Path, progress: bool):
        self.parameters, self.name, self.cache, self.progress = parameters, name, cache, progress
        for rung in parameters["training"]["classifiers"]:
            if rung in STAGES and rung not in RUNGS:
                raise ValueError(
                    f"training.classifiers: {rung!r} is a stage; name the rung otherwise"
                )
        self._kept: dict[Path, Any] = {}
        # All keys now: code that is edited during the run is not the code that runs.
        self._keys: dict[str, str] = {}
        for stage in (*STAGES, *parameters["training"]["classifiers"]):
            self.key(stage)
        self._nested = 0.0  # seconds spent in the stages that the running one asked for

    @property
    def label(self) -> str:
        """What figures say of their origin: ``"quick preset"``."""
        name = self.parameters["preset"]
        return f"{name} preset" + (", modified" if self.name != name else "")

    def key(self, stage: str) -> str:
        """Digest of everything that decides the outcome of ``stage``."""
        if stage not in self._keys:
            self._keys[stage] = self._key(stage)
        return self._keys[stage]

    def _key(self, stage):
        entry = _stage(stage).chosen(self.parameters)
        code = [code_fingerprint(*entry.code)]
        if stage not in STAGES:  # a rung of the user's own
            code += code_of(CLASSIFIERS[stage])
        needs = [self.key(name) for name in entry.needs]
        return digest([stage, self.parameters["seed"], entry.inputs(self.parameters), code, needs])

    def path(self, stage: str, variant: str = "") -> Path:
        """Where the cache keeps ``stage``; ``variant`` tells apart the masses of ``llp``."""
        return self.cache / f"{stage}{variant}-{self.key(stage)}{_stage(stage).suffix}"

    def seconds(self) -> dict[str, float]:
        """How long each stage in the cache took [s], without the stages that it needed."""
        masses = [f"-{mass:g}" for mass in self.parameters["data"]["llp_masses"]]
        stages = dict.fromkeys((*STAGES, *self.parameters["training"]["classifiers"]))
        names = [(s, v) for s in stages for v in (masses if s == "llp" else [""])]
        records = {s + v: self.path(s, v).with_suffix(".seconds") for s, v in names}
        return {name: float(file.read_text()) for name, file in records.items() if file.is_file()}

    def _seed(self, stage):
        mixed = np.random.SeedSequence([self.parameters["seed"], zlib.crc32(stage.encode())])
        return int(mixed.generate_state(1)[0])

    def _get(self, stage, make, load, variant=""):
        """Load a stage; ``make(path)`` it first when the cache has none."""
        path = self.path(stage, variant)
        if path in self._kept:
            return self._kept[path]
        if not path.exists():
            with alone(path):
                if not path.exists():
                    self._make(path, f"{stage}{variant}", make)
        self._kept[path] = load(path)
        return self._kept[path]

    def _make(self, path, what, make):
        if self.progress:
            print(f"computing {what} ({self.label})", file=sys.stderr, flush=True)
        start, outer, self._nested = time.perf_counter(), self._nested, 0.0
        make(path)
        elapsed = time.perf_counter() - start
        with atomic_write(path.with_suffix(".seconds")) as temporary:
            temporary.write_text(f"{elapsed - self._nested:.2f}")
        self._nested = outer + elapsed


def _stage(name):
    return STAGES.get(name) or rung_stage(name)
