"""The ladder of classifiers: every rung measured in the same way, with errors, by one command."""

from hepgmm.ladder.figures import rung_figures
from hepgmm.ladder.suite import REFERENCES, climb
from hepgmm.ladder.tables import ladder_table

__all__ = ["REFERENCES", "climb", "ladder_table", "rung_figures"]
