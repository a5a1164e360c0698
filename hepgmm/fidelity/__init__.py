"""Every generator of pileup beside the real thing: the figures of the book's chapter on it."""

from hepgmm.fidelity.suite import PARTS, measure_fidelity
from hepgmm.fidelity.tables import ROWS, fidelity_table, size_table

__all__ = ["PARTS", "ROWS", "fidelity_table", "measure_fidelity", "size_table"]
