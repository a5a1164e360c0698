"""Figures of merit in the text: the role ``{result}`` and the directive ``{results-table}``.

Both read ``results/<preset>.json``. A preset that has not been run is said to be so; a preset that
does not exist, or a figure that its results do not hold, is a warning.
"""

from pathlib import Path

from docutils import nodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from hepgmm.analysis.figures import classifier_table, load_results, table_caption
from hepgmm.analysis.presets import preset_files
from hepgmm.statistics import format_measurement

logger = logging.getLogger(__name__)


def read(env, preset, location):
    """Return the results of a preset, or None if they are not there or not readable."""
    folder = Path(env.srcdir) / "results"
    env.note_dependency(str(folder / f"{preset}.json"))
    try:
        return load_results(preset, folder=folder)
    except FileNotFoundError as error:
        if preset not in preset_files():
            logger.warning("%s; presets: %s", error, ", ".join(preset_files()), location=location)
    except ValueError as error:
        logger.warning("%s", error, location=location)
    return None


def look_up(results, key):
    """Return the entry that a dotted key names, or raise a KeyError; lists count from 0."""
    entry = results
    for part in key.split("."):
        if isinstance(entry, list):
            entry = {str(number): value for number, value in enumerate(entry)}
        if not isinstance(entry, dict) or part not in entry:
            there = ", ".join(entry) if isinstance(entry, dict) else "a figure"
            raise KeyError(f"no {part!r} in {key!r}; there is {there}")
        entry = entry[part]
    return entry


class ResultRole(SphinxRole):
    """``{result}`standard:classifiers.mlp.auc``` becomes "0.812 ± 0.004"."""

    def run(self):
        preset, _, key = self.text.partition(":")
        results = read(self.env, preset, self.get_location())
        if results is None:
            note = f"(the {preset} preset has not been run yet)"
            return [nodes.emphasis(text=note)], []
        try:
            text = format_measurement(look_up(results, key))
        except KeyError as error:
            text = f"({key}?)"
            logger.warning(
                "results/%s.json: %s", preset, error.args[0], location=self.get_location()
            )
        return [nodes.inline(text=text, classes=["hepgmm-result"])], []


class ResultsTable(SphinxDirective):
    """The classifiers of a run beside the paper's; the argument is the preset."""

    optional_arguments = 1

    def run(self):
        preset = self.arguments[0] if self.arguments else "standard"
        results = read(self.env, preset, self.get_location())
        if results is None:
            text = f"The {preset} preset has not been run yet: make book PRESET={preset} runs it."
            return [nodes.note("", nodes.paragraph(text=text))]
        table = f"{classifier_table(results)}\n\n{table_caption(results)}\n"
        return self.parse_text_to_nodes(table)


def setup(app):
    """Connect to Sphinx."""
    app.add_role("result", ResultRole())
    app.add_directive("results-table", ResultsTable)
    return {"version": "0.1.0", "parallel_read_safe": True, "parallel_write_safe": True}
