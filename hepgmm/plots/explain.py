"""Figures of what a transformer looks at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS

__all__ = [
    "attended_tracks",
    "shares_panel",
    "track_scores",
]

#: Tracks further from the beam line than this, in mm, are drawn as displaced.
DISPLACED = 1.0


def attended_tracks(sample, event: int, received, *, title: str):
    """Draw the tracks of an event along the beam, the larger the more attention they receive.

    Parameters
    ----------
    sample
        A :class:`hepgmm.classify.Sample` that knows which tracks are hard.
    event
        Number of the event.
    received
        Attention that each track receives, shape (max_tracks,), in units of an even share.
    title
        What the event is.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from hepgmm.classify import Sample
    >>> ones = np.ones((1, 4), dtype=bool)
    >>> sample = Sample(np.ones((1, 4, 6)), ones, [1], None, ones)
    >>> figure = attended_tracks(sample, 0, np.ones(4), title="toy")
    >>> figure.axes[0].get_xlabel()
    '$d_z$ [mm]'
    >>> pyplot.close(figure)
    """
    figure, axes = pyplot.subplots(figsize=(7.6, 4.2))
    X, mask = sample.X[event], sample.mask[event]
    hard, displaced = sample.hard[event], np.abs(X[:, 3]) > DISPLACED
    for is_hard, colour, origin in ((False, "trees", "pileup"), (True, "signal", "hard collision")):
        for is_displaced, marker in ((False, "o"), (True, "^")):
            own = mask & (hard == is_hard) & (displaced == is_displaced)
            axes.scatter(
                X[own, 4],
                X[own, 1],
                s=30 * np.asarray(received)[own],
                marker=marker,
                facecolors="none" if not is_hard else COLOURS[colour],
                edgecolors=COLOURS[colour],
                alpha=0.7,
                label=f"{origin}, {'displaced' if is_displaced else 'prompt'}",
            )
    # The vertices lie within a few times 53 mm; decays may point far beyond.
    axes.set_xscale("symlog", linthresh=200)
    axes.set_xlim(-5000, 5000)
    axes.set(xlabel="$d_z$ [mm]", ylabel=r"$\eta$", title=title, ylim=(-4.7, 4.7))
    legend = figure.legend(loc="outside lower center", ncols=2)
    for handle in legend.legend_handles:
        handle.set_sizes([40])
    return figure


def shares_panel(shares: Mapping, *, title: str):
    """Draw how much attention groups of tracks give to groups, in units of an even share.

    Parameters
    ----------
    shares
        Block → what :func:`hepgmm.classify.attention_shares` gives.
    title
        What is seen.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> one = {"hard": {"hard": {"value": 2.0, "error": 0.1}}}
    >>> figure = shares_panel({"block 1": one}, title="toy")
    >>> figure.axes[0].get_ylabel()
    'attention / an even share'
    >>> pyplot.close(figure)
    """
    figure, grid = pyplot.subplots(
        1, len(shares), figsize=(1.5 + 4 * len(shares), 4.0), sharey=True, squeeze=False
    )
    for axes, (block, table) in zip(grid[0], shares.items(), strict=True):
        places = np.arange(len(table))
        colours = list(dict.fromkeys(COLOURS.values()))
        for number, receiver in enumerate(table):
            ratios, errors = (
                [row[receiver][part] for row in table.values()] for part in ("value", "error")
            )
            axes.bar(
                places + 0.8 * ((number + 0.5) / len(table) - 0.5),
                ratios,
                width=0.8 / len(table),
                yerr=errors,
                capsize=3,
                ecolor="0.3",
                color=colours[number],
                label=f"to {receiver}",
            )
        axes.axhline(1, color="0.3", lw=1, ls="--")
        axes.set_xticks(places, [f"from {giver}" for giver in table], rotation=20)
        axes.xaxis.minorticks_off()
        axes.set(title=f"{title}, {block}")
    grid[0, 0].set_ylabel("attention / an even share")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def track_scores(probability, sample, *, title: str, bins: int = 40):
    """Draw how probable a network calls it that tracks are of the hard collision, by truth.

    Parameters
    ----------
    probability
        Shape (n, max_tracks).
    sample
        A :class:`hepgmm.classify.Sample` that knows which tracks are hard.
    title
        What is seen.
    bins
        Number of bins.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from hepgmm.classify import Sample
    >>> ones = np.ones((1, 4), dtype=bool)
    >>> sample = Sample(np.ones((1, 4, 6)), ones, [1], None, ones)
    >>> figure = track_scores(np.full((1, 4), 0.5), sample, title="toy")
    >>> figure.axes[0].get_ylabel()
    'tracks per bin'
    >>> pyplot.close(figure)
    """
    figure, axes = pyplot.subplots()
    edges = np.linspace(0, 1, bins + 1)
    for label, own, colour in (
        ("pileup", sample.mask & ~sample.hard, "trees"),
        ("hard collision", sample.mask & sample.hard, "signal"),
    ):
        counts, _ = np.histogram(probability[own], edges)
        axes.stairs(counts, edges, color=COLOURS[colour], lw=1.8, label=label)
        centres = (edges[1:] + edges[:-1]) / 2
        axes.errorbar(centres, counts, np.sqrt(counts), fmt="none", color=COLOURS[colour], lw=1)
    axes.set(
        xlabel="probability that a track is of the hard collision",
        ylabel="tracks per bin",
        yscale="log",
        title=title,
    )
    axes.legend()
    return figure
