"""Gaussian mixtures: fitting, the fitted object, and components as vectors."""

from hepgmm.mixture.em import watch
from hepgmm.mixture.gaussian import GaussianMixture, pack, parameter_names, unpack
from hepgmm.mixture.large import MixtureScan, fit_one
from hepgmm.mixture.small import MixtureFits, find_singular, fit_many

__all__ = [
    "GaussianMixture",
    "MixtureFits",
    "MixtureScan",
    "find_singular",
    "fit_many",
    "fit_one",
    "pack",
    "parameter_names",
    "unpack",
    "watch",
]
