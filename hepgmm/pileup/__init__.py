"""Pileup: its generators, and laying it over hard events."""

from importlib import import_module

from hepgmm.pileup.overlay import overlay, reconstruct_vertex, split_events

__all__ = ["HierarchicalGMM", "overlay", "reconstruct_vertex", "split_events"]


def __getattr__(name):
    # Fitting needs heavier libraries than laying pileup over events does.
    if name == "HierarchicalGMM":
        return import_module("hepgmm.pileup.hierarchical").HierarchicalGMM
    raise AttributeError(f"module 'hepgmm.pileup' has no attribute {name!r}")
