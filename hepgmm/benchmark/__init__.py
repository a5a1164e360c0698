"""How fast and how good the mixtures are, beside scikit-learn and Pythia, in one run."""

from hepgmm.benchmark.suite import benchmark_mixture

__all__ = ["benchmark_mixture"]
