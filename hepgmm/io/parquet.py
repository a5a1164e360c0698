"""Tracks on disk: parquet files with units and provenance."""

from __future__ import annotations

import json
from pathlib import Path

import awkward as ak
import numpy as np

from hepgmm.events import (
    FEATURES,
    UNITS,
    check_events,
    make_events,
    to_columns,
)
from hepgmm.io.atomic import atomic_write

__all__ = [
    "load_tracks",
    "save_tracks",
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
