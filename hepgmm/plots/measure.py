"""Figures of the studies: a figure of merit of every classifier over what is varied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.classify import rung_look

__all__ = [
    "study_panel",
]

_MARKERS = "osD^"


def study_panel(study, rows: Sequence[Mapping], *, label: str, figures: Mapping | None = None):
    """Draw a study: figures of merit with their errors over the values of its settings.

    Parameters
    ----------
    study
        A :class:`~hepgmm.measure.Study`.
    rows
        Its settings as :func:`~hepgmm.measure.measure_studies` gives them.
    label
        What the figure says of its origin, such as ``"standard preset"``.
    figures
        Figure of merit → what is added to the title of the classifier; those of the study when not
        given.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from hepgmm.measure import STUDIES
    >>> auc = {"auc": {"value": 0.8, "error": 0.01}}
    >>> row = {"value": 60, "rungs": {"trees": {"title": "Boosted trees", "figures": auc}}}
    >>> figure = study_panel(STUDIES["mu"], [row], label="toy")
    >>> figure.axes[0].get_xlabel()
    'mean number of pileup events μ'
    >>> pyplot.close(figure)
    """
    figure, axes = pyplot.subplots(figsize=(7.2, 4.0))
    phrases = study.scale == "phrases"
    places = np.arange(len(rows)) if phrases else np.array([row["value"] for row in rows])
    wanted = study.figures if figures is None else figures
    series = [(name, key) for name in rows[0]["rungs"] for key in wanted]
    merits = [[row["rungs"][name]["figures"].get(key, {}) for row in rows] for name, key in series]
    found = np.array([["value" in merit for merit in line] for line in merits])
    # Between phrases there is room for the markers of one to stand side by side.
    beside = phrases * 0.08 * (found.cumsum(0) - (found.sum(0) + 1) / 2)
    names, keys, several = list(rows[0]["rungs"]), list(wanted), len(wanted) > 1
    for number, (name, key) in enumerate(series):
        if not found[number].any():
            continue
        there = [m for m in merits[number] if "value" in m]
        value, error = np.array([[m["value"], m["error"]] for m in there]).T
        # A shape for each classifier, or for each figure of merit where there are several.
        marker = _MARKERS[(keys.index(key) if several else names.index(name)) % len(_MARKERS)]
        axes.errorbar(
            (places + beside[number])[found[number]],
            value,
            yerr=error,
            fmt=marker if phrases else f"{marker}-",
            ms=6,
            lw=1.2,
            color=rung_look(name)["color"],
            alpha=0.85,
            fillstyle=("full", "none")[several * names.index(name) % 2],
            label=f"{rows[0]['rungs'][name]['title']} {wanted[key]}".strip(),
        )
    if phrases:
        axes.set_xticks(places, [str(row["value"]) for row in rows])
        axes.set_xlim(-0.5, len(rows) - 0.5)
        axes.xaxis.minorticks_off()
    else:
        # The style ends axes at round numbers, where markers would be cut.
        axes.set_xscale(study.scale)
        ends = axes.transData.transform([(places.min(), 0.5), (places.max(), 0.5)])
        margin = 0.05 * (ends[1, 0] - ends[0, 0]) * np.array([[-1, 0], [1, 0]])
        if len(rows) > 1:
            axes.set_xlim(axes.transData.inverted().transform(ends + margin)[:, 0])
        if study.scale == "log":
            axes.set_xticks(places, [f"{place:g}" for place in places])
            axes.xaxis.minorticks_off()
    axes.set_ylim(top=min(axes.get_ylim()[1], 1.005))
    axes.set(xlabel=study.axis, ylabel="AUC", title=f"{study.title} ({label})")
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=len(names) if several else 4)
    return figure
