"""Bunch crossings: pileup laid over hard events, and the samples that classifiers read."""

from hepgmm.crossings.overlay import overlay, overlay_select, reconstruct_vertex, select
from hepgmm.crossings.samples import Sample, split_events

__all__ = ["Sample", "overlay", "overlay_select", "reconstruct_vertex", "select", "split_events"]
