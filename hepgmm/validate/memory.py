"""Has a generator learnt events by heart? Distances to the events that it was trained on."""

from __future__ import annotations

import awkward as ak
import numpy as np
from scipy.spatial import cKDTree

from hepgmm.statistics import bootstrap_error
from hepgmm.validate.correlations import DISPLACED

__all__ = ["azimuth_features", "nearest_ratio"]

#: Waves around the beam that describe where the prompt tracks of an event are.
WAVES = np.arange(1, 9)


def azimuth_features(events):
    """Where the prompt tracks of events are around the beam, whichever way the event is turned.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    array, shape (n_events, 9)
        √n of the n tracks with abs(d0) < 0.1 mm, and abs(Σ exp(imφ)) / √n over them for m = 1 to 8,
        of order one for tracks that know nothing of each other; zeros without such tracks.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> columns = {name: [0.0] * 4 for name in FEATURES} | {"pt": [1.0] * 4}
    >>> columns["phi"] = [0.0, np.pi / 2, np.pi, -np.pi / 2]
    >>> azimuth_features(make_events(columns, [4])).round(3) + 0.0
    array([[2., 0., 0., 0., 2., 0., 0., 0., 2.]])
    """
    prompt = events[abs(events.d0) < DISPLACED]
    counts = ak.to_numpy(ak.num(prompt))
    event, phi = np.repeat(np.arange(len(counts)), counts), ak.to_numpy(ak.flatten(prompt.phi))
    root = np.sqrt(np.maximum(counts, 1))
    waves = np.empty((len(counts), len(WAVES)))
    for column, m in enumerate(WAVES):
        sums = [
            np.bincount(event, weights=wave(m * phi), minlength=len(counts))
            for wave in (np.cos, np.sin)
        ]
        waves[:, column] = np.hypot(*sums) / root
    return np.column_stack([np.sqrt(counts), waves])


def nearest_ratio(training, real, synthetic, *, sources=None, seed, n_bootstrap: int = 50) -> dict:
    """How near synthetic events come to training events, against fresh real ones.

    The distance of two events is Euclidean, each feature in units of its standard deviation over
    the fresh real events. The ratio is that of the median distances to the nearest training event,
    synthetic over fresh: 1 for events that know no more of the training sample than fresh ones do,
    0 for copies.

    Parameters
    ----------
    training, real, synthetic : array, shape (n, d)
        Features of events, as ``hepgmm.validate.event_features`` or
        ``hepgmm.validate.azimuth_features`` gives them.
    sources : array of int, shape (n_synthetic,), optional
        Synthetic events with the same number fluctuate together: 0, 1, 2 and so on.
    seed
        Anything that ``numpy.random.default_rng`` takes.
    n_bootstrap
        Bootstrap samples of the fresh and the synthetic events for the error.

    Returns
    -------
    dict
        ``{"value": ..., "error": ...}``

    Raises
    ------
    ValueError
        If a sample is empty, has other features or a value that isn't finite, or if fresh real
        events are training events, so that there is nothing to compare with.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> training, real, other = rng.normal(size=(3, 200, 2))
    >>> nearest_ratio(training, real, training, seed=1)["value"]
    0.0
    >>> 0.5 < nearest_ratio(training, real, other, seed=1)["value"] < 2
    True
    """
    for name, sample in {"training": training, "real": real, "synthetic": synthetic}.items():
        shape = np.shape(sample)
        if len(shape) != 2 or not shape[0] or shape[1] != np.shape(real)[-1]:
            raise ValueError(f"{name}: expected rows of the real sample's features, got {shape}")
        if not np.isfinite(sample).all():
            row = int(np.argmin(np.isfinite(sample).all(axis=1)))
            raise ValueError(f"{name}: row {row} holds a NaN or infinite value")
    scale = np.std(real, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    tree = cKDTree(training / scale)
    distances = np.concatenate([tree.query(x / scale)[0] for x in (real, synthetic)])
    n_real = len(real)

    unit = np.arange(len(distances))
    if sources is not None:
        unit[n_real:] = n_real + sources

    def statistic(weights):
        rows = np.repeat(np.arange(len(distances)), weights[unit].astype(int))
        fresh, made = (np.median(distances[rows[side]]) for side in (rows < n_real, rows >= n_real))
        return made / fresh

    if np.median(distances[:n_real]) == 0:
        raise ValueError("real: most of these events are training events; give fresh ones")
    n_units = unit.max() + 1
    value = statistic(np.ones(n_units))
    error = bootstrap_error(statistic, n_units, n_bootstrap=n_bootstrap, seed=seed)
    return {"value": float(value), "error": float(error)}
