"""Figures that compare generators of pileup: AUCs side by side, events, correlations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS, LOOKS, count, draw, measured, rows_of_panels
from hepgmm.validate import correlation, correlation_map, event_features

__all__ = [
    "auc_ladder",
    "azimuth",
    "event_panels",
    "near_side_map",
]

#: Panels of an event: feature, axis label, range.
_PANELS = {
    "n_tracks": ("tracks", (0, 300)),
    "recoil": (r"$|\Sigma\,\vec{p}_T|^2\,/\,\Sigma\,p_T^2$", (0, 3)),
    "max_eta": (r"largest $\eta$", (4, 14)),
    "spread_asinh_d0": (r"spread of asinh$(d_0\,/\,10\,$µm$)$", (0, 8)),
}


def auc_ladder(
    rows: Mapping,
    names: Mapping,
    *,
    title: str,
    xlabel: str = "two-sample AUC (0.5: nothing tells them apart)",
    limits: tuple[float, float] = (0.47, 1.01),
):
    """Draw AUCs with errors, a line for each generator or classifier.

    Rows are generator or classifier → name → ``{"value", "error"}``, names are name → label, at
    most four. 0.5 is marked if it is within the limits.
    """
    figure, axes = pyplot.subplots(figsize=(7.6, 1.4 + 0.34 * len(rows)))
    for number, ((name, label), look) in enumerate(zip(names.items(), LOOKS, strict=False)):
        shift = 0.16 * (number - (len(names) - 1) / 2)
        places = [place + shift for place, row in enumerate(rows.values()) if name in row]
        if places:
            value, error = measured(row[name] for row in rows.values() if name in row)
            axes.errorbar(value, places, xerr=error, ls="", ms=6, alpha=0.85, label=label, **look)
    if limits[0] < 0.5 < limits[1]:
        axes.axvline(0.5, color="0.5", lw=1, ls="--")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.yaxis.minorticks_off()
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=xlabel, title=title, xlim=limits)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def event_panels(real, synthetic, *, name: str, title: str):
    """Draw four summaries of events, real and of a generator: what a two-sample classifier sees.

    Events beyond the range of a panel are counted in its first or last bin.
    """
    figure, grid = pyplot.subplots(2, 2, figsize=(7.6, 5.2))
    tables = {who: event_features(events) for who, events in (("real", real), (name, synthetic))}
    colours = {"real": COLOURS["real"], name: COLOURS["synthetic"]}
    for axes, (feature, (label, limits)) in zip(grid.flat, _PANELS.items(), strict=True):
        edges = np.linspace(*limits, 31)
        shares = {
            who: count(np.clip(table[:, names.index(feature)], *limits), edges) / len(table)
            for who, (table, names) in tables.items()
        }
        draw(axes, shares, edges, colours=colours)
        axes.set(xlabel=label, ylim=(0, None))
    for axes in grid[:, 0]:
        axes.set_ylabel("events per bin, share")
    grid[0, 0].legend()
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def azimuth(samples: Mapping, *, title: str, bins: int = 12):
    """Draw the two-particle correlation in azimuth of at most four samples, name → events."""
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    for (name, events), look in zip(samples.items(), LOOKS, strict=False):
        edges, value, error = correlation(events, bins=bins)
        axes.errorbar((edges[1:] + edges[:-1]) / 2, value, error, ms=5, label=name, **look)
    axes.axhline(1, color="0.5", lw=1, ls="--")
    axes.set_xlim(0, np.pi)
    axes.set(xlabel=r"$|\Delta\varphi|$ [rad]", ylabel=r"pairs with $|\Delta\eta| < 1$, mean 1")
    axes.set_title(title)
    axes.legend()
    return figure


def near_side_map(
    samples: Mapping, *, title: str, seed: int, bins=(10, 12), delta_eta: float = 4.0
):
    """Draw the two-particle correlation in eta and azimuth, a panel for each name → events.

    Bins are in abs(Δη), up to `delta_eta`, and in abs(Δφ); the seed chooses the events that are
    mixed.
    """
    n = len(samples)
    figure, panels = rows_of_panels(n, columns=n, figsize=(3.4 * n, 3.6))
    for axes, (name, events) in zip(panels.flat, samples.items(), strict=True):
        eta, phi, value, _ = correlation_map(events, bins=bins, delta_eta=delta_eta, seed=seed)
        mesh = axes.pcolormesh(phi, eta, value, vmin=0.85, vmax=1.45, cmap="cividis")
        axes.set(xlabel=r"$|\Delta\varphi|$ [rad]", title=name, xlim=(0, np.pi))
    panels[0, 0].set_ylabel(r"$|\Delta\eta|$")
    figure.colorbar(mesh, ax=panels, label="same events over mixed events")
    figure.suptitle(title, x=0.02, ha="left")
    return figure
