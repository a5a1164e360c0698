"""Figures of what was measured: studies, and the cost of fits and of trainings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.classify import rung_look
from hepgmm.plots.style import COLOURS, LOOKS, measured, rows_of_panels

__all__ = [
    "cost_panels",
    "cost_scan",
    "study_panel",
]

_MARKERS = [look["marker"] for look in LOOKS]


def study_panel(study, rows: Sequence[Mapping], *, label: str, figures: Mapping | None = None):
    """Draw a study: figures of merit with their errors over the values of its settings.

    Parameters
    ----------
    study : Study
        What is varied, a :class:`~hepgmm.measure.Study`.
    rows : sequence of dict
        Its settings as :func:`~hepgmm.measure.measure_studies` gives them.
    label : str
        What the figure says of its origin, such as ``"standard preset"``.
    figures : mapping, optional
        Figure of merit → what is added to the title of the classifier; those of the study when not
        given.

    Returns
    -------
    matplotlib.figure.Figure
        The AUC with its error over the values, a colour for each classifier.

    Examples
    --------
    >>> from hepgmm.measure import STUDIES
    >>> auc = {"auc": {"value": 0.8, "error": 0.01}}
    >>> trees = {"title": "Boosted trees", "figures": auc}
    >>> row = {"value": 60, "rungs": {"trees": trees}}
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
    known = np.array([["value" in merit for merit in line] for line in merits])
    # Between phrases there is room for the markers of one to stand side by side.
    beside = phrases * 0.08 * (known.cumsum(0) - (known.sum(0) + 1) / 2)
    names, keys, several = list(rows[0]["rungs"]), list(wanted), len(wanted) > 1
    for number, (name, key) in enumerate(series):
        if not known[number].any():
            continue
        value, error = measured(merit for merit in merits[number] if "value" in merit)
        # A shape for each classifier, or for each figure of merit where there are several.
        marker = _MARKERS[(keys.index(key) if several else names.index(name)) % len(_MARKERS)]
        axes.errorbar(
            (places + beside[number])[known[number]],
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


def cost_panels(panels: Mapping):
    """Draw the cost of a fit against the size of the problem, a panel for each size.

    Panels are size → ``{"at": […], name: […]}``: ms an event at each size, with errors.
    """
    n = len(panels)
    figure, grid = rows_of_panels(n, columns=n, figsize=(2.7 * n, 3.4))
    for axes, (size, panel) in zip(grid.flat, panels.items(), strict=True):
        names = [name for name in panel if name != "at"]
        for name, look in zip(names, LOOKS, strict=False):
            axes.errorbar(panel["at"], *measured(panel[name]), ms=5, label=name, **look)
        axes.set(xlabel=size, xscale="log", yscale="log")
        axes.set_xticks(panel["at"], map(str, panel["at"]))
        axes.xaxis.minorticks_off()
    grid[0, 0].set_ylabel("time of one fit [ms an event]")
    grid[0, 0].legend()
    return figure


def cost_scan(scan: Mapping, *, title: str):
    """Draw how the training rate of the transformer falls with its numbers.

    The scan is tracks, width, heads, blocks → value → ``{"value", "error"}`` in events a second.
    """
    names = {"n_tracks": "tracks", "width": "width", "n_heads": "heads"}
    names["n_blocks"] = "attention blocks"
    n = len(scan)
    figure, grid = rows_of_panels(n, columns=n, figsize=(2 + 2.4 * n, 3.6))
    values = [rate["value"] for rates in scan.values() for rate in rates.values()]
    # The style ends axes at powers of ten, where markers would be cut.
    low, high = min(values) / 2, max(values) * 2
    for axes, (name, rates) in zip(grid.flat, scan.items(), strict=True):
        x = np.array([int(number) for number in rates])
        axes.errorbar(x, *measured(rates.values()), fmt="o-", color=COLOURS["transformer"])
        axes.set(xlabel=names[name], xscale="log", yscale="log")
        axes.set(xlim=(x[0] / 1.3, x[-1] * 1.3), ylim=(low, high))
        axes.set_xticks(x, list(rates))
        axes.xaxis.minorticks_off()
    ticks = [n * 10**power for power in range(7) for n in (1, 2, 5)]
    ticks = [tick for tick in ticks if low < tick < high]
    grid[0, 0].set_yticks(ticks, map(str, ticks))
    grid[0, 0].set_ylabel("training [events/s]")
    figure.suptitle(title)
    return figure
