"""What an event is: a list of tracks, their features and units, and flat columns of them."""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np

__all__ = [
    "FEATURES",
    "UNITS",
    "accept",
    "check_events",
    "check_structure",
    "flatten",
    "make_events",
    "to_columns",
    "wrap",
]

#: Features of a track, in the order of every array's last axis.
FEATURES = ("pt", "eta", "phi", "d0", "dz")
#: Unit of each feature.
UNITS = {"pt": "GeV", "eta": "", "phi": "rad", "d0": "mm", "dz": "mm"}


def make_events(columns: Mapping, counts, *, provenance: dict | None = None) -> ak.Array:
    """Events from flat columns and the number of tracks of each event.

    Parameters
    ----------
    columns
        Feature → values of all tracks, ``(n_tracks,)``, event after event.
    counts
        Number of tracks of each event, ``(n_events,)``.
    provenance
        How the events came about; kept in ``events.attrs["provenance"]``.

    Returns
    -------
    awkward.Array
        ``n_events * var * Track[pt, eta, phi, d0, dz]``, float32.

    Raises
    ------
    ValueError
        If a column is missing or its length isn't the sum of ``counts``.

    Examples
    --------
    >>> events = make_events({name: [1.0, 2.0, 3.0] for name in FEATURES}, [2, 0, 1])
    >>> events.pt.tolist()
    [[1.0, 2.0], [], [3.0]]
    """
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
    contents = []
    for name in FEATURES:
        if name not in columns:
            raise ValueError(f"no column {name!r}: events need {', '.join(FEATURES)}")
        values = np.ascontiguousarray(columns[name], dtype=np.float32)
        if len(values) != offsets[-1]:
            raise ValueError(
                f"column {name!r} has {len(values)} values, but the counts add up to {offsets[-1]}"
            )
        contents.append(ak.contents.NumpyArray(values))
    tracks = ak.contents.RecordArray(contents, FEATURES, parameters={"__record__": "Track"})
    layout = ak.contents.ListOffsetArray(ak.index.Index64(offsets), tracks)
    return ak.Array(layout, attrs={"provenance": provenance} if provenance else None)


def to_columns(events: ak.Array) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Flat columns of all tracks and the offsets of the events; undoes :func:`make_events`.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.

    Returns
    -------
    columns : dict
        Feature → ``(n_tracks,)``, in the type that the events have.
    offsets : numpy.ndarray
        int64 ``(n_events + 1,)``: event i owns the tracks ``offsets[i]:offsets[i + 1]``.

    Raises
    ------
    ValueError
        If ``events`` isn't an array of lists of tracks with all features.

    Examples
    --------
    >>> events = make_events({name: [1.0, 2.0, 3.0] for name in FEATURES}, [2, 0, 1])
    >>> to_columns(events)[1].tolist()
    [0, 2, 2, 3]
    """
    check_structure(events)
    counts = ak.to_numpy(ak.num(events, axis=1))
    tracks = ak.flatten(events, axis=1)
    columns = {name: np.asarray(tracks[name]) for name in FEATURES}
    return columns, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def flatten(events: ak.Array) -> tuple[np.ndarray, np.ndarray]:
    """All tracks as one matrix, with the offsets of the events.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.

    Returns
    -------
    points : numpy.ndarray
        float64 ``(n_tracks, 5)`` in the order of ``FEATURES``.
    offsets : numpy.ndarray
        int64 ``(n_events + 1,)``.

    Raises
    ------
    ValueError
        If ``events`` isn't an array of lists of tracks with all features.

    Examples
    --------
    >>> points, offsets = flatten(make_events({name: [1.0, 2.0] for name in FEATURES}, [2]))
    >>> points.shape, offsets.tolist()
    ((2, 5), [0, 2])
    """
    columns, offsets = to_columns(events)
    return np.column_stack([columns[name].astype(np.float64) for name in FEATURES]), offsets


def check_structure(events, *, name: str = "events") -> None:
    """Refuse what isn't an awkward array of lists of tracks with all features.

    Raises
    ------
    ValueError
        One line that says what is missing.
    """
    if not isinstance(events, ak.Array) or events.ndim != 2 or not events.fields:
        kind = events.type if isinstance(events, ak.Array) else type(events).__name__
        raise ValueError(f"{name}: expected an awkward array of lists of tracks, got {kind}")
    missing = [feature for feature in FEATURES if feature not in events.fields]
    if missing:
        raise ValueError(
            f"{name}: no field {', '.join(missing)}; tracks need {', '.join(FEATURES)}"
        )


def check_events(events, *, name: str = "events", min_events: int = 1) -> None:
    """Refuse events that can't be used.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.
    name
        What to call them in the message, for example the file.
    min_events
        The smallest acceptable number of events.

    Raises
    ------
    ValueError
        For a missing field, a NaN or infinite value, a negative pT or too few events: one line
        that names the field, the event and the value.

    Examples
    --------
    >>> bad = make_events({**{name: [0.0] for name in FEATURES}, "pt": [-1.0]}, [1])
    >>> check_events(bad)
    Traceback (most recent call last):
    ValueError: events: pt of event 0 is -1.0 GeV; pT must not be negative
    """
    check_structure(events, name=name)
    if len(events) < min_events:
        raise ValueError(f"{name}: {len(events)} events, but at least {min_events} are needed")
    if any("?" in str(events[feature].type) for feature in FEATURES):
        raise ValueError(f"{name}: missing values (None); give every track all features")
    columns, offsets = to_columns(events)
    for feature, values in columns.items():
        bad = ~np.isfinite(values)
        if feature == "pt":
            bad |= values < 0
        if bad.any():
            track = int(np.argmax(bad))
            event = int(np.searchsorted(offsets, track, side="right")) - 1
            value = f"{feature} of event {event} is {float(values[track])}"
            if np.isfinite(values[track]):
                raise ValueError(f"{name}: {value} GeV; pT must not be negative")
            raise ValueError(f"{name}: {value}; every value must be finite")


def accept(events: ak.Array, *, pt_min: float = 0.5, abs_eta_max: float = 4.5) -> ak.Array:
    """Keep the tracks that a detector accepts; events without any stay, empty.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.
    pt_min
        Tracks need pT above this, in GeV.
    abs_eta_max
        Tracks need abs(eta) below this.

    Returns
    -------
    awkward.Array
        As many events, with the accepted tracks.

    Examples
    --------
    >>> events = make_events({name: [0.1, 2.0] for name in FEATURES}, [2])
    >>> accept(events).pt.tolist()
    [[2.0]]
    """
    check_structure(events)
    return events[(events.pt > pt_min) & (abs(events.eta) < abs_eta_max)]


def ranges(counts: np.ndarray) -> np.ndarray:
    """0, 1, ..., count - 1 for each count in turn."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


def wrap(phi):
    """Azimuths in rad, brought to between -π and π."""
    return phi - 2 * np.pi * np.rint(phi / (2 * np.pi))
