"""How fast and how good the mixtures are, beside scikit-learn and Pythia, in one run."""

from hepgmm.benchmark.suite import PARTS, benchmark_mixture

__all__ = ["PARTS", "benchmark_mixture"]
