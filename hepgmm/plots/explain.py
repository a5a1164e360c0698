"""Figures of what a transformer looks at."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS, count, draw, measured, rows_of_panels

__all__ = [
    "attended_tracks",
    "shares_panel",
    "track_scores",
]

#: Tracks further from the beam line than this, in mm, are drawn as displaced.
DISPLACED = 1.0
_OF_TRACKS = {"pileup": COLOURS["trees"], "hard collision": COLOURS["signal"]}


def attended_tracks(sample, event: int, received, *, title: str):
    """Draw the tracks of an event along the beam, the larger the more attention they receive.

    The sample knows which tracks are hard; attention has the shape ``(max_tracks,)``, in units of
    an even share.
    """
    figure, axes = pyplot.subplots(figsize=(7.6, 4.2))
    X, mask = sample.X[event], sample.mask[event]
    hard, displaced = sample.hard[event], np.abs(X[:, 3]) > DISPLACED
    for is_hard, (origin, colour) in enumerate(_OF_TRACKS.items()):
        for is_displaced, marker in enumerate("o^"):
            shown = mask & (hard == is_hard) & (displaced == is_displaced)
            axes.scatter(
                X[shown, 4],
                X[shown, 1],
                s=30 * np.asarray(received)[shown],
                marker=marker,
                facecolors=colour if is_hard else "none",
                edgecolors=colour,
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

    Shares are block → what :func:`hepgmm.classify.attention_shares` gives.
    """
    n = len(shares)
    figure, panels = rows_of_panels(n, columns=n, figsize=(1.5 + 4 * n, 4.0))
    colours = list(dict.fromkeys(COLOURS.values()))
    for axes, (block, table) in zip(panels.flat, shares.items(), strict=True):
        places, width = np.arange(len(table)), 0.8 / len(table)
        for number, receiver in enumerate(table):
            value, error = measured(row[receiver] for row in table.values())
            look = {"color": colours[number], "ecolor": "0.3", "label": f"to {receiver}"}
            shift = width * (number + 0.5) - 0.4
            axes.bar(places + shift, value, width=width, yerr=error, capsize=3, **look)
        axes.axhline(1, color="0.3", lw=1, ls="--")
        axes.set_xticks(places, [f"from {giver}" for giver in table], rotation=20)
        axes.xaxis.minorticks_off()
        axes.set(title=f"{title}, {block}")
    panels[0, 0].set_ylabel("attention / an even share")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def track_scores(probability, sample, *, title: str, bins: int = 40):
    """Draw how probable a network calls it that tracks are of the hard collision, by truth.

    Probabilities have the shape ``(n, max_tracks)``; the sample knows which tracks are hard.
    """
    figure, axes = pyplot.subplots()
    edges = np.linspace(0, 1, bins + 1)
    counts = {
        origin: count(probability[sample.mask & (sample.hard == is_hard)], edges)
        for is_hard, origin in enumerate(_OF_TRACKS)
    }
    draw(axes, counts, edges, colours=_OF_TRACKS)
    axes.set(
        xlabel="probability that a track is of the hard collision",
        ylabel="tracks per bin",
        yscale="log",
        title=title,
    )
    axes.legend()
    return figure
