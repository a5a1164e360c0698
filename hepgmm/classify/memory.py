"""Memory that one batch leaves to the next."""

from __future__ import annotations

import ctypes
import os
from contextlib import contextmanager

__all__ = ["kept_memory"]

#: Numbers of the parameters in glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: Largest block that glibc takes from what it holds, and what it would hold at most by itself.
LARGEST_BLOCK, USUAL = 32 << 20, 64 << 20
#: What it may hold while a network trains.
HELD = 1 << 30


@contextmanager
def kept_memory():
    """Keep up to 1 GiB of freed memory for the next batch, instead of giving it back.

    Forward and backward of a batch take and free the same few hundred blocks of megabytes. By
    itself glibc's ``malloc`` gives them back to the system as soon as they are free, and gets them
    again filled with zeros, page by page, which takes a third of the time of a small network. Where
    there is no such ``malloc`` (macOS, musl), nothing is changed.

    Examples
    --------
    >>> with kept_memory():
    ...     blocks = [bytearray(1 << 20) for _ in range(8)]
    """
    malloc = ctypes.CDLL(None) if os.name == "posix" else None
    if not (hasattr(malloc, "mallopt") and hasattr(malloc, "malloc_trim")):
        yield
        return
    malloc.mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
    malloc.mallopt(M_TRIM_THRESHOLD, HELD)
    try:
        yield
    finally:
        malloc.mallopt(M_TRIM_THRESHOLD, USUAL)
        malloc.malloc_trim(0)
