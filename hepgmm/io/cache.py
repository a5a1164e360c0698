"""Where computed stages are kept, and the digests that name them."""

from __future__ import annotations

import ast
import fcntl
import functools
import hashlib
import json
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hepgmm.io.atomic import atomic_write

__all__ = [
    "Store",
    "cache_folder",
    "code_fingerprint",
    "digest",
    "import_closure",
    "project_root",
]

#: Modules that decide no outcome, only how fast it comes and how it is kept.
OUTCOME_FREE = ("cores", "io.atomic", "io.cache")
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
def code_fingerprint(*modules: str) -> str:
    """Digest of the code of modules and of all that they import, blind to comments and docstrings.

    A YAML file that lies beside a module under the same name is part of it.

    Parameters
    ----------
    *modules
        Names within ``hepgmm``: ``"collide.pythia"``.

    Returns
    -------
    str
        Changes when a statement of the code changes.

    Raises
    ------
    FileNotFoundError
        If ``hepgmm`` has no such module.

    Examples
    --------
    >>> code_fingerprint("mixture.small") == code_fingerprint("mixture.small", "events")
    False
    """
    return digest([_module(name)[0] for name in import_closure(*modules)])


def import_closure(*modules: str) -> list[str]:
    """Modules of ``hepgmm`` and all those that they import, within functions too, in order.

    Left out is what moves bytes or divides work (``OUTCOME_FREE``).

    Examples
    --------
    >>> import_closure("collide.perigee")
    ['collide.perigee']
    """
    found, waiting = set(), list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found and name not in OUTCOME_FREE:
            found.add(name)
            waiting += _module(name)[1]
    return sorted(found)


@functools.cache
def _module(name):
    """Statements of a module as text, with its table, and the modules that it imports."""
    base = Path(__file__).resolve().parents[1]
    file = base.joinpath(*name.split("."))
    file = file / "__init__.py" if file.is_dir() else file.with_name(f"{file.name}.py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imports = []
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node):
            node.body = node.body[1:]
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("hepgmm."):
            origin = node.module.removeprefix("hepgmm.")
            within = [f"{origin}.{alias.name}" for alias in node.names]
            imports += [
                origin,
                *(m for m in within if (base / f"{m.replace('.', '/')}.py").is_file()),
            ]
    table = file.with_suffix(".yaml")
    return ast.dump(tree) + (table.read_text(encoding="utf-8") if table.is_file() else ""), imports


def project_root() -> Path | None:
    """The checkout that the package is imported from, or None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
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


class Store:
    """Files of a folder, each made once and by one process; others that ask for it wait."""

    def __init__(self, cache: Path):
        self.cache = cache
        self._kept: dict[Path, Any] = {}
        self._nested = 0.0  # seconds spent on the files that the one being made asked for

    def _say(self, what: str) -> None:
        """Told what is made, before it is."""

    def _get(self, path: Path, what: str, make, load):
        """What ``load(path)`` gives; ``make(path)`` comes first when there is no file.

        Beside the file lies how long it took: what ``make`` returns [s], or else what its run took
        without the files that it asked for.
        """
        if path not in self._kept:
            if not path.exists():
                with _alone(path):
                    if not path.exists():
                        self._say(what)
                        self._make(path, make)
            self._kept[path] = load(path)
        return self._kept[path]

    def _make(self, path, make):
        start, outer, self._nested = time.perf_counter(), self._nested, 0.0
        seconds = make(path)
        elapsed = time.perf_counter() - start
        with atomic_write(path.with_suffix(".seconds")) as temporary:
            temporary.write_text(f"{elapsed - self._nested if seconds is None else seconds:.2f}")
        self._nested = outer + elapsed


@contextmanager
def _alone(path):
    """Hold the lock of a file, in ``locks/`` beside it; the lock falls with the process."""
    folder = path.parent / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / path.name, "ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"waiting for another process that makes {path.name}"
            print(message, file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks: two processes may make the same file
        yield
