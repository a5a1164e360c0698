"""Hierarchical Gaussian mixture models of LHC pileup, from collisions to ROC curves."""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Each name is imported on first use: `import hepgmm` stays instant without torch or Pythia.
_HOME = {
    "Analysis": "hepgmm.analysis",
    "HierarchicalGMM": "hepgmm.pileup.hierarchical",
    "SharedGMM": "hepgmm.pileup.shared",
    "generate": "hepgmm.collide.pythia",
    "load_preset": "hepgmm.presets",
    "load_tracks": "hepgmm.tracks",
    "overlay": "hepgmm.pileup.overlay",
    "save_tracks": "hepgmm.tracks",
    "select": "hepgmm.tracks",
}
_SUBPACKAGES = {"classify", "collide", "fidelity", "mixture", "pileup", "plots", "tracks"}
_SUBPACKAGES |= {"ladder", "validate"}

__all__ = sorted([*_HOME, *_SUBPACKAGES, "__version__"])

if TYPE_CHECKING:
    from hepgmm.analysis import Analysis as Analysis
    from hepgmm.collide.pythia import generate as generate
    from hepgmm.pileup.hierarchical import HierarchicalGMM as HierarchicalGMM
    from hepgmm.pileup.overlay import overlay as overlay
    from hepgmm.pileup.shared import SharedGMM as SharedGMM
    from hepgmm.presets import load_preset as load_preset
    from hepgmm.tracks import load_tracks as load_tracks
    from hepgmm.tracks import save_tracks as save_tracks
    from hepgmm.tracks import select as select


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    if name in _SUBPACKAGES:
        return import_module(f"hepgmm.{name}")
    raise AttributeError(f"module 'hepgmm' has no attribute {name!r}")


def __dir__():
    return __all__
