"""Has a generator learnt events by heart? Distances to the events that it was trained on."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from hepgmm.statistics import bootstrap_error

__all__ = ["nearest_ratio"]


def nearest_ratio(training, real, synthetic, *, seed, n_bootstrap: int = 50) -> dict:
    """How near synthetic events come to training events, against fresh real ones.

    The distance of two events is Euclidean, each feature in units of its standard deviation over
    the fresh real events. The ratio is that of the median distances to the nearest training event,
    synthetic over fresh: 1 for events that know no more of the training sample than fresh ones do,
    0 for copies.

    Parameters
    ----------
    training, real, synthetic : array, shape (n, d)
        Features of events, as ``hepgmm.validate.event_features`` gives them.
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
        If fresh real events are all training events, so that there is nothing to compare with.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> training, real, other = rng.normal(size=(3, 200, 2))
    >>> nearest_ratio(training, real, training, seed=1)["value"]
    0.0
    >>> 0.5 < nearest_ratio(training, real, other, seed=1)["value"] < 2
    True
    """
    scale = np.std(real, axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    tree = cKDTree(training / scale)
    distances = np.concatenate([tree.query(x / scale)[0] for x in (real, synthetic)])
    n_real = len(real)

    def statistic(weights):
        rows = np.repeat(np.arange(len(distances)), weights.astype(int))
        fresh, made = (np.median(distances[rows[side]]) for side in (rows < n_real, rows >= n_real))
        return made / fresh

    if np.median(distances[:n_real]) == 0:
        raise ValueError("real: most of these events are training events; give fresh ones")
    value = statistic(np.ones(len(distances)))
    error = bootstrap_error(statistic, len(distances), n_bootstrap=n_bootstrap, seed=seed)
    return {"value": float(value), "error": float(error)}
