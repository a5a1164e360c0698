"""Collisions to tracks: Pythia events, perigee parameters, tracker volume."""

from hepgmm.collide.detector import in_tracker, smear_vertex
from hepgmm.collide.helix import Perigee, perigee
from hepgmm.collide.processes import PROCESSES, settings
from hepgmm.collide.pythia import generate

__all__ = [
    "PROCESSES",
    "Perigee",
    "generate",
    "in_tracker",
    "perigee",
    "settings",
    "smear_vertex",
]
