"""Which events a generator is trained on."""

from __future__ import annotations

from numbers import Integral

import awkward as ak
import numpy as np

from hepgmm.events import check_events

__all__ = ["MIN_EVENTS", "find_training_events"]

#: The fewest events that a fit takes.
MIN_EVENTS = 10


def find_training_events(events, *, min_tracks) -> np.ndarray:
    """Mark the events that have enough tracks to be trained on.

    Parameters
    ----------
    events
        Events as :func:`hepgmm.generate` gives them.
    min_tracks
        Events with fewer tracks are left out; a whole number of at least 1.

    Returns
    -------
    numpy.ndarray
        bool ``(n_events,)``.

    Raises
    ------
    ValueError
        For bad events, a bad ``min_tracks``, or fewer than 10 events with ``min_tracks`` tracks.

    Examples
    --------
    >>> from hepgmm.events import FEATURES, make_events
    >>> events = make_events({name: [1.0] * 32 for name in FEATURES}, [2] + 10 * [3])
    >>> int(find_training_events(events, min_tracks=3).sum())
    10
    >>> find_training_events(events, min_tracks=4)
    Traceback (most recent call last):
    ValueError: events: a fit needs at least 10 events with at least 4 tracks, got 0
    """
    if not isinstance(min_tracks, Integral) or min_tracks < 1:
        raise ValueError(f"min_tracks = {min_tracks!r}: give a whole number of at least 1")
    check_events(events)
    kept = ak.to_numpy(ak.num(events)) >= min_tracks
    if kept.sum() < MIN_EVENTS:
        raise ValueError(
            f"events: a fit needs at least {MIN_EVENTS} events with at least {min_tracks} tracks, "
            f"got {kept.sum()}"
        )
    return kept
