"""Signal against background from the tracks of an event: features, models, training, metrics."""

from importlib import import_module

# Each name is imported on first use: metrics work without torch and Lightning.
_HOME = {
    "ARCHITECTURES": "storage",
    "BoostedTrees": "trees",
    "CLASSIFIERS": "registry",
    "DeepSets": "networks",
    "FeatureRow": "features",
    "FeatureTable": "features",
    "METRICS": "metrics",
    "MLP": "networks",
    "NetworkClassifier": "rungs",
    "ParticleTransformer": "networks",
    "PtCut": "cuts",
    "SUMMARY_NAMES": "summaries",
    "Sample": ".crossings.samples",
    "TrackFeatures": "features",
    "TrainingResult": "training",
    "Transformer": "networks",
    "attention": "explain",
    "attention_shares": "explain",
    "auc": "metrics",
    "auc_difference": "metrics",
    "background_rejection": "metrics",
    "best_cut": "metrics",
    "calibration_curve": "metrics",
    "classifier_class": "registry",
    "classifier_names": "registry",
    "evaluate": "metrics",
    "export_onnx": "storage",
    "event_summaries": "summaries",
    "load_model": "storage",
    "onnx_latency": "storage",
    "load_table": "features",
    "make_classifier": "registry",
    "permutation_importance": "explain",
    "predict": "networks",
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
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'hepgmm.classify' has no attribute {name!r}")


def __dir__():
    return __all__
