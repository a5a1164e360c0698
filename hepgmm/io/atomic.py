"""Write files so that a reader never meets half of one."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = [
    "atomic_write",
    "write_json",
]


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside ``path`` that takes its place when the block succeeds.

    When the block raises (Ctrl-C included), the temporary file is removed and whatever stood at
    ``path`` before is untouched. A killed process leaves the temporary file, which the next one
    that writes ``path`` uses again. Two processes may write the same ``path`` at the same time: it
    is whole at any moment, and the last one to finish decides.

    Parameters
    ----------
    path
        The file to write; its folder is made when missing.

    Yields
    ------
    pathlib.Path
        The temporary path, with the suffix of ``path``, since many writers choose the format by
        it. The file is there already, and locked: write to it, rather than rename another onto it.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with atomic_write(Path(folder) / "answer.txt") as temporary:
    ...     _ = temporary.write_text("42")
    >>> os.listdir(folder)
    ['answer.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.part{path.suffix}")
    with open(temporary, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # False if its last owner has just renamed it to ``path``.
            ours = os.path.samestat(os.fstat(file.fileno()), os.stat(temporary))
        except OSError:
            ours = False
        if ours:
            file.truncate(0)
        else:
            # Another process is writing ``path``, or the file system knows no locks.
            temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex}.part{path.suffix}")
        try:
            yield temporary
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: str | os.PathLike, values: Any) -> bool:
    """Write values as JSON, unless the file holds exactly them already.

    A file that does not change keeps its time, so that what depends on it is not made again.

    Parameters
    ----------
    path
        The file to write; its folder is made when missing.
    values
        Whatever JSON can hold.

    Returns
    -------
    bool
        Whether the file was written.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "figures.json"
    >>> write_json(path, {"auc": 0.75}), write_json(path, {"auc": 0.75})
    (True, False)
    >>> path.read_text()
    '{\\n "auc": 0.75\\n}\\n'
    """
    content = (json.dumps(values, indent=1) + "\n").encode("utf-8")
    path = Path(path)
    if path.is_file() and path.read_bytes() == content:
        return False
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return True
