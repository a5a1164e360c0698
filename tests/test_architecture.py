"""Data flows one way: a module imports only from its own row and from rows above."""

import ast
from pathlib import Path

import hepgmm

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
    {"book", "arguments", "commands", "cli"},
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
