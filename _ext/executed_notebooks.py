"""Read notebooks as the last run left them, and tell how long each took.

The notebooks of the source tree hold no outputs. Where ``hepgmm book`` has executed one into
``_build/executed/``, that version is rendered in its place; where it has not, the page shows the
code alone, so that ``jupyter-book build .`` works at any time.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from hepgmm.book import EXECUTED

__all__ = ["NotebookTable", "swap_in", "tidy"]


def tidy(notebook):
    """Drop the cell of default parameters where a run injected others, and fold those away."""
    tags = [cell["metadata"].get("tags", []) for cell in notebook["cells"]]
    if any("injected-parameters" in each for each in tags):
        notebook["cells"] = [
            cell
            for cell, each in zip(notebook["cells"], tags, strict=True)
            if "parameters" not in each
        ]
    for cell in notebook["cells"]:
        each = cell["metadata"].setdefault("tags", [])
        if "injected-parameters" in each and "hide-input" not in each:
            each.append("hide-input")
    return notebook


def swap_in(app, docname, source):
    """Replace the text of a notebook by that of its executed version (event source-read)."""
    if not app.env.doc2path(docname).endswith(".ipynb"):
        return
    executed = Path(app.srcdir) / EXECUTED / f"{Path(docname).name}.ipynb"
    # noted also when it is not there yet: the page is read again as soon as it is
    app.env.note_dependency(str(executed))
    if executed.is_file():
        source[0] = json.dumps(tidy(json.loads(executed.read_text(encoding="utf-8"))))


class NotebookTable(SphinxDirective):
    """A table of the notebooks: the preset of the last run and how long each took."""

    has_content = False

    def run(self):
        folder = Path(self.env.srcdir) / EXECUTED
        rows = []
        for path in sorted((Path(self.env.srcdir) / "notebooks").glob("*.ipynb")):
            record = folder / f"{path.stem}.json"
            self.env.note_dependency(str(record))
            run = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
            seconds = f"{run['seconds']:.0f} s" if run else "not yet run"
            rows.append([path.stem, run.get("preset", ""), seconds])
        return [table(["Notebook", "Preset", "Time"], rows)]


def table(header, rows):
    """Build a docutils table of plain strings."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    head, body = nodes.thead(), nodes.tbody()
    for part, lines in ((head, [header]), (body, rows)):
        for line in lines:
            row = nodes.row()
            row += [nodes.entry("", nodes.paragraph(text=text)) for text in line]
            part += row
    group += [head, body]
    whole = nodes.table(classes=["hepgmm-table"])
    whole += group
    return whole


def setup(app):
    """Connect to Sphinx."""
    app.connect("source-read", swap_in)
    app.add_directive("notebook-table", NotebookTable)
    return {"version": "0.1.0", "parallel_read_safe": True, "parallel_write_safe": True}
