"""Is synthetic pileup real? Distances and two-sample classifiers, each with error and floor."""

from hepgmm.validate.compare import EVENT_FEATURES, TRACK_FEATURES, compare, event_features

__all__ = ["EVENT_FEATURES", "TRACK_FEATURES", "compare", "event_features"]
