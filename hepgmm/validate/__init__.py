"""Is synthetic pileup real? Distances, physics and classifiers, each with error and floor."""

from hepgmm.validate.compare import compare
from hepgmm.validate.correlations import correlation, correlation_map
from hepgmm.validate.distances import frechet_distance, kernel_distance
from hepgmm.validate.measured import EVENT_FEATURES, TRACK_FEATURES, event_features
from hepgmm.validate.memory import azimuth_features, nearest_ratio
from hepgmm.validate.physics import physics

__all__ = [
    "EVENT_FEATURES",
    "TRACK_FEATURES",
    "azimuth_features",
    "compare",
    "correlation",
    "correlation_map",
    "event_features",
    "frechet_distance",
    "kernel_distance",
    "nearest_ratio",
    "physics",
]
