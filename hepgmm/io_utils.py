"""Write files so that a reader never meets half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["atomic_write"]


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    The temporary name keeps the suffix of ``path``, since many writers choose the format by it.
    When the block raises (Ctrl-C included), the temporary file is removed and whatever stood
    at ``path`` before is untouched.

    Parameters
    ----------
    path
        The file to write; its folder is made when missing.

    Yields
    ------
    pathlib.Path
        The temporary path to write to.

    Examples
    --------
    >>> folder = tempfile.mkdtemp()
    >>> with atomic_write(Path(folder) / "answer.txt") as temporary:
    ...     _ = temporary.write_text("42")
    >>> os.listdir(folder)
    ['answer.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    # Temporary files are private; a result is as readable as any other file of its owner.
    umask = os.umask(0)
    os.umask(umask)
    try:
        yield temporary
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
