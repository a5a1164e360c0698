"""Where computed stages are kept, and the digests that name them."""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

__all__ = ["alone", "cache_folder", "code_fingerprint", "digest", "project_root", "usable_cores"]


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def digest(value: Any, n_digits: int = 12) -> str:
    """Hexadecimal digits, the first of its SHA-256, that name a JSON-like value.

    Examples
    --------
    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:n_digits]


@functools.cache
def code_fingerprint(name: str) -> str:
    """Digest of the code of a module or subpackage of ``hepgmm``, blind to comments and docstrings.

    A YAML file of the same name, or in the subpackage, is part of it.

    Parameters
    ----------
    name
        ``"tracks"`` or ``"mixture"``.

    Returns
    -------
    str
        Changes when a statement of the code changes.

    Raises
    ------
    FileNotFoundError
        If ``hepgmm`` has no such module.
    """
    base = Path(__file__).resolve().parent / name
    files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
    tables = sorted(base.rglob("*.yaml")) if base.is_dir() else [base.with_suffix(".yaml")]
    trees = [file.read_text(encoding="utf-8") for file in tables if file.is_file()]
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, _DOCUMENTED) and ast.get_docstring(node):
                node.body = node.body[1:]
        trees.append(ast.dump(tree))
    return digest(trees)


def project_root() -> Path | None:
    """The checkout that the package is imported from, or None for an installed wheel."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "params").is_dir() and (root / "pyproject.toml").is_file() else None


def cache_folder() -> Path:
    """Where stages are kept: ``$HEPGMM_CACHE``, else ``_cache/`` of the checkout or of the user.

    Returns
    -------
    pathlib.Path
        The folder; it need not exist yet.
    """
    if os.environ.get("HEPGMM_CACHE"):
        return Path(os.environ["HEPGMM_CACHE"])
    root = project_root()
    return root / "_cache" if root else Path.home() / ".cache" / "hepgmm"


@contextmanager
def alone(path: Path):
    """Make a file of the cache while no other process does; one that wants to waits, and says so.

    The lock lies in ``locks/`` beside the file, and falls with the process that holds it.

    Parameters
    ----------
    path
        The file; look once more, inside, whether it is there by now.
    """
    folder = path.parent / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / path.name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"waiting for another process that makes {path.name}", file=sys.stderr, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def usable_cores() -> int:
    """How many cores this process may use, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
