"""Tracks on disk, in the detector's acceptance, and in a classifier's matrix."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np

from hepgmm.events import (
    FEATURES,
    UNITS,
    check_events,
    check_structure,
    flatten,
    make_events,
    to_columns,
)
from hepgmm.io_utils import atomic_write

__all__ = [
    "FEATURES",
    "UNITS",
    "accept",
    "check_events",
    "flatten",
    "load_tracks",
    "make_events",
    "save_tracks",
    "select",
    "to_columns",
]

#: Column of which collision a track is of.
TRUTH = "collision"


def save_tracks(path, events: ak.Array, *, truth: ak.Array | None = None) -> None:
    """Write events to a parquet file, with units and provenance in its metadata.

    The file has one row an event and one list column a feature. It appears under its name only
    when it is whole.

    Parameters
    ----------
    path
        File to write.
    events
        Events as :func:`make_events` gives them.
    truth
        Which collision each track is of, as :func:`hepgmm.overlay` gives it: a further column,
        ``collision``, 0 for the hard one.

    Raises
    ------
    ValueError
        If the events fail :func:`check_events` (an empty sample may be written), or the truth is
        of other numbers of tracks.

    Examples
    --------
    >>> import tempfile
    >>> events = make_events({name: [1.0, 2.0] for name in FEATURES}, [2])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_tracks(f"{folder}/events.parquet", events)
    ...     load_tracks(f"{folder}/events.parquet").pt.tolist()
    [[1.0, 2.0]]
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_events(events, name="events to save", min_events=0)
    columns, offsets = to_columns(events)
    fields, arrays = [], []
    for feature, values in columns.items():
        values = pa.array(values.astype(np.float32, copy=False))
        arrays.append(pa.LargeListArray.from_arrays(pa.array(offsets), values))
        fields.append(pa.field(feature, arrays[-1].type, metadata={"unit": UNITS[feature]}))
    if truth is not None:
        if not ak.array_equal(ak.num(truth), ak.num(events.pt)):
            raise ValueError(f"{path}: truth has other numbers of tracks than the events")
        values = pa.array(ak.to_numpy(ak.flatten(truth)).astype(np.int32))
        arrays.append(pa.LargeListArray.from_arrays(pa.array(offsets), values))
        fields.append(pa.field(TRUTH, arrays[-1].type))
    about = {"units": UNITS, "provenance": events.attrs.get("provenance", {})}
    schema = pa.schema(fields, metadata={"hepgmm": json.dumps(about)})
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(arrays, schema=schema), temporary, compression="zstd")


def load_tracks(path, *, return_truth: bool = False):
    """Read events that :func:`save_tracks` wrote (or any parquet file with such columns).

    Parameters
    ----------
    path
        A parquet file with the list columns ``pt``, ``eta``, ``phi``, ``d0``, ``dz``.
    return_truth
        Whether to return which collision each track is of, too, from the column ``collision``.

    Returns
    -------
    events : awkward.Array
        Events as :func:`make_events` gives them, with ``attrs["provenance"]``.
    truth : awkward.Array or None
        ``n * var * int32``, as :func:`hepgmm.overlay` gives it, only with ``return_truth``; None if
        the file does not say it.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is truncated, lacks a column, or holds impossible values or no event.

    Examples
    --------
    >>> load_tracks("nowhere.parquet")
    Traceback (most recent call last):
    FileNotFoundError: nowhere.parquet: no such file
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        # Names only first: a missing column is told apart from a damaged file.
        schema = pq.read_schema(path)
        missing = [feature for feature in FEATURES if feature not in schema.names]
        if missing:
            raise ValueError(
                f"{path}: no column {', '.join(missing)}; a track file has {', '.join(FEATURES)}"
            )
        has_truth = return_truth and TRUTH in schema.names
        table = pq.read_table(path, columns=[*FEATURES, TRUTH][: 5 + has_truth]).combine_chunks()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a whole parquet file; write it again") from error
    columns, counts = {}, {}
    for feature in FEATURES:
        lists = ak.from_arrow(table[feature])
        nested = lists.ndim == 2 and not ak.any(ak.is_none(lists))
        values = ak.to_numpy(ak.flatten(ak.fill_none(lists, np.nan))) if nested else np.array("")
        if values.dtype.kind not in "iuf":
            raise ValueError(f"{path}: {feature} must hold one list of numbers an event")
        columns[feature], counts[feature] = values, ak.to_numpy(ak.num(lists))
        if not np.array_equal(counts[feature], counts["pt"]):
            raise ValueError(f"{path}: {feature} and pt have different numbers of tracks")
    try:
        about = json.loads((schema.metadata or {}).get(b"hepgmm", b"{}"))
        provenance = dict(about.get("provenance") or {})
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{path}: its hepgmm metadata is damaged; write it again") from None
    events = make_events(columns, counts["pt"], provenance=provenance)
    check_events(events, name=str(path))
    if not return_truth:
        return events
    return events, _read_truth(path, table[TRUTH], counts["pt"]) if has_truth else None


def _read_truth(path, column, counts):
    """Which collision each track is of, from a column of a parquet file."""
    lists = ak.from_arrow(column)
    nested = lists.ndim == 2 and not ak.any(ak.is_none(lists))
    flat = ak.flatten(lists) if nested else ak.Array([None])
    values = ak.to_numpy(ak.drop_none(flat))
    if len(values) < len(flat) or values.dtype.kind not in "iu":
        raise ValueError(f"{path}: {TRUTH} must hold one list of integers an event")
    if not np.array_equal(ak.to_numpy(ak.num(lists)), counts):
        raise ValueError(f"{path}: {TRUTH} and pt have different numbers of tracks")
    return ak.unflatten(values.astype(np.int32), counts)


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


def select(
    events: ak.Array,
    *,
    pt_min: float = 0.5,
    abs_eta_max: float = 4.5,
    max_tracks: int = 80,
    absolute_pt: bool = False,
    truth: ak.Array | None = None,
    return_index: bool = False,
):
    """Padded matrices of the hardest accepted tracks: what a classifier reads.

    Tracks with pT > ``pt_min`` and abs(eta) < ``abs_eta_max`` are kept, events without any are
    dropped, pT is divided by the event's sum over its accepted tracks, tracks are sorted by
    falling pT, and the ``max_tracks`` hardest are kept.

    Parameters
    ----------
    events
        Events as :func:`make_events` gives them.
    pt_min
        In GeV.
    abs_eta_max
        Largest abs(eta).
    max_tracks
        Length of the padded axis.
    absolute_pt
        Whether to add pT in GeV as a sixth column.
    truth
        Which collision each track is of, as :func:`hepgmm.overlay` gives it.
    return_index
        Whether to return the numbers of the kept events too.

    Returns
    -------
    X : numpy.ndarray
        float32 ``(n_kept, max_tracks, 5)``, or 6, in the order of ``FEATURES``; pT relative, eta,
        phi in rad, d0 and dz in mm; zeros where there is no track.
    mask : numpy.ndarray
        bool ``(n_kept, max_tracks)``, True where there is a track.
    hard : numpy.ndarray
        bool ``(n_kept, max_tracks)``, True where the track is of the hard collision; only with
        ``truth``.
    index : numpy.ndarray
        int64 ``(n_kept,)``, only with ``return_index``.

    Raises
    ------
    ValueError
        For bad events (see :func:`check_events`), a truth of other numbers of tracks, or
        ``max_tracks`` below 1.

    Examples
    --------
    >>> events = make_events({name: [1.0, 3.0, 0.1] for name in FEATURES}, [2, 1])
    >>> X, mask = select(events, max_tracks=4)
    >>> X.shape, X[0, :, 0].tolist(), mask.sum()
    ((1, 4, 5), [0.75, 0.25, 0.0, 0.0], np.int64(2))
    """
    if max_tracks < 1:
        raise ValueError(f"max_tracks = {max_tracks}: give at least 1")
    check_events(events, min_events=0)
    columns, offsets = to_columns(events)
    event = np.repeat(np.arange(len(events)), np.diff(offsets))
    accepted = np.flatnonzero((columns["pt"] > pt_min) & (np.abs(columns["eta"]) < abs_eta_max))
    # Sorted by event, and by falling pT within it; equal pT keep their order.
    order = accepted[np.lexsort((-columns["pt"][accepted], event[accepted]))]
    counts = np.bincount(event[accepted], minlength=len(events))
    index = np.flatnonzero(counts)
    row = np.repeat(np.arange(len(index)), counts[index])
    first = np.cumsum(counts[index]) - counts[index]
    rank = np.arange(len(order)) - first[row]
    pt = columns["pt"][order].astype(np.float64)
    total = np.bincount(row, weights=pt, minlength=len(index))
    kept = rank < max_tracks
    row, rank, order = row[kept], rank[kept], order[kept]
    X = np.zeros((len(index), max_tracks, len(FEATURES) + absolute_pt), dtype=np.float32)
    mask = np.zeros((len(index), max_tracks), dtype=bool)
    for position, feature in enumerate(FEATURES):
        X[row, rank, position] = columns[feature][order]
    X[row, rank, 0] = pt[kept] / total[row]
    if absolute_pt:
        X[row, rank, -1] = pt[kept]
    mask[row, rank] = True
    selected = [X, mask]
    if truth is not None:
        if not ak.array_equal(ak.num(truth), ak.num(events.pt)):
            raise ValueError("truth: other numbers of tracks than the events")
        hard = np.zeros_like(mask)
        hard[row, rank] = ak.to_numpy(ak.flatten(truth))[order] == 0
        selected.append(hard)
    return (*selected, index) if return_index else tuple(selected)
