"""Stages of an analysis, each computed once and kept under a key of all that decides it."""

from __future__ import annotations

import sys
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from hepgmm.cache import alone, code_fingerprint, digest
from hepgmm.classify.registry import CLASSIFIERS, RUNGS, code_of
from hepgmm.io_utils import atomic_write
from hepgmm.stages import STAGES, rung_stage

__all__ = ["StageCache"]


class StageCache:
    """The files of the stages of one run, and how they are called.

    Parameters
    ----------
    parameters
        Of the run, by group, as :func:`hepgmm.presets.load_preset` gives them.
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
        code = {name: code_fingerprint(name) for name in entry.code}
        if stage not in STAGES:  # a rung of the user's own
            code[stage] = code_of(CLASSIFIERS[stage])
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
