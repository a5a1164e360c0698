"""Figures of one quantity against another, with errors."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS

__all__ = ["bic_curve", "cost_panels", "curves"]

_CYCLE = ("background", "synthetic", "mlp", "transformer")
_MARKERS = "osD^"


def curves(x, values: Mapping, *, xlabel: str, ylabel: str, title: str, logarithmic: bool = False):
    """Draw quantities against a common one, each point with its error.

    Parameters
    ----------
    x
        ``(n,)``.
    values
        Name → ``(value, error)``, each ``(n,)``; at most four.
    xlabel, ylabel, title
        Labels, the quantities with their units.
    logarithmic
        Whether the horizontal axis is.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is nothing to draw or more than four curves.

    Examples
    --------
    >>> both = {"rising": ([1, 2], [0.1, 0.1]), "flat": ([1, 1], [0.1, 0.2])}
    >>> figure = curves([1, 10], both, xlabel="x", ylabel="y", title="toy", logarithmic=True)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['rising', 'flat']
    >>> pyplot.close(figure)
    """
    if not 1 <= len(values) <= len(_CYCLE):
        raise ValueError(f"values: give one to {len(_CYCLE)} curves, not {len(values)}")
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    for (name, (value, error)), colour, marker in zip(
        values.items(), _CYCLE, _MARKERS, strict=False
    ):
        axes.errorbar(
            x, value, error, marker=marker, ms=5, capsize=2, color=COLOURS[colour], label=name
        )
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(0.05)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend()
    return figure


def bic_curve(n_components, bic, *, title: str, xlabel: str = "components K"):
    """Draw the Bayesian information criterion against the number of components.

    With several starts a number, each is a dot and the line joins the lowest. The lowest of all,
    which is the number that is chosen, is marked.

    Parameters
    ----------
    n_components
        Candidates for K, shape ``(k,)``.
    bic
        Criterion of each, shape ``(k,)``, or of each start, ``(k, starts)``; NaN where K was not
        tried.
    title
        What was fitted, with the preset.
    xlabel
        What is counted.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When no candidate has a finite criterion.

    Examples
    --------
    >>> figure = bic_curve([1, 2, 3], [30.0, 10.0, 12.0], title="toy")
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'lowest: K = 2'
    """
    n_components, bic = np.asarray(n_components), np.asarray(bic, dtype=float)
    starts = bic.reshape(len(bic), -1)
    tried = np.isfinite(starts).any(axis=1)
    if not tried.any():
        raise ValueError("bic: no candidate has a finite value, there is no curve to draw")
    n_components, starts = n_components[tried], starts[tried]
    lowest = np.nanmin(starts, axis=1)
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    axes.plot(n_components, lowest, "o-", ms=4, color=COLOURS["background"])
    if starts.shape[1] > 1:
        for each in starts.T:
            (dots,) = axes.plot(n_components, each, ".", ms=5, alpha=0.6, color=COLOURS["trees"])
        dots.set_label("each fit")
    best = np.argmin(lowest)
    axes.plot(
        n_components[best],
        lowest[best],
        "o",
        ms=11,
        mfc="none",
        mew=2,
        color=COLOURS["signal"],
        label=f"lowest: K = {n_components[best]}",
    )
    axes.margins(0.05)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=r"BIC $= k\,\log n - 2\,\log\hat{L}$", title=title)
    axes.legend()
    return figure


def cost_panels(panels: Mapping):
    """Draw the cost of a fit against the size of the problem, one panel for each size.

    Parameters
    ----------
    panels
        Size → ``{"at": […], name: […]}``: milliseconds an event at each size, each with its error.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> cost = [{"value": 0.1, "error": 0.01}, {"value": 0.2, "error": 0.02}]
    >>> panel = {"at": [1, 2], "hepgmm": cost, "scikit-learn": cost}
    >>> figure = cost_panels({"tracks": panel, "components": panel})
    >>> figure.axes[1].get_xlabel()
    'components'
    >>> pyplot.close(figure)
    """
    figure, grid = pyplot.subplots(
        1, len(panels), figsize=(2.7 * len(panels), 3.4), sharey=True, squeeze=False
    )
    for axes, (size, panel) in zip(grid.flat, panels.items(), strict=True):
        names = [name for name in panel if name != "at"]
        for name, colour, marker in zip(names, _CYCLE, _MARKERS, strict=False):
            value, error = np.array([[cost["value"], cost["error"]] for cost in panel[name]]).T
            axes.errorbar(
                panel["at"], value, error, marker=marker, ms=5, color=COLOURS[colour], label=name
            )
        axes.set(xlabel=size, xscale="log", yscale="log", xticks=panel["at"])
        axes.set_xticks(panel["at"], map(str, panel["at"]))
        axes.xaxis.minorticks_off()
    grid[0, 0].set_ylabel("time of one fit [ms an event]")
    grid[0, 0].legend()
    return figure
