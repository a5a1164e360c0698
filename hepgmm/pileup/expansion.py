"""Points drawn in log pT, eta, asinh d0 and asinh dz as tracks."""

from __future__ import annotations

import math

import numpy as np

from hepgmm.pileup.drawing import ASINH_LIMIT, ASINH_UNIT

__all__ = ["expand"]

#: pT is kept between these, in GeV.
PT_LIMITS = (1e-6, 6500.0)
LOG_PT_LIMITS = tuple(math.log(limit) for limit in PT_LIMITS)


def expand(points) -> dict[str, np.ndarray]:
    """Columns of tracks; undoes ``track_features`` with ``features="asinh"``.

    Parameters
    ----------
    points
        ``(N, 4)``: log pT (pT in GeV), η, asinh(d0 / 10 µm), asinh(dz / 10 µm). However far out
        they are, pT is kept within 1e-6 and 6500 GeV, and abs(d0) and abs(dz) below 1e5 mm.

    Returns
    -------
    dict
        pt, eta, d0 and dz, ``(N,)`` of the type of the points; in GeV and mm.

    Examples
    --------
    >>> {name: value.tolist() for name, value in expand(np.zeros((1, 4))).items()}
    {'pt': [1.0], 'eta': [0.0], 'd0': [0.0], 'dz': [0.0]}
    """
    log_pt, eta, *asinhs = np.asarray(points).T
    # The exponential of a limit's rounded logarithm can miss the limit by its last digits.
    pt = np.clip(np.exp(np.clip(log_pt, *LOG_PT_LIMITS)), *PT_LIMITS)
    d0, dz = (ASINH_UNIT * np.sinh(np.clip(x, -ASINH_LIMIT, ASINH_LIMIT)) for x in asinhs)
    return {"pt": pt, "eta": eta, "d0": d0, "dz": dz}
