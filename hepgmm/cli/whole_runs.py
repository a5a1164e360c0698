"""Commands for the whole analysis: run it, build the book, fill a table."""

from __future__ import annotations

import sys
from pathlib import Path

from hepgmm.cli.arguments import add_preset


def run_analysis(options):
    """Run the analysis of a preset, show its table of classifiers and say where the figures are."""
    from hepgmm import Analysis
    from hepgmm.analysis.figures import classifier_table, results_folder

    analysis = Analysis(options.preset)
    print(classifier_table(analysis.results()))
    print(f"\nwritten to {results_folder() / analysis.name}.json")


def fill_book(command):
    """Arguments of ``hepgmm book``."""
    add_preset(command)
    command.add_argument("--force", action="store_true", help="run unchanged notebooks too")


def run_book(options):
    """Build the book at a preset; a failing cell or a warning ends the process."""
    from hepgmm.book import build_book

    try:
        build_book(options.preset, force=options.force)
    except RuntimeError as error:
        # the failing cell or the warnings of a page, which the message holds
        sys.exit(f"hepgmm book: {error}")


def fill_report(command):
    """Arguments of ``hepgmm report``."""
    command.add_argument("-p", "--preset", default="standard", help="whose figures (standard)")
    command.add_argument("readme", type=Path, help="Markdown file with <!-- results --> markers")


def run_report(options):
    """Fill the table of a README from a result file."""
    from hepgmm.analysis.figures import load_results, update_readme

    update_readme(options.readme, load_results(options.preset))
