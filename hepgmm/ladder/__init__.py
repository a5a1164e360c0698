"""The ladder of classifiers: every rung measured in the same way, with errors, by one command."""

from hepgmm.classify.metrics import rung_figures
from hepgmm.ladder.settings import SETTINGS
from hepgmm.ladder.suite import climb
from hepgmm.ladder.tables import ladder_table

__all__ = ["SETTINGS", "climb", "ladder_table", "rung_figures"]
