"""Events as clouds of tracks that a network can read, and back."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np

from hepgmm.pileup.drawing import track_features
from hepgmm.pileup.training import find_training_events
from hepgmm.tracks import flatten, make_events

__all__ = ["Clouds", "check_settings", "make_clouds", "read_clouds", "standardisation"]

#: Unit of the asinh of d0 and dz in mm: tracks displaced by less are as good as prompt.
UNIT = 1e-5


class Clouds(NamedTuple):
    """Tracks of all events, one event after the other.

    Attributes
    ----------
    features
        ``(N, 4)``: log pT (pT in GeV), eta, asinh(d0 / 10 nm), asinh(dz / 10 nm).
    displaced
        bool ``(N,)``: False for prompt tracks, whose d0 and dz are both exactly 0.
    phi
        ``(N,)``, in rad.
    counts
        Tracks of every event, int ``(n_events,)``.
    """

    features: np.ndarray
    displaced: np.ndarray
    phi: np.ndarray
    counts: np.ndarray

    def mirrored(self) -> Clouds:
        """Return the same events seen in a mirror across the beam: eta → −eta, dz → −dz."""
        return self._replace(features=self.features * [1.0, -1.0, 1.0, -1.0])


def read_clouds(events, *, min_tracks) -> Clouds:
    """Tracks of the events that a generator learns from.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out.

    Returns
    -------
    Clouds

    Raises
    ------
    ValueError
        For bad events, or fewer than 10 of them with ``min_tracks`` tracks.

    Examples
    --------
    >>> columns = {name: [0.0, 1.0] * 15 for name in ("eta", "phi", "d0", "dz")}
    >>> events = make_events(columns | {"pt": [1.0] * 30}, [3] * 10)
    >>> clouds = read_clouds(events, min_tracks=3)
    >>> clouds.features.shape, clouds.displaced[:3].tolist()
    ((30, 4), [False, True, False])
    """
    kept = events[find_training_events(events, min_tracks=min_tracks)]
    features, offsets = track_features(events, min_tracks=min_tracks)
    displaced = (features[:, 2:] != 0).any(axis=1)
    features[:, 2:] = np.arcsinh(features[:, 2:] / UNIT)
    return Clouds(features, displaced, flatten(kept)[0][:, 2], np.diff(offsets))


def make_clouds(clouds: Clouds, model, *, seed):
    """Events of synthetic clouds; undoes ``read_clouds``.

    Parameters
    ----------
    clouds
        The tracks; d0 and dz of those that aren't displaced become 0 exactly.
    model
        A generator: the features are kept within its ``range_``, pT within its ``pt_limits``.
    seed
        To be noted in the events' provenance.

    Returns
    -------
    awkward.Array
        ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32; GeV, rad, mm.
    """
    log_pt, eta, d0, dz = np.clip(clouds.features, *model.range_).T
    columns = {
        "pt": np.clip(np.exp(log_pt), *model.pt_limits),
        "eta": eta,
        "phi": np.mod(clouds.phi + np.pi, 2 * np.pi) - np.pi,
        "d0": np.where(clouds.displaced, np.sinh(d0) * UNIT, 0.0),
        "dz": np.where(clouds.displaced, np.sinh(dz) * UNIT, 0.0),
    }
    about = {"process": "minbias", "generator": type(model).__name__, "seed": str(seed)}
    return make_events(columns, clouds.counts, provenance=about)


def standardisation(values):
    """Mean and standard deviation of every column, ``(2, d)``; 1 where a column is constant."""
    scale = values.std(axis=0)
    return np.stack([values.mean(axis=0), np.where(scale > 0, scale, 1.0)])


def check_settings(model, *sizes) -> None:
    """Refuse settings of a deep generator that can't be; ``sizes`` are names of whole numbers.

    Raises
    ------
    ValueError
        One line that names the setting and its value.
    """
    low, high = model.pt_limits
    checks = [
        *(
            (isinstance(size, Integral) and size >= 1, f"{name} = {size!r}: give 1 or more")
            for name in ("epochs", "batch_size", *sizes)
            for size in (getattr(model, name),)
        ),
        (model.learning_rate > 0, f"learning_rate = {model.learning_rate}: give more than 0"),
        (model.min_tracks >= 2, f"min_tracks = {model.min_tracks}: give at least 2"),
        (0 < low < high <= 1e15, f"pt_limits = {low, high}: give 0 < low < high <= 1e15 GeV"),
    ]
    for good, message in checks:
        if not good:
            raise ValueError(message)
