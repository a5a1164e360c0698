"""What is measured beyond one run: classifiers and generators; speed and cost lie beside them."""

from hepgmm.measure.generators import measure_fidelity, transfer_loss
from hepgmm.measure.plans import EVENTS, SETTINGS, STUDIES, Point, Study
from hepgmm.measure.run import measure_ladder, measure_studies
from hepgmm.measure.tables import fidelity_table, ladder_table, size_table
from hepgmm.measure.variants import Variant, merged

__all__ = [
    "EVENTS",
    "SETTINGS",
    "STUDIES",
    "Point",
    "Study",
    "Variant",
    "fidelity_table",
    "ladder_table",
    "measure_fidelity",
    "measure_ladder",
    "measure_studies",
    "merged",
    "size_table",
    "transfer_loss",
]
