"""What commands print, and how they name the culprit."""

from __future__ import annotations

from contextlib import contextmanager

from hepgmm.io.atomic import write_json

__all__ = ["naming", "show"]


def show(table, path=None):
    """Print a flat table of figures, one a line, with their floors; write it to a path, if any."""
    from hepgmm.statistics import format_measurement

    rows = [(name, format_measurement(figure)) for name, figure in table.items()]
    if all(isinstance(figure, dict) and "floor" in figure for figure in table.values()):
        floors = [f"{figure['floor']:.4g}" for figure in table.values()]
        rows = [("", "value", "floor"), *((*row, x) for row, x in zip(rows, floors, strict=True))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())
    if path:
        write_json(path, table)


@contextmanager
def naming(*paths):
    """Put the files that the events are from before an error about the events."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{', '.join(map(str, paths))}: {error}") from error
