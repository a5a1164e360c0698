"""The book: run the notebooks with the parameters of a preset, then render the pages."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hepgmm.analysis.presets import load_preset, preset_files
from hepgmm.analysis.stages import CURES
from hepgmm.io.atomic import write_json
from hepgmm.io.cache import code_fingerprint, digest, project_root

__all__ = ["build_book", "build_html", "execute_notebooks"]

EXECUTED = Path("_build") / "executed"
_STARTERS = {"__init__", "book", "cli"}


def build_book(preset="quick", *, root=None, only=None, force=False, strict=True, progress=True):
    """Run the main job and the notebooks at a preset, and build the pages.

    What has been computed with the same parameters and the same code is not computed again.

    Parameters
    ----------
    preset : str
        ``"quick"``, ``"standard"``, ``"paper"`` or the path of a YAML file.
    root : path, optional
        The folder of ``_config.yml``; the checkout that the package is imported from by default.
    only, force, progress
        See `execute_notebooks`.
    strict : bool
        See `build_html`.

    Returns
    -------
    Path
        The first page, ``_build/html/index.html``.
    """
    from hepgmm.analysis.analysis import Analysis

    root = _book_root(root)
    analysis = Analysis(preset)
    analysis.results()
    # What the notebooks alone read: made here, it leaves no progress bar on their pages.
    analysis.minbias_pool()
    analysis.minbias_test()
    for cure in CURES:
        analysis.synthetic(cure)
    execute_notebooks(preset, root=root, only=only, force=force, progress=progress)
    return build_html(root, strict=strict)


def execute_notebooks(preset="quick", *, root=None, only=None, force=False, progress=True):
    """Run ``notebooks/*.ipynb`` in order with the parameters of a preset.

    The executed notebooks are written to ``_build/executed/``; those in ``notebooks/`` stay as they
    are. A notebook is skipped if its cells, the parameters and the code of the package are what
    they were when it was last executed.

    Parameters
    ----------
    preset : str
        ``"quick"``, ``"standard"``, ``"paper"`` or the path of a YAML file.
    root : path, optional
        The folder of ``_config.yml``; the checkout that the package is imported from by default.
    only : iterable of str, optional
        Run only these notebooks, each named by the beginning of its file name (``"03"``).
    force : bool
        Run also what has not changed.
    progress : bool
        Print a line for each notebook.

    Returns
    -------
    list of Path
        The notebooks that were run now.

    Raises
    ------
    FileNotFoundError
        If there is no such book, preset or notebook; the message names those that there are.
    RuntimeError
        If a cell fails. The first line names the notebook, the cell and the error; the traceback
        follows.
    """
    root = _book_root(root)
    parameters = _parameters(preset)
    code = _package_fingerprint()
    say = partial(print, flush=True) if progress else lambda line: None
    done = []
    notebooks = _notebooks(root, only)
    for number, notebook in enumerate(notebooks, start=1):
        target = root / EXECUTED / notebook.name
        record = target.with_suffix(".json")
        fingerprint = digest([_cells(notebook), parameters, code])
        label = f"notebook {number}/{len(notebooks)} {notebook.stem}"
        if not force and target.is_file() and _recorded(record) == fingerprint:
            say(f"{label}: unchanged")
            continue
        say(f"{label}: running")
        start = time.perf_counter()
        _execute(notebook, target, parameters)
        seconds = round(time.perf_counter() - start, 1)
        write_json(record, {"fingerprint": fingerprint, "preset": preset, "seconds": seconds})
        say(f"{label}: {seconds:.0f} s")
        done.append(target)
    return done


def build_html(root=None, *, strict=True):
    """Render the pages with Jupyter Book, from the executed notebooks where there are any.

    Parameters
    ----------
    root : path, optional
        The folder of ``_config.yml``; the checkout that the package is imported from by default.
    strict : bool
        Unresolved references count as warnings, and any warning as a failure.

    Returns
    -------
    Path
        The first page, ``_build/html/index.html``.

    Raises
    ------
    RuntimeError
        If a page cannot be built, or is built with a warning while `strict`.
    """
    root = _book_root(root)
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build"]
    flags = ["-W", "-n", "--keep-going"] if strict else []
    finished = subprocess.run([*command, *flags, "--quiet", str(root)])
    if finished.returncode:
        raise RuntimeError("the pages were not built cleanly: the warnings are above")
    return root / "_build" / "html" / "index.html"


def _book_root(root):
    root = Path(root or project_root() or ".").resolve()
    if not (root / "_config.yml").is_file():
        raise FileNotFoundError(f"{root}: no _config.yml; the book is built in a checkout")
    return root


def _parameters(preset):
    # a preset of the user's own is named by a path, which the notebooks read from another folder
    named = preset in preset_files() or not Path(preset).is_file()
    name = preset if named else str(Path(preset).resolve())
    return {**load_preset(name), "preset": name}


def _notebooks(root, only):
    notebooks = sorted((root / "notebooks").glob("*.ipynb"))
    if only is None:
        return notebooks
    chosen = []
    for name in only:
        matching = [path for path in notebooks if path.name.startswith(name)]
        if not matching:
            known = ", ".join(path.stem for path in notebooks)
            raise FileNotFoundError(f"no notebook begins with {name!r}: there are {known}")
        chosen += matching
    return sorted(set(chosen))


def _cells(notebook):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [[cell["cell_type"], "".join(cell["source"]), cell["metadata"]] for cell in cells]


def _package_fingerprint():
    # this module and the command line only start the notebooks: they change nothing in them
    package = Path(__file__).resolve().parent
    names = (path.relative_to(package).with_suffix("").parts for path in package.rglob("*.py"))
    return code_fingerprint(*(".".join(name) for name in names if name[0] not in _STARTERS))


def _recorded(record):
    try:
        return json.loads(record.read_text(encoding="utf-8"))["fingerprint"]
    except (OSError, ValueError, KeyError):
        return None


def _execute(notebook, target, parameters):
    import papermill

    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(".unfinished.ipynb")
    try:
        with _own_kernel():
            papermill.execute_notebook(
                str(notebook),
                str(unfinished),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(notebook.parent),
                progress_bar=False,
                extra_arguments=["--IPKernelApp.log_level=ERROR"],
            )
    except papermill.PapermillExecutionError as error:
        reason = f"{error.ename}: {error.evalue}".splitlines()[0]
        raise RuntimeError(
            f"notebooks/{notebook.name} failed in cell {error.cell_index + 1}: {reason}\n"
            f"{error}\nAs far as it got: {unfinished}"
        ) from None
    os.replace(unfinished, target)


@contextmanager
def _own_kernel():
    """Let Jupyter find this environment's python3 kernel before any other of the same name."""
    before = os.environ.get("JUPYTER_PATH")
    own = os.path.join(sys.prefix, "share", "jupyter")
    os.environ["JUPYTER_PATH"] = own if before is None else os.pathsep.join([own, before])
    try:
        yield
    finally:
        if before is None:
            del os.environ["JUPYTER_PATH"]
        else:
            os.environ["JUPYTER_PATH"] = before
