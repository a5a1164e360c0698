"""Times of several ways to do one thing, measured in turns in one run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping

import numpy as np

__all__ = ["cold_start", "in_turns", "ratio", "summary"]


def in_turns(tasks: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds that each task takes, the tasks one after another, as often as asked for.

    What slows the machine down for a while slows all tasks of a turn, so that ratios within a
    turn hold. Every turn begins with another task. Compile and warm up before.

    Parameters
    ----------
    tasks
        Name → function without arguments.
    repeats
        Turns.

    Returns
    -------
    dict
        Name → seconds, ``(repeats,)``.

    Examples
    --------
    >>> times = in_turns({"sum": lambda: sum(range(9)), "nothing": lambda: None}, 3)
    >>> list(times), times["sum"].shape
    (['sum', 'nothing'], (3,))
    """
    seconds, names = {name: np.empty(repeats) for name in tasks}, list(tasks)
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            tasks[name]()
            seconds[name][turn] = time.perf_counter() - start
    return seconds


def cold_start(statement: str, setup: str) -> float:
    """Seconds that a statement takes the first time ever: with nothing compiled before.

    Parameters
    ----------
    statement
        What is measured, in Python.
    setup
        What comes before: imports and data.

    Examples
    --------
    >>> cold_start("sum(range(9))", "import math") >= 0
    True
    """
    script = f"import time\n{setup}\nt = time.perf_counter()\n{statement}\n"
    script += "print(time.perf_counter() - t)"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"NUMBA_CACHE_DIR": folder},
            capture_output=True,
            text=True,
            check=True,
        )
    return float(done.stdout)


def summary(values) -> dict[str, float]:
    """Median of repeated measurements, with half their range as its error.

    Examples
    --------
    >>> summary([1.0, 2.0, 4.0])
    {'value': 2.0, 'error': 1.5}
    """
    return {"value": float(np.median(values)), "error": float(np.ptp(values) / 2)}


def ratio(slow, fast) -> dict[str, float]:
    """How many times faster, turn by turn: the median of the ratios.

    Examples
    --------
    >>> ratio(np.array([2.0, 4.0, 6.0]), np.array([1.0, 1.0, 1.0]))
    {'value': 4.0, 'error': 2.0}
    """
    return summary(np.asarray(slow) / np.asarray(fast))
