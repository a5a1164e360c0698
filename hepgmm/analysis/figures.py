"""Figures of merit of a run, each with its error, and how they are shown."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np

from hepgmm.analysis.stages import CURES
from hepgmm.classify.metrics import METRICS, PAPER, auc_difference, evaluate, single_cut_accuracy
from hepgmm.cores import usable_cores
from hepgmm.crossings.samples import Sample
from hepgmm.events import accept
from hepgmm.io.atomic import atomic_write
from hepgmm.io.cache import project_root
from hepgmm.statistics import format_measurement

__all__ = [
    "classifier_figures",
    "classifier_table",
    "draw_roc",
    "environment",
    "load_results",
    "results_folder",
    "run_figures",
    "single_cut_figures",
    "table_caption",
    "update_readme",
]

# Result files that are not those of a preset, and what writes them.
COMMANDS = {
    "fidelity": "make fidelity",
    "benchmarks": "make benchmark",
    "classifiers": "make benchmark",
    "ladder": "make ladder",
    "studies": "make studies",
}


def results_folder() -> Path:
    """Where runs write their figures: ``results/`` of the checkout, or of the current folder."""
    return (project_root() or Path.cwd()) / "results"


def load_results(preset: str, *, folder: Path | None = None) -> dict[str, Any]:
    """The figures of merit that ``hepgmm run`` wrote for a preset, or another command for all.

    Every measured figure is ``{"value": …, "error": …}``.
    """
    path = (folder or results_folder()) / f"{preset}.json"
    if not path.is_file():
        command = COMMANDS.get(preset, f"hepgmm run --preset {preset}")
        raise FileNotFoundError(f"{path}: not there; `{command}` writes it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not a result file ({error}); run the preset again") from None


def classifier_table(results: Mapping[str, Any]) -> str:
    """A Markdown table of the classifiers' metrics, each followed by the paper's if it has some."""
    from hepgmm.classify.ladder import classifier_class

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


_PACKAGES = [
    "hepgmm",
    "numpy",
    "scipy",
    "scikit-learn",
    "awkward",
    "torch",
    "lightning",
    "pythia8mc",
    "matplotlib",
    "jupyter-book",
]


def run_figures(analysis, *, seed: int) -> dict[str, Any]:
    """Everything that is measured in one run; the seed is that of the bootstrap."""
    parameters = analysis.parameters
    samples = analysis.datasets()
    cuts = {key: parameters["overlay"][key] for key in ("pt_min", "abs_eta_max")}
    signal = ak.concatenate([analysis.llp(mass) for mass in parameters["data"]["llp_masses"]])
    return {
        "events": {name: len(sample) for name, sample in samples.items()},
        "mixture": {
            **analysis.hgmm().report_,
            "speckles": {cure or "plain": analysis.speckles(cure) for cure in CURES},
        },
        **classifier_figures(analysis.scores(), samples["test"], seed=seed),
        "single_cut": single_cut_figures(analysis.qcd(), signal, cuts=cuts, seed=seed),
    }


def draw_roc(path, analysis, *, seed: int) -> None:
    """Draw the ROC curves of a run into an SVG file, which appears only when it is whole."""
    from matplotlib import pyplot

    from hepgmm.plots import save_svg, use_style
    from hepgmm.plots.classify import roc_curves

    overlay = analysis.parameters["overlay"]
    title = f"{analysis.label}, μ = {overlay['mu']:g}, dz from {overlay['dz_reference']}"
    with pyplot.rc_context():
        use_style()
        labels = analysis.datasets()["test"].y
        save_svg(path, roc_curves(analysis.scores(), labels, title=title, seed=seed))


def classifier_figures(
    scores: Mapping[str, np.ndarray], test: Sample, *, seed: int
) -> dict[str, dict[str, Any]]:
    """Metrics of every classifier on the same test events, and the paired differences in AUC.

    ``scores`` are by classifier, shape (n,). ``per_mass`` holds the metrics for each mass alone
    against all the background, which is weighted to count as much as the signal.
    """
    masses = np.unique(test.mass[test.y == 1])
    classifiers = {}
    for name, score in scores.items():
        classifiers[name] = {
            **evaluate(score, test.y, seed=seed),
            "per_mass": {
                f"{mass:g}": evaluate(score[part], test.y[part], balance=True, seed=seed)
                for mass in masses
                for part in [(test.y == 0) | (test.mass == mass)]
            },
        }
    names = list(scores)
    differences = {
        f"{b} - {a}": auc_difference(scores[b], scores[a], test.y, seed=seed)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    return {"classifiers": classifiers, "differences": differences}


def single_cut_figures(
    background: ak.Array, signal: ak.Array, *, cuts: Mapping[str, float], seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy of one cut on a pT before there is any pileup, for as many events of each kind.

    The cut is chosen on half of the events and its accuracy measured on the other half.
    """
    tracks = accept(ak.concatenate([background, signal]), **cuts)
    labels = np.repeat([0, 1], [len(background), len(signal)])
    order = np.random.default_rng(seed).permutation(len(labels))
    choose, measure = np.array_split(order, 2)
    values = {
        "leading_pt": ak.to_numpy(ak.fill_none(ak.max(tracks.pt, axis=1), 0.0)),
        "sum_pt": ak.to_numpy(ak.sum(tracks.pt, axis=1)),
    }
    return {
        name: single_cut_accuracy(
            value[choose], labels[choose], value[measure], labels[measure], seed=seed
        )
        for name, value in values.items()
    }


def environment() -> dict[str, dict[str, Any]]:
    """Versions of the packages and kind of machine; nothing that names the machine or its user."""
    import torch

    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    machine = {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": usable_cores(),
        "accelerator": accelerator,
    }
    return {"versions": versions, "machine": machine}
