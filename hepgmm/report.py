"""Figures of merit as text: values with errors, the table beside the paper's, the README."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hepgmm.cache import project_root
from hepgmm.io_utils import atomic_write

__all__ = [
    "METRICS",
    "PAPER",
    "classifier_table",
    "format_measurement",
    "load_results",
    "results_folder",
    "table_caption",
    "update_readme",
]

METRICS = {"auc": "AUC", "accuracy": "accuracy", "recall": "recall", "precision": "precision"}

# Result files that are not those of a preset, and what writes them.
COMMANDS = {
    "fidelity": "make fidelity",
    "benchmarks": "make benchmark",
    "classifiers": "make benchmark",
    "ladder": "make ladder",
    "studies": "make studies",
}

# The figures that the paper publishes, without errors.
PAPER = {
    "mlp": {"auc": 0.762, "accuracy": 0.703, "recall": 0.636, "precision": 0.734},
    "transformer": {"auc": 0.861, "accuracy": 0.817, "recall": 0.678, "precision": 0.938},
}


def results_folder() -> Path:
    """Where runs write their figures: ``results/`` of the checkout, or of the current folder."""
    return (project_root() or Path.cwd()) / "results"


def load_results(preset: str, *, folder: Path | None = None) -> dict[str, Any]:
    """The figures of merit of a run.

    Parameters
    ----------
    preset
        The name of the preset that was run.
    folder
        Where result files are; :func:`results_folder` when not given.

    Returns
    -------
    dict
        What ``hepgmm run`` wrote; every measured figure is ``{"value": …, "error": …}``.

    Raises
    ------
    FileNotFoundError
        If the preset has not been run; the message says how to.
    ValueError
        If the file is truncated or not JSON.
    """
    path = (folder or results_folder()) / f"{preset}.json"
    if not path.is_file():
        command = COMMANDS.get(preset, f"hepgmm run --preset {preset}")
        raise FileNotFoundError(f"{path}: not there; `{command}` writes it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not a result file ({error}); run the preset again") from None


def format_measurement(figure: Any) -> str:
    """Write a figure as the book does: value ± error, rounded to two digits of the error.

    Parameters
    ----------
    figure
        ``{"value": float, "error": float}``, ``{"above": float}`` for a lower limit,
        ``{"count": int, "fraction": float}``, or anything else, which is written as it is.

    Returns
    -------
    str

    Examples
    --------
    >>> format_measurement({"value": 0.81234, "error": 0.00412})
    '0.8123 ± 0.0041'
    >>> format_measurement({"value": 5.1, "error": 0.0})
    '5.1 ± 0'
    >>> format_measurement({"above": 1234.5})
    '> 1200'
    >>> format_measurement({"count": 3, "fraction": 0.015})
    '3 (1.5%)'
    >>> format_measurement(12)
    '12'
    """
    if isinstance(figure, Mapping) and {"count", "fraction"} <= set(figure):
        return f"{figure['count']} ({100 * figure['fraction']:.3g}%)"
    if isinstance(figure, Mapping) and "above" in figure:
        return f"> {float(format(figure['above'], '.2g')):g}"
    if not isinstance(figure, Mapping) or not {"value", "error"} <= set(figure):
        return f"{figure:.4g}" if isinstance(figure, float) else str(figure)
    value, error = figure["value"], figure["error"]
    if not (error > 0 and math.isfinite(error)):
        return f"{value:.4g} ± {error:.2g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def classifier_table(results: Mapping[str, Any]) -> str:
    """A Markdown table of the classifiers' metrics beside the paper's.

    Parameters
    ----------
    results
        What :func:`load_results` gives: ``classifiers`` → name of a rung → its metrics.

    Returns
    -------
    str
        One row for each classifier and one for the paper's figures of it.

    Examples
    --------
    >>> figure = {"value": 0.8, "error": 0.01}
    >>> results = {"classifiers": {"deepsets": dict.fromkeys(METRICS, figure)}}
    >>> print(classifier_table(results))
    | classifier | AUC | accuracy | recall | precision |
    |---|---|---|---|---|
    | **DeepSets** | 0.800 ± 0.010 | 0.800 ± 0.010 | 0.800 ± 0.010 | 0.800 ± 0.010 |
    """
    from hepgmm.classify.registry import classifier_class

    lines = ["| classifier | " + " | ".join(METRICS.values()) + " |", "|---" * 5 + "|"]
    for name, figures in results["classifiers"].items():
        title = classifier_class(name).title
        cells = [format_measurement(figures[metric]) for metric in METRICS]
        lines.append(f"| **{title}** | " + " | ".join(cells) + " |")
        if name in PAPER:
            cells = [f"{PAPER[name][metric]:.3f}" for metric in METRICS]
            lines.append(f"| {title}, the paper | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def table_caption(results: Mapping[str, Any]) -> str:
    """How the figures of :func:`classifier_table` were made, and how to read the paper's.

    Parameters
    ----------
    results
        What :func:`load_results` gives.

    Returns
    -------
    str
        Markdown.
    """
    overlay = results["parameters"]["overlay"]
    return (
        f"Made by the `{results['preset']}` preset, seed {results['seed']}: "
        f"{results['events']['test']} test events, μ = {overlay['mu']:g}, "
        f"pileup from `{overlay['pileup']}`, dz relative to `{overlay['dz_reference']}`; "
        "errors by bootstrap over the test events. The paper gives no errors, no lifetime and no "
        "pT-hat, so its figures are beside ours for orientation, not as a target."
    )


def update_readme(path: Path, results: Mapping[str, Any]) -> None:
    """Fill the table between the ``<!-- results -->`` markers of a Markdown file.

    Parameters
    ----------
    path
        The file, usually ``README.md``.
    results
        What :func:`load_results` gives.

    Raises
    ------
    ValueError
        If the file has no pair of markers.
    """
    text = Path(path).read_text(encoding="utf-8")
    table = f"{classifier_table(results)}\n\n{table_caption(results)}"
    block = f"<!-- results -->\n{table}\n<!-- /results -->"
    new, found = re.subn(r"<!-- results -->.*?<!-- /results -->", lambda _: block, text, flags=re.S)
    if not found:
        raise ValueError(f"{path}: no <!-- results --> … <!-- /results --> markers to fill")
    with atomic_write(path) as temporary:
        temporary.write_text(new, encoding="utf-8")
