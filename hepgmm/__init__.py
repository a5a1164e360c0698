"""Hierarchical Gaussian mixture models of LHC pileup, from collisions to ROC curves."""

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# OpenMP's threads spin while they wait, which beside other processes makes trainings ten times as
# long. The libraries read this when they are loaded, so that it has to stand before them.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Each name is imported on first use: `import hepgmm` stays instant without torch or Pythia.
_HOME = {
    "Analysis": "hepgmm.analysis.analysis",
    "HierarchicalGMM": "hepgmm.pileup.hierarchical",
    "SharedGMM": "hepgmm.pileup.shared",
    "generate": "hepgmm.collide.pythia",
    "load_preset": "hepgmm.analysis.presets",
    "load_tracks": "hepgmm.io.parquet",
    "overlay": "hepgmm.crossings.overlay",
    "overlay_select": "hepgmm.crossings.overlay",
    "save_tracks": "hepgmm.io.parquet",
    "select": "hepgmm.crossings.overlay",
}
_SUBPACKAGES = {"classify", "collide", "crossings", "measure", "mixture", "pileup", "plots"}
_SUBPACKAGES |= {"validate"}

__all__ = sorted([*_HOME, *_SUBPACKAGES, "__version__"])

if TYPE_CHECKING:
    from hepgmm.analysis.analysis import Analysis as Analysis
    from hepgmm.analysis.presets import load_preset as load_preset
    from hepgmm.collide.pythia import generate as generate
    from hepgmm.crossings.overlay import overlay as overlay
    from hepgmm.crossings.overlay import overlay_select as overlay_select
    from hepgmm.crossings.overlay import select as select
    from hepgmm.io.parquet import load_tracks as load_tracks
    from hepgmm.io.parquet import save_tracks as save_tracks
    from hepgmm.pileup.hierarchical import HierarchicalGMM as HierarchicalGMM
    from hepgmm.pileup.shared import SharedGMM as SharedGMM


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _SUBPACKAGES:
        return import_module(f"hepgmm.{name}")
    raise AttributeError(f"module 'hepgmm' has no attribute {name!r}")


def __dir__():
    return __all__
