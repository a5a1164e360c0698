"""Signal against background from the tracks of an event: features, models, training, metrics."""

from importlib import import_module

# Each name is imported on first use: metrics work without torch and Lightning.
_HOME = {
    "ARCHITECTURES": "storage",
    "BoostedTrees": "trees",
    "CLASSIFIERS": "registry",
    "DeepSets": "models",
    "FeatureRow": "feature_tables",
    "FeatureTable": "feature_tables",
    "MLP": "models",
    "NetworkClassifier": "rungs",
    "ParticleTransformer": "particle_transformer",
    "PtCut": "cuts",
    "SUMMARY_NAMES": "summaries",
    "Sample": "samples",
    "TrackFeatures": "features",
    "TrainingResult": "training",
    "Transformer": "models",
    "attention": "explain",
    "attention_shares": "explain",
    "auc": "metrics",
    "auc_difference": "metrics",
    "background_rejection": "working_points",
    "best_cut": "metrics",
    "calibration_curve": "working_points",
    "classifier_names": "registry",
    "evaluate": "metrics",
    "export_onnx": "export",
    "event_summaries": "summaries",
    "load_model": "storage",
    "onnx_latency": "export",
    "load_table": "feature_tables",
    "make_classifier": "registry",
    "permutation_importance": "explain",
    "predict": "models",
    "register": "registry",
    "roc_curve": "metrics",
    "save_card": "storage",
    "save_model": "storage",
    "single_cut_accuracy": "metrics",
    "train": "training",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f"hepgmm.classify.{_HOME[name]}"), name)
    raise AttributeError(f"module 'hepgmm.classify' has no attribute {name!r}")


def __dir__():
    return __all__
