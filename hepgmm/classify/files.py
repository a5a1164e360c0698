"""Trained classifiers as files: safetensors with a card beside them, and ONNX."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hepgmm.classify.networks import (
    MLP,
    DeepSets,
    ParticleTransformer,
    Steps,
    Transformer,
    TreeEnsemble,
)
from hepgmm.io.atomic import atomic_write, write_json

__all__ = [
    "ARCHITECTURES",
    "check_architecture",
    "export_onnx",
    "load_model",
    "onnx_latency",
    "onnx_logits",
    "save_card",
    "save_model",
]

_OURS = (MLP, DeepSets, Transformer, ParticleTransformer, TreeEnsemble, Steps)
ARCHITECTURES = {each.__name__: each for each in _OURS}
"""Models by the name that saved files give them; add your own."""

_KIND, _VERSION = "hepgmm classifier", 1


def save_model(path, model):
    """Write a model's weights, architecture and hyperparameters to a safetensors file.

    Parameters
    ----------
    path : str or Path
    model : torch.nn.Module
        Of a class in ``ARCHITECTURES``, with ``hyperparameters`` that make it again.

    Raises
    ------
    ValueError
        If its class is not in ``ARCHITECTURES``.
    """
    check_architecture(model)
    metadata = {
        "format": f"{_KIND} {_VERSION}",
        "architecture": type(model).__name__,
        "hyperparameters": json.dumps(model.hyperparameters),
    }
    weights = {name: w.detach().cpu().contiguous() for name, w in model.state_dict().items()}
    with atomic_write(path) as temporary:
        # Not save_file, which leaves a file of its own when killed.
        temporary.write_bytes(save(weights, metadata))


def save_card(path, model, **about):
    """Write a model's card, JSON for people and programs that do not load it.

    Parameters
    ----------
    path : str or Path
        The file of the model; the card has the same name and the ending ``.json``.
    model : torch.nn.Module
        Of this package.
    **about
        What else the card says, such as the training events and figures of merit.

    Returns
    -------
    Path
        Of the card.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "mlp.safetensors")
    ...     path = save_card(path, MLP(), metrics={"auc": 0.8})
    ...     json.loads(path.read_text())["metrics"]
    {'auc': 0.8}
    """
    path = Path(path).with_suffix(".json")
    hyperparameters = {k: v for k, v in model.hyperparameters.items() if k != "features"}
    card = {
        "format": f"{_KIND} {_VERSION}",
        "architecture": type(model).__name__,
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "hyperparameters": hyperparameters,
        "inputs": list(model.features.formulas),
    }
    write_json(path, card | about)
    return path


def check_architecture(model):
    """An error for a network that could not be read back."""
    name = type(model).__name__
    if ARCHITECTURES.get(name) is not type(model):
        raise ValueError(
            f"{name}: unknown to saved models; add it, hepgmm.classify.ARCHITECTURES[{name!r}]"
            f" = {name}"
        )


def load_model(path):
    """Read a model that :func:`save_model` wrote; it lies on the CPU, ready to predict.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    torch.nn.Module

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not a saved classifier, or one of an unknown architecture.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file") from None
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a safetensors file, or a truncated one ({error})") from None
    kind, _, version = metadata.get("format", "").rpartition(" ")
    if kind != _KIND or not version.isdigit():
        raise ValueError(f"{path}: not written by hepgmm.classify.save_model")
    if int(version) > _VERSION:
        raise ValueError(
            f"{path}: written by a newer hepgmm (format {version}, this one reads {_VERSION}); "
            "update hepgmm"
        )
    architecture = metadata["architecture"]
    if architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise ValueError(f"{path}: architecture {architecture!r} is unknown; known are {known}")
    try:
        model = ARCHITECTURES[architecture](**json.loads(metadata["hyperparameters"]))
    except (TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path}: its hyperparameters do not fit the {architecture} it names ({error})"
        ) from None
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        raise ValueError(f"{path}: its weights do not fit the {architecture} it names") from None
    return model.eval()


#: Largest difference between the logits of the file and those of torch.
TOLERANCE = 1e-5


def export_onnx(path, model, X, mask):
    """Write a model to an ONNX file whose logits are those of torch.

    The file takes ``X``, float32, shape (n, max_tracks, columns), and ``mask``, bool, shape
    (n, max_tracks), for any n, and gives ``logit``, shape (n,). The transform of the inputs is
    part of it. Needs the packages of ``pip install hepgmm[onnx]``.

    Parameters
    ----------
    path : str or Path
    model : torch.nn.Module
        Of a rung of the ladder, on the CPU.
    X : array, shape (n, max_tracks, columns)
        At least two events, for which the logits are compared; they fix the numbers of tracks and
        of columns.
    mask : array, bool, shape (n, max_tracks)

    Raises
    ------
    ValueError
        If there are fewer than two events, or a logit differs by more than 10⁻⁵ (times the largest,
        if that is above 1).
    """
    X, mask = torch.as_tensor(X, dtype=torch.float32), torch.as_tensor(mask, dtype=torch.bool)
    if len(X) < 2:
        raise ValueError(f"export_onnx: {len(X)} events; give at least 2")
    training = model.training
    model.eval()
    batch = torch.export.Dim("n")
    try:
        with atomic_write(path) as temporary, _quiet():
            torch.onnx.export(
                model,
                (X[:2], mask[:2]),
                temporary,
                input_names=["X", "mask"],
                output_names=["logit"],
                dynamic_shapes={"X": {0: batch}, "mask": {0: batch}},
                dynamo=True,
                external_data=False,
            )
            with torch.inference_mode():
                expected = model(X, mask).numpy()
            found = onnx_logits(temporary, X.numpy(), mask.numpy())
            largest = np.abs(found - expected).max() / max(1.0, np.abs(expected).max())
            if not largest <= TOLERANCE:
                raise ValueError(f"{path}: logits differ from those of torch by {largest:.1g}")
    finally:
        model.train(training)


def onnx_logits(path, X, mask):
    """Logits, float32, shape (n,), of an exported file, through onnxruntime on one core."""
    session = _session(path)
    return session.run(None, {"X": X.astype(np.float32), "mask": mask.astype(bool)})[0]


def onnx_latency(path, X, mask, *, n_events=1000):
    """Time from tracks to logit of single events, one after another on one core.

    Parameters
    ----------
    path : str or Path
        An ONNX file that :func:`export_onnx` wrote.
    X : array, shape (n, max_tracks, columns)
    mask : array, bool, shape (n, max_tracks)
        Events that are taken in turn.
    n_events : int
        How many are timed, after a tenth as many that are not.

    Returns
    -------
    dict
        ``median`` and ``p99``, the 99th percentile, in ms.
    """
    if not len(X):
        raise ValueError("onnx_latency: no event to time")
    X, mask = np.asarray(X, dtype=np.float32), np.asarray(mask, dtype=bool)
    session, times = _session(path), np.empty(n_events)
    events = [{"X": X[i : i + 1], "mask": mask[i : i + 1]} for i in range(len(X))]
    for i in range(-(n_events // 10), n_events):
        event = events[i % len(events)]
        start = time.perf_counter()
        session.run(None, event)
        times[i] = time.perf_counter() - start
    median, last = 1e3 * np.percentile(times, (50, 99))
    return {"median": float(median), "p99": float(last)}


def _session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(
        os.fspath(path), options, providers=["CPUExecutionProvider"]
    )


@contextlib.contextmanager
def _quiet():
    """Without the exporter's progress and its remarks on packages that are not needed."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
