"""Collisions to tracks: Pythia events, perigee parameters, tracker volume."""

from hepgmm.collide.detector import draw_vertices, in_tracker
from hepgmm.collide.perigee import Perigee, perigee
from hepgmm.collide.processes import PROCESSES, settings
from hepgmm.collide.pythia import generate

__all__ = [
    "PROCESSES",
    "Perigee",
    "draw_vertices",
    "generate",
    "in_tracker",
    "perigee",
    "settings",
]
