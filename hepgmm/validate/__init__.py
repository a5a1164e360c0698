"""Is synthetic pileup real? Distances and two-sample classifiers, each with error and floor."""

from hepgmm.validate.compare import compare
from hepgmm.validate.distances import frechet_distance, kernel_distance
from hepgmm.validate.features import EVENT_FEATURES, TRACK_FEATURES, event_features
from hepgmm.validate.memory import nearest_ratio

__all__ = [
    "EVENT_FEATURES",
    "TRACK_FEATURES",
    "compare",
    "event_features",
    "frechet_distance",
    "kernel_distance",
    "nearest_ratio",
]
