"""Signal against background from the tracks of an event: features, models, training, metrics."""

from importlib import import_module

# Each name is imported on first use: metrics work without torch and Lightning.
_HOME = {
    "ARCHITECTURES": "files",
    "BoostedTrees": "ladder",
    "CLASSIFIERS": "ladder",
    "DeepSets": "networks",
    "FeatureRow": "features",
    "FeatureTable": "features",
    "METRICS": "metrics",
    "MLP": "networks",
    "NetworkClassifier": "ladder",
    "ParticleTransformer": "networks",
    "PtCut": "ladder",
    "SUMMARY_NAMES": "summaries",
    "Sample": ".crossings.samples",
    "TrackFeatures": "features",
    "TrainingResult": "learning",
    "Transformer": "networks",
    "attention": "explain",
    "attention_shares": "explain",
    "auc": "metrics",
    "auc_difference": "metrics",
    "background_rejection": "metrics",
    "best_cut": "metrics",
    "calibration_curve": "metrics",
    "classifier_class": "ladder",
    "classifier_names": "ladder",
    "evaluate": "metrics",
    "export_onnx": "files",
    "event_summaries": "summaries",
    "load_model": "files",
    "onnx_latency": "files",
    "load_table": "features",
    "make_classifier": "ladder",
    "permutation_importance": "explain",
    "predict": "networks",
    "register": "ladder",
    "roc_curve": "metrics",
    "save_card": "files",
    "save_model": "files",
    "single_cut_accuracy": "metrics",
    "train": "learning",
}

__all__ = sorted(_HOME)


def __getattr__(name):
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'hepgmm.classify' has no attribute {name!r}")


def __dir__():
    return __all__
