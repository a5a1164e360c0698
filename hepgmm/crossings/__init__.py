"""Bunch crossings: pileup laid over hard events, and the samples that classifiers read."""

from hepgmm.crossings.overlay import overlay, overlay_select, reconstruct_vertex, split_events
from hepgmm.crossings.samples import Sample

__all__ = ["Sample", "overlay", "overlay_select", "reconstruct_vertex", "split_events"]
