"""Classifiers as ONNX files, as triggers and frameworks without Python run them; their latency."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
import warnings

import numpy as np
import torch

from hepgmm.io_utils import atomic_write

__all__ = ["export_onnx", "onnx_latency", "onnx_logits"]

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
    """Logits of an ONNX file that :func:`export_onnx` wrote, through onnxruntime on one core.

    Parameters
    ----------
    path : str or Path
    X : array, shape (n, max_tracks, columns)
    mask : array, bool, shape (n, max_tracks)

    Returns
    -------
    array, float32, shape (n,)
    """
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
