"""Arguments and output of commands: a bad argument ends in one line, before any work is done."""

from __future__ import annotations

import argparse
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hepgmm.io.atomic import write_json

__all__ = [
    "Parser",
    "add_output",
    "add_preset",
    "add_seed",
    "count",
    "naming",
    "output_file",
    "show",
]


class Parser(argparse.ArgumentParser):
    """A parser that ends in one line on stderr and exit code 2, without its usage.

    Examples
    --------
    >>> Parser(prog="hepgmm").parse_args(["--sed", "1"])
    Traceback (most recent call last):
    SystemExit: 2
    """

    def error(self, message):
        """Exit with the message alone."""
        self.exit(2, f"{self.prog}: {message}\n")


def count(text: str, *, low: int = 1) -> int:
    """Type of an argument: a whole number of at least ``low``.

    Examples
    --------
    >>> count("3")
    3
    >>> count("-1", low=0)
    Traceback (most recent call last):
    argparse.ArgumentTypeError: '-1' is not a whole number of at least 0
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
    return value


def output_file(text: str, *, suffix: str) -> Path:
    """Type of an argument: a file to write, which can be written as far as one can tell.

    A command whose output has another suffix than its inputs cannot replace one of them.

    Examples
    --------
    >>> output_file("models/hgmm.npz", suffix=".npz").name
    'hgmm.npz'
    >>> output_file("hgmm.pkl", suffix=".npz")
    Traceback (most recent call last):
    argparse.ArgumentTypeError: hgmm.pkl: the name must end in .npz
    """
    path = Path(text)
    # os.path, since Path raises for what may not be looked at
    folder = next(p for p in path.absolute().parents if os.path.exists(p))
    for bad, reason in (
        (path.suffix != suffix, f"the name must end in {suffix}"),
        (os.path.isdir(path), "it is a folder; give the name of a file"),
        (not os.path.isdir(folder), f"{folder} is a file; give a name in a folder"),
        (not os.access(folder, os.W_OK | os.X_OK), f"{folder} may not be written to"),
    ):
        if bad:
            raise argparse.ArgumentTypeError(f"{text}: {reason}")
    return path


def add_seed(command: argparse.ArgumentParser) -> None:
    """Add ``--seed``, 1 by default.

    Examples
    --------
    >>> parser = Parser()
    >>> add_seed(parser)
    >>> parser.parse_args(["-s", "7"]).seed
    7
    """
    command.add_argument(
        "-s", "--seed", type=partial(count, low=0), default=1, help="random seed (default 1)"
    )


def add_output(
    command: argparse.ArgumentParser, suffix: str, what: str, *, required: bool = True
) -> None:
    """Add ``--output``, an :func:`output_file`, with ``what`` as its help.

    Examples
    --------
    >>> parser = Parser()
    >>> add_output(parser, ".json", "also write JSON", required=False)
    >>> parser.parse_args([]).output is None
    True
    """
    command.add_argument(
        "-o",
        "--output",
        type=partial(output_file, suffix=suffix),
        required=required,
        metavar="FILE",
        help=f"{what} ({suffix})",
    )


def add_preset(command: argparse.ArgumentParser, *, default: str = "quick") -> None:
    """Add ``--preset``.

    Examples
    --------
    >>> parser = Parser()
    >>> add_preset(parser)
    >>> parser.parse_args([]).preset
    'quick'
    """
    command.add_argument(
        "-p",
        "--preset",
        default=default,
        help=f"quick, standard, paper, or a YAML file (default {default})",
    )


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
