"""What the classifiers' figures depend on: one quantity after the other, by one command."""

from hepgmm.studies.catalogue import STUDIES, Point, Study
from hepgmm.studies.suite import measure_studies

__all__ = ["STUDIES", "Point", "Study", "measure_studies"]
