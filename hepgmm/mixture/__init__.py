"""Gaussian mixtures: fitting, the fitted object, and components as vectors."""

from hepgmm.mixture.components import pack, parameter_names, unpack
from hepgmm.mixture.gmm import GaussianMixture
from hepgmm.mixture.large import MixtureScan, fit_one
from hepgmm.mixture.many import MixtureFits, fit_many
from hepgmm.mixture.singular import find_singular
from hepgmm.mixture.watching import watch

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
