"""What events and their tracks are like: the features that are compared, measured once."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepgmm.collide.detector import smear
from hepgmm.events import accept, flatten, make_events, to_columns

__all__ = [
    "EVENT_FEATURES",
    "TRACK_FEATURES",
    "Measured",
    "Pair",
    "as_measured",
    "event_features",
    "numbered_sources",
    "track_features",
]

TRACK_FEATURES = ("log_pt", "eta", "asinh_d0", "asinh_dz")
"""log(pT / GeV), η, asinh(d0 / 10 µm) and asinh(dz / 10 µm) of a track."""

EVENT_FEATURES = (
    "n_tracks",
    "n_accepted",
    "log_sum_pt",
    "recoil",
    *(f"{how}_{what}" for what in TRACK_FEATURES for how in ("mean", "spread", "min", "max")),
    "fraction_d0_10um",
    "fraction_d0_1mm",
    "fraction_dz_10um",
    "fraction_dz_1mm",
)
"""Number of tracks, of those with pT > 0.5 GeV and |η| < 4.5, log(1 + ΣpT / GeV), |ΣpT vector|² /
ΣpT² (1 on average for independent tracks), mean, spread, least and largest of every track feature,
and the fractions of tracks with |d0| or |dz| beyond 10 µm and 1 mm. Without tracks all are 0."""

_SCALE = 0.01


def track_features(events):
    """:data:`TRACK_FEATURES`, shape (n_tracks, 4), and the number of each track's event."""
    points, offsets = flatten(events)
    pt, eta, _, d0, dz = points.T
    log_pt = np.log(np.maximum(pt, np.finfo(np.float32).tiny))
    features = np.stack([log_pt, eta, np.arcsinh(d0 / _SCALE), np.arcsinh(dz / _SCALE)], axis=1)
    return features, np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))


def event_features(events):
    """Numbers that summarise each event.

    Parameters
    ----------
    events : awkward array of Track records

    Returns
    -------
    features : array, shape (n_events, len(EVENT_FEATURES))
    names : tuple of str
        :data:`EVENT_FEATURES`.

    Examples
    --------
    >>> from hepgmm.events import make_events
    >>> columns = {name: [1.0, 2.0, 3.0] for name in ("pt", "eta", "phi", "d0", "dz")}
    >>> features, names = event_features(make_events(columns, [2, 0, 1]))
    >>> features[:, names.index("n_tracks")].tolist()
    [2.0, 0.0, 1.0]
    """
    points, offsets = flatten(events)
    tracks, event = track_features(events)
    pt, eta, phi, d0, dz = points.T
    counts = np.diff(offsets)
    filled = np.flatnonzero(counts)

    def total(x):
        return np.bincount(event, weights=x, minlength=len(counts))

    def mean(x):
        return total(x) / np.maximum(counts, 1)

    def extreme(ufunc, x):
        values = np.zeros(len(counts))
        values[filled] = ufunc.reduceat(x, offsets[:-1][filled]) if len(filled) else 0.0
        return values

    recoil = total(pt * np.cos(phi)) ** 2 + total(pt * np.sin(phi)) ** 2
    columns = [
        counts,
        total((pt > 0.5) & (np.abs(eta) < 4.5)),
        np.log1p(total(pt)),
        recoil / np.maximum(total(pt**2), np.finfo(float).tiny),
    ]
    for x in tracks.T:
        average = mean(x)
        spread = np.sqrt(mean((x - average[event]) ** 2))
        columns += [average, spread, extreme(np.minimum, x), extreme(np.maximum, x)]
    columns += [mean(np.abs(d) > cut) for d in (d0, dz) for cut in (_SCALE, 1.0)]
    return np.stack(columns, axis=1), EVENT_FEATURES


class Measured(NamedTuple):
    """Events with what they are compared by, computed once.

    Attributes
    ----------
    events : awkward array of Track records
    summaries, accepted, smeared : array, shape (n_events, len(EVENT_FEATURES))
        Features of events: of all their tracks, of the accepted ones alone, and of these as a
        simple detector would measure them.
    points : array, shape (n_tracks, 5)
        Columns as in ``hepgmm.events.FEATURES``.
    tracks : array, shape (n_tracks, len(TRACK_FEATURES))
    event : array of int, shape (n_tracks,)
        Number of the event of each track.
    """

    events: ak.Array
    summaries: np.ndarray
    accepted: np.ndarray
    smeared: np.ndarray
    points: np.ndarray
    tracks: np.ndarray
    event: np.ndarray

    @classmethod
    def of(cls, events, *, seed) -> Measured:
        """Events with all their features; the seed is that of the detector's errors."""
        accepted = accept(events)
        kinds = events, accepted, as_measured(accepted, seed=seed)
        features = (event_features(some)[0] for some in kinds)
        return cls(events, *features, flatten(events)[0], *track_features(events))

    def part(self, index) -> Measured:
        """Some of the events, without computing anything again."""
        number = np.full(len(self.events), -1)
        number[index] = np.arange(len(index))
        event = number[self.event]
        kept = event >= 0
        columns = (x[kept] for x in (self.points, self.tracks, event))
        kinds = (features[index] for features in self[1:4])
        return Measured(self.events[index], *kinds, *columns)

    def named(self, kind) -> dict:
        """Columns of ``summaries`` or ``accepted`` by name."""
        return dict(zip(EVENT_FEATURES, getattr(self, kind).T, strict=True))

    def per_event(self, values):
        """Sum of values of tracks over each event."""
        return np.bincount(self.event, weights=values, minlength=len(self.events))


def as_measured(events, *, seed):
    """Events with d0 and dz as a simple detector measures them.

    In the truth of a simulation many tracks have d0 and dz of exactly 0, which every smooth density
    lacks and no detector would see.
    """
    columns, offsets = to_columns(events)
    measured = smear(*(columns[x] for x in ("pt", "d0", "dz")), detector="simple", seed=seed)
    columns["d0"], columns["dz"] = measured
    return make_events(columns, np.diff(offsets))


class Pair(NamedTuple):
    """Two samples that are compared.

    Attributes
    ----------
    real, synthetic : Measured
    source : array of int, shape (n_synthetic,)
        What synthetic events have in common, so that a split keeps them together: 0, 1, 2 ...
    template : array of int, shape (n_synthetic,)
        What fluctuates by itself: 0, 1, 2 ...; events of one template are of one source.
    """

    real: Measured
    synthetic: Measured
    source: np.ndarray
    template: np.ndarray

    @property
    def is_synthetic(self):
        """Which events of both samples are synthetic."""
        return np.repeat([False, True], [len(self.real.events), len(self.synthetic.events)])

    @property
    def kept_together(self):
        """What a split keeps together: a real event, or all synthetic events of one source."""
        return self._after_real(self.source)

    @property
    def unit(self):
        """What fluctuates by itself: a real event, or all synthetic events of one template."""
        return self._after_real(self.template)

    def _after_real(self, number):
        n_real = len(self.real.events)
        return np.concatenate([np.arange(n_real), n_real + number])

    @property
    def event(self):
        """Number of the event of each track of both samples."""
        return np.concatenate([self.real.event, self.synthetic.event + len(self.real.events)])

    def scaled(self, kind):
        """One kind of features, or ``tracks``, of both, by their real standard deviation."""
        real, synthetic = getattr(self.real, kind), getattr(self.synthetic, kind)
        std = real.std(axis=0)
        return np.concatenate([real, synthetic]) / np.where(std > 0, std, 1.0)


def numbered_sources(sources, n_events):
    """Columns of sources, shape (n_events,) or (n_events, k), each numbered 0, 1, 2 and so on."""
    sources = np.asarray(sources)
    if sources.ndim not in (1, 2) or len(sources) != n_events or sources.dtype.kind not in "iu":
        raise ValueError(
            f"sources: expected {n_events} integers, one for each synthetic event, "
            f"got {sources.dtype} of shape {sources.shape}"
        )
    sources = sources.reshape(n_events, -1)
    if sources.min() < 0:
        event = int(np.argmin(sources.min(axis=1)))
        least = sources[event].min()
        raise ValueError(f"sources: that of event {event} is {least}; give 0 or more")
    columns = [np.unique(column, return_inverse=True)[1] for column in sources.T]
    for coarse, fine in pairwise(columns):
        if len(np.unique(np.stack([coarse, fine]), axis=1).T) > fine.max() + 1:
            raise ValueError("sources: a number in one column has two in the column before it")
    return columns
