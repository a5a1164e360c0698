"""Generators of pileup events, from real events drawn again to networks."""

from importlib import import_module

# Each name is imported on first use: the generators need libraries of different weights.
_HOME = {
    "HierarchicalGMM": "hierarchical",
    "SharedGMM": "shared",
    "load_generator": "base",
    "make_generator": "base",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"hepgmm.pileup.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hepgmm.pileup' has no attribute {name!r}")
