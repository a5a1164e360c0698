"""What every notebook in the source tree must keep to."""

import json
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PARAMETERS = ["preset", "seed", "data", "mixture", "overlay", "training"]
MAX_LINES = 12
MIN_WORDS_PER_LINE = 5
WIDTH = 79  # what a page shows of a code cell at 1300 pixels

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def code_lines(cell):
    lines = [line.strip() for line in "".join(cell["source"]).splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def test_the_book_shows_every_notebook():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    shown = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert [name for name in shown if name.startswith("notebooks/")] == [
        f"notebooks/{path.stem}" for path in NOTEBOOKS
    ]
    missing = [name for name in shown if not list(ROOT.glob(f"{name}.*"))]
    assert not missing, f"in _toc.yml, but no such page: {missing}"


@each_notebook
def test_no_outputs_are_committed(path):
    for number, cell in enumerate(cells(path, "code"), start=1):
        assert not cell["outputs"], f"code cell {number} has outputs: run `nbstripout {path}`"
        assert cell["execution_count"] is None


@each_notebook
def test_runs_in_any_python3_kernel(path):
    kernel = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
    assert kernel["name"] == "python3"


@each_notebook
def test_parameters_come_first(path):
    first = cells(path, "code")[0]
    assert first["metadata"].get("tags") == ["parameters"]
    scope = {}
    exec("".join(first["source"]), scope)
    assert [name for name in scope if not name.startswith("__")] == PARAMETERS
    assert scope["preset"] == "quick"


@each_notebook
def test_cells_fit_the_eye(path):
    long = {
        number: len(code_lines(cell))
        for number, cell in enumerate(cells(path, "code"), start=1)
        if len(code_lines(cell)) > MAX_LINES
    }
    assert not long, f"code cells with more than {MAX_LINES} lines: {long}"


@each_notebook
def test_lines_fit_the_page(path):
    lines = [line for cell in cells(path, "code") for line in "".join(cell["source"]).splitlines()]
    assert not [line for line in lines if len(line) > WIDTH]


@each_notebook
def test_prose_carries_the_page(path):
    text = " ".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    words = len(re.findall(r"[^\W\d_]{2,}", text))
    lines = sum(len(code_lines(cell)) for cell in cells(path, "code"))
    assert words >= MIN_WORDS_PER_LINE * lines, f"{words} words for {lines} lines of code"


@each_notebook
def test_helpers_are_imported(path):
    for number, cell in enumerate(cells(path, "code"), start=1):
        defined = re.findall(r"^(?:def|class) (\w+)", "".join(cell["source"]), re.M)
        assert not defined, f"code cell {number} defines {defined}: put it in hepgmm and import it"


@each_notebook
def test_title_is_the_only_one(path):
    text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
    titles = re.findall(r"^# .+", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    assert len(titles) == 1
    assert text.startswith(titles[0])
