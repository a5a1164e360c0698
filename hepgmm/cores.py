"""How work is divided among cores: it changes the speed, never what comes out."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

__all__ = ["in_threads", "one_thread", "usable_cores"]


def usable_cores() -> int:
    """How many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(run: Callable, n_tasks: int, workers: int) -> list:
    """Call ``run`` in every thread with an iterator of tasks; returns what the calls return."""
    # All threads take their next task from one iterator, whose steps hold the interpreter's lock.
    tasks, workers = iter(range(n_tasks)), max(1, min(workers, n_tasks))
    if workers == 1:
        return [run(tasks)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, [tasks] * workers))


@contextmanager
def one_thread():
    """Neither BLAS nor torch uses more than one thread."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
