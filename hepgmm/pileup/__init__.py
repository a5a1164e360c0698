"""Pileup: its generators, and laying it over hard events."""

from importlib import import_module

from hepgmm.pileup.overlay import overlay, reconstruct_vertex, split_events

__all__ = [
    "HierarchicalGMM",
    "SharedGMM",
    "load_generator",
    "make_generator",
    "overlay",
    "reconstruct_vertex",
    "split_events",
]

# Fitting needs heavier libraries than laying pileup over events does.
_HOME = {
    "HierarchicalGMM": "hepgmm.pileup.hierarchical",
    "SharedGMM": "hepgmm.pileup.shared",
    "load_generator": "hepgmm.pileup.generators",
    "make_generator": "hepgmm.pileup.generators",
}


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'hepgmm.pileup' has no attribute {name!r}")
