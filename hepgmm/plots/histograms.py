"""Histograms with honest error bars, and their ratios."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS

__all__ = ["count", "draw", "histogram", "histogram_ratio"]


def count(values, edges, groups=None):
    r"""Count values in bins, with the error of each count.

    Entries that come in independent groups (the tracks of one event) are not independent of
    each other. With :math:`n_{eb}` entries of group :math:`e` in bin :math:`b`, the count
    :math:`\sum_e n_{eb}` has the error :math:`\sqrt{\sum_e n_{eb}^2}`, which is the familiar
    :math:`\sqrt{n_b}` when every group holds one entry. Entries outside the edges are left out.

    Parameters
    ----------
    values
        The entries, shape ``(n,)``.
    edges
        Bin edges, shape ``(b + 1,)``, rising.
    groups
        The group of each entry, integers from 0 on, shape ``(n,)``; by default each its own.

    Returns
    -------
    counts, errors
        Arrays of shape ``(b,)``.

    Raises
    ------
    ValueError
        When the edges do not rise.

    Examples
    --------
    >>> count([0.1, 0.2, 0.3, 1.5], [0, 1, 2])
    (array([3., 1.]), array([1.73205081, 1.        ]))
    >>> count([0.1, 0.2, 0.3, 1.5], [0, 1, 2], groups=[0, 0, 1, 1])
    (array([3., 1.]), array([2.23606798, 1.        ]))
    """
    values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("edges: bin edges must rise, at least two of them")
    counts = np.histogram(values, edges)[0].astype(float)
    if groups is None:
        return counts, np.sqrt(counts)
    inside = (values >= edges[0]) & (values <= edges[-1])
    bins = np.minimum(np.searchsorted(edges, values[inside], side="right") - 1, len(counts) - 1)
    cells, entries = np.unique(np.asarray(groups)[inside] * len(counts) + bins, return_counts=True)
    squares = np.bincount(cells % len(counts), weights=entries**2.0, minlength=len(counts))
    return counts, np.sqrt(squares)


def draw(axes, samples: Mapping, edges, *, colours=COLOURS):
    """Draw one step line with error bars per sample.

    Parameters
    ----------
    axes
        The matplotlib axes.
    samples
        Name in the legend -> ``(heights, errors)``, each of shape ``(b,)``.
    edges
        Bin edges, shape ``(b + 1,)``.
    colours
        Colour of each name; a name that is not in it takes one that no other sample has.
    """
    spare = [c for c in dict.fromkeys(COLOURS.values()) if c not in map(colours.get, samples)]
    edges = np.asarray(edges, dtype=float)
    logarithmic = axes.get_xscale() == "log"
    centres = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    for name, (heights, errors) in samples.items():
        colour = colours.get(name) or spare.pop(0)
        axes.stairs(heights, edges, label=name, color=colour, lw=1.5)
        axes.errorbar(centres, heights, errors, fmt="none", ecolor=colour, lw=1.2)


def histogram(
    samples: Mapping,
    edges,
    *,
    xlabel: str,
    ylabel: str = "fraction per bin",
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    colours: Mapping = COLOURS,
):
    r"""Compare samples of one number, each normalised to one, with Poisson errors.

    Parameters
    ----------
    samples
        Name in the legend -> values, shape ``(n,)``. Values outside the edges are counted in
        the normalisation but not shown.
    edges
        Bin edges, shape ``(b + 1,)``.
    xlabel, ylabel, title
        Labels, the quantity with its unit.
    logx, logy
        Logarithmic axes.
    colours
        Name -> colour.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When a sample is empty.

    Examples
    --------
    >>> figure = histogram({"real": [1.0, 2.0]}, [0, 1.5, 3], xlabel=r"$p_T$ [GeV]")
    >>> figure.axes[0].get_xlabel()
    '$p_T$ [GeV]'
    """
    figure, axes = pyplot.subplots()
    if logx:
        axes.set_xscale("log")
    draw(axes, _fractions(samples, edges), edges, colours=colours)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(edges[0], edges[-1]))
    _finish_axes(axes, logy)
    axes.legend()
    return figure


def histogram_ratio(figure, samples: Mapping, edges, *, reference: str, xlabel: str, logx=False):
    r"""Fill a figure with histograms and, below, their ratio to one of them.

    With independent errors the ratio :math:`r = a / b` has the error
    :math:`r \sqrt{(\sigma_a/a)^2 + (\sigma_b/b)^2}`.

    Parameters
    ----------
    figure
        A figure or subfigure that is still empty.
    samples
        Name -> ``(heights, errors)``, each of shape ``(b,)``.
    edges
        Bin edges, shape ``(b + 1,)``.
    reference
        The name that the others are divided by.
    xlabel
        The quantity with its unit.
    logx
        Logarithmic x axis.

    Returns
    -------
    tuple
        The upper and the lower axes.

    Raises
    ------
    ValueError
        When the reference is not among the samples.
    """
    if reference not in samples:
        raise ValueError(f"reference: {reference!r} is not one of {', '.join(samples)}")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    if logx:
        upper.set_xscale("log")
    draw(upper, samples, edges)
    base, base_error = samples[reference]
    ratios = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (heights, errors) in samples.items():
            if name != reference:
                relative = np.hypot(errors / heights, base_error / base)
                ratios[name] = heights / base, heights / base * relative
    draw(lower, ratios, edges)
    lower.axhline(1, color=COLOURS.get(reference, "0.3"), lw=1)
    lower.set(xlabel=xlabel, ylabel=f"to {reference}", ylim=(0, 2.5))
    return upper, lower


def _fractions(samples, edges):
    fractions = {}
    for name, values in samples.items():
        if not len(values):
            raise ValueError(f"{name}: the sample is empty, there is nothing to draw")
        counts, errors = count(values, edges)
        fractions[name] = counts / len(values), errors / len(values)
    return fractions


def _finish_axes(axes, logy):
    if logy:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylim(top=1.15 * axes.get_ylim()[1])  # room for the legend
