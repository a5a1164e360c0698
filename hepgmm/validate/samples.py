"""Samples of events with their features, one and two at a time."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import awkward as ak
import numpy as np

from hepgmm.tracks import FEATURES, accept, flatten, make_events, to_columns
from hepgmm.validate.features import EVENT_FEATURES, event_features, track_features

__all__ = ["RESOLUTION", "Pair", "Sample", "numbered_sources", "smear"]

#: Standard deviations in mm of the errors of d0 and dz in a pixel detector, for tracks of some GeV.
RESOLUTION = {"d0": 0.03, "dz": 0.06}


class Sample(NamedTuple):
    """Events with what they are compared by, computed once.

    Attributes
    ----------
    events : awkward array of Track records
    summaries, accepted, smeared : array, shape (n_events, len(EVENT_FEATURES))
        Features of events: of all their tracks, of the accepted ones alone, and of these as a
        detector of ``RESOLUTION`` would measure them.
    points : array, shape (n_tracks, 5)
        Columns as in ``hepgmm.tracks.FEATURES``.
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
    def of(cls, events, *, seed) -> Sample:
        """Events with all their features; the seed is that of the detector's errors."""
        accepted = accept(events)
        kinds = events, accepted, smear(accepted, seed=seed)
        features = (event_features(some)[0] for some in kinds)
        return cls(events, *features, flatten(events)[0], *track_features(events))

    def part(self, index) -> Sample:
        """Some of the events, without computing anything again."""
        number = np.full(len(self.events), -1)
        number[index] = np.arange(len(index))
        event = number[self.event]
        kept = event >= 0
        columns = (x[kept] for x in (self.points, self.tracks, event))
        kinds = (features[index] for features in self[1:4])
        return Sample(self.events[index], *kinds, *columns)

    def named(self, kind) -> dict:
        """Columns of ``summaries`` or ``accepted`` by name."""
        return dict(zip(EVENT_FEATURES, getattr(self, kind).T, strict=True))

    def per_event(self, values):
        """Sum of values of tracks over each event."""
        return np.bincount(self.event, weights=values, minlength=len(self.events))


def smear(events, *, seed):
    """Events with d0 and dz as a detector would measure them: Gaussian errors of ``RESOLUTION``.

    In the truth of a simulation many tracks have d0 and dz of exactly 0, which every smooth density
    lacks and no detector would see.

    Parameters
    ----------
    events : awkward array of Track records
    seed
        Anything that ``numpy.random.default_rng`` takes.

    Returns
    -------
    awkward array of Track records

    Examples
    --------
    >>> events = make_events({name: [1.0] * 4 for name in FEATURES}, [3, 1])
    >>> bool((smear(events, seed=1).d0 != events.d0)[0, 0]), smear(events, seed=1).pt.tolist()
    (True, [[1.0, 1.0, 1.0], [1.0]])
    """
    columns, offsets = to_columns(events)
    rng = np.random.default_rng(seed)
    for name, width in RESOLUTION.items():
        columns[name] = columns[name] + width * rng.standard_normal(len(columns[name]))
    return make_events({name: columns[name] for name in FEATURES}, np.diff(offsets))


class Pair(NamedTuple):
    """Two samples that are compared.

    Attributes
    ----------
    real, synthetic : Sample
    source : array of int, shape (n_synthetic,)
        What synthetic events have in common, so that a split keeps them together: 0, 1, 2 ...
    template : array of int, shape (n_synthetic,)
        What fluctuates by itself: 0, 1, 2 ...; events of one template are of one source.
    """

    real: Sample
    synthetic: Sample
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
    """Columns of sources, each numbered 0, 1, 2 and so on.

    Parameters
    ----------
    sources : array of int, shape (n_events,) or (n_events, k)
        What each event was made from; the last column the finest.
    n_events : int

    Returns
    -------
    list of array of int, shape (n_events,)

    Raises
    ------
    ValueError
        If there is another number of sources, or one that isn't a whole number of 0 or more, or if
        a finer one belongs to two coarser ones.

    Examples
    --------
    >>> [column.tolist() for column in numbered_sources(np.array([[5, 7], [2, 3], [5, 8]]), 3)]
    [[1, 0, 1], [1, 0, 2]]
    """
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
