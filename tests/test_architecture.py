"""Data flows one way: a module imports only from its own row and from rows above."""

import ast
import re
from collections import Counter
from pathlib import Path

import hepgmm
from hepgmm.io.cache import import_closure

PACKAGE = Path(hepgmm.__file__).parent
ROWS = [
    {"cores", "statistics", "events"},
    {"io"},
    {"training"},
    {"collide"},
    {"mixture"},
    {"pileup"},
    {"validate"},
    {"crossings"},
    {"classify"},
    {"plots"},
    {"analysis"},
    {"measure"},
    {"book", "cli"},
]
ROW = {module: number for number, row in enumerate(ROWS) for module in row}


def imported(tree):
    """First names below ``hepgmm`` that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "hepgmm":
            yield from (alias.name for alias in node.names if alias.name in ROW)
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("hepgmm."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
            yield from (name[1] for name in names if name[0] == "hepgmm" and len(name) > 1)


def test_every_module_has_a_row():
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py"}
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert modules | packages == {*ROW, "__init__"}


def test_no_module_imports_from_below():
    upward = []
    for path in PACKAGE.rglob("*.py"):
        name = path.relative_to(PACKAGE).with_suffix("").parts[0]
        if name != "__init__":
            others = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
            upward += [f"{path.name} <- {other}" for other in others if ROW[other] > ROW[name]]
    assert not upward


def test_the_layout_in_contributing_is_the_one_that_is_tested():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| (`.+?) \|", text, re.M)
    assert [set(re.findall(r"`(\w+)`", row)) for row in table] == ROWS


def test_one_word_is_one_thing():
    """No two modules share a name, nor two public classes; plots are named after the chapters."""
    paths = [path for path in PACKAGE.rglob("*.py") if path.stem != "__init__"]
    modules = Counter(path.stem for path in paths if path.parent.name != "plots")
    classes = Counter(
        node.name
        for path in paths
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert not [name for name, times in (modules + classes).items() if times > 1]


def test_few_modules_lie_loose():
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_a_generator_reaches_few_files():
    assert len(import_closure("pileup.hierarchical")) + len({"cores", "io.atomic"}) <= 15


def test_kernels_say_what_they_speed_up():
    for path in (*PACKAGE.rglob("*_kernels.py"), PACKAGE / "classify" / "fast.py"):
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]
        assert "`" in first, path.name
