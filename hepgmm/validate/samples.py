"""Samples of events with their features, one and two at a time."""

from __future__ import annotations

from typing import NamedTuple

import awkward as ak
import numpy as np

from hepgmm.tracks import accept, flatten
from hepgmm.validate.features import EVENT_FEATURES, event_features, track_features

__all__ = ["Pair", "Sample"]


class Sample(NamedTuple):
    """Events with what they are compared by, computed once.

    Attributes
    ----------
    events : awkward array of Track records
    summaries, accepted : array, shape (n_events, len(EVENT_FEATURES))
        Features of events, of all their tracks and of the accepted ones alone.
    points : array, shape (n_tracks, 5)
        Columns as in ``hepgmm.tracks.FEATURES``.
    tracks : array, shape (n_tracks, len(TRACK_FEATURES))
    event : array of int, shape (n_tracks,)
        Number of the event of each track.
    """

    events: ak.Array
    summaries: np.ndarray
    accepted: np.ndarray
    points: np.ndarray
    tracks: np.ndarray
    event: np.ndarray

    @classmethod
    def of(cls, events) -> Sample:
        """Events with all their features."""
        summaries, accepted = (event_features(some)[0] for some in (events, accept(events)))
        return cls(events, summaries, accepted, flatten(events)[0], *track_features(events))

    def part(self, index) -> Sample:
        """Some of the events, without computing anything again."""
        number = np.full(len(self.events), -1)
        number[index] = np.arange(len(index))
        event = number[self.event]
        kept = event >= 0
        columns = (x[kept] for x in (self.points, self.tracks, event))
        return Sample(self.events[index], self.summaries[index], self.accepted[index], *columns)

    def named(self, kind) -> dict:
        """Columns of ``summaries`` or ``accepted`` by name."""
        return dict(zip(EVENT_FEATURES, getattr(self, kind).T, strict=True))

    def per_event(self, values):
        """Sum of values of tracks over each event."""
        return np.bincount(self.event, weights=values, minlength=len(self.events))


class Pair(NamedTuple):
    """Two samples that are compared.

    Attributes
    ----------
    real, synthetic : Sample
    source : array of int, shape (n_synthetic,)
        What each synthetic event was made from: 0, 1, 2 and so on.
    """

    real: Sample
    synthetic: Sample
    source: np.ndarray

    @property
    def is_synthetic(self):
        """Which events of both samples are synthetic."""
        return np.repeat([False, True], [len(self.real.events), len(self.synthetic.events)])

    @property
    def unit(self):
        """What fluctuates by itself: a real event, or all synthetic events of one source."""
        n_real = len(self.real.events)
        return np.concatenate([np.arange(n_real), n_real + self.source])

    @property
    def event(self):
        """Number of the event of each track of both samples."""
        return np.concatenate([self.real.event, self.synthetic.event + len(self.real.events)])

    def scaled(self, kind):
        """``summaries``, ``accepted`` or ``tracks`` of both, by their real standard deviation."""
        real, synthetic = getattr(self.real, kind), getattr(self.synthetic, kind)
        std = real.std(axis=0)
        return np.concatenate([real, synthetic]) / np.where(std > 0, std, 1.0)
