"""Gaussian mixtures: fitting, the fitted object, and components as vectors."""

from hepgmm.mixture.components import pack, parameter_names, unpack
from hepgmm.mixture.em import EventMixtures, fit_many, fit_one
from hepgmm.mixture.gmm import GaussianMixture

__all__ = [
    "EventMixtures",
    "GaussianMixture",
    "fit_many",
    "fit_one",
    "pack",
    "parameter_names",
    "unpack",
]
