"""What a training and a preset will cost, from a run that was measured."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["plan", "training_flops", "training_operations"]


def training_operations(model, n_tracks: int) -> float:
    """Floating-point operations of one event, forward and backward: matrix products alone.

    Counted by PyTorch, two for each multiplication with its addition.
    """
    # Only this way of computing attention is made of products that the counter knows.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        X, mask = torch.rand(2, n_tracks, 6) + 0.1, torch.ones(2, n_tracks, dtype=torch.bool)
        model(X, mask).sum().backward()
    model.zero_grad()
    return counter.get_total_flops() / 2


#: Sustained TFLOP/s of a GPU on networks as small as these, where most of the time goes into
#: starting kernels. An assumption, not a measurement.
TFLOPS = 1.0


def training_flops(parameters: Mapping) -> float:
    """Floating-point operations to train the paper's transformer with a preset's parameters.

    Matrix products alone, forward and backward, times the training events and epochs.
    """
    from hepgmm.classify import Transformer

    options, n_tracks = parameters["training"], parameters["overlay"]["max_tracks"]
    model = Transformer(features=options["features"], feedforward=options["feedforward"])
    epochs = options["epochs_transformer"]
    return training_operations(model, n_tracks) * _training_events(parameters) * epochs


def plan(parameters: Mapping, measured: Mapping, *, tflops: float = TFLOPS) -> dict[str, float]:
    """Seconds of each stage of a preset, scaled from those of a measured run.

    Collisions, fits and overlay grow with the number of events, trainings with events times epochs,
    that of the transformer with its operations. Trees count as one epoch. To the stages come their
    ``total``, and ``transformer on a GPU``, seconds of that stage at ``tflops`` (sustained).
    """
    if not tflops > 0:
        raise ValueError(f"tflops = {tflops}: give a number above 0")
    if "classifiers" not in measured["parameters"]["training"]:
        raise ValueError("measured: results of an earlier version; run the preset again")
    sizes, known = _sizes(parameters), _sizes(measured["parameters"])
    seconds = dict(measured["seconds"])
    signal = [key for key in seconds if key.startswith("llp")]
    if signal:
        seconds["llp"] = sum(seconds[key] for key in signal)
    missing = [stage for stage in sizes if stage not in seconds]
    if missing:
        raise ValueError(
            f"measured: no seconds of {', '.join(missing)}; run a preset that has them, from empty"
        )
    operations = training_flops(parameters)
    if "transformer" in sizes:
        known["transformer"] = training_flops(measured["parameters"])
        sizes["transformer"] = operations
    costs = {stage: seconds[stage] * size / known[stage] for stage, size in sizes.items()}
    gpu = operations / (1e12 * tflops)
    return costs | {"total": sum(costs.values()), "transformer on a GPU": gpu}


def _sizes(parameters):
    """What the seconds of each stage are in proportion to."""
    data, training = parameters["data"], parameters["training"]
    n_llp = data["n_llp_per_mass"] * len(data["llp_masses"])
    n_hard = data["n_qcd"] + n_llp
    return {
        "minbias": data["n_minbias"],
        "qcd": data["n_qcd"],
        "llp": n_llp,
        "hgmm": data["n_minbias"],
        "datasets": n_hard * parameters["overlay"]["mu"],
        **{
            name: _training_events(parameters) * _epochs(name, training)
            for name in training["classifiers"]
        },
        "scores": n_hard,
    }


def _training_events(parameters):
    data, training = parameters["data"], parameters["training"]
    n_hard = data["n_qcd"] + data["n_llp_per_mass"] * len(data["llp_masses"])
    return n_hard * (1 - training["test_fraction"]) * (1 - training["validation_fraction"])


def _epochs(name, training):
    from hepgmm.classify.ladder import classifier_class

    own = getattr(classifier_class(name), "training", {}).get("epochs", 1)
    return training.get(f"epochs_{name}", own)
