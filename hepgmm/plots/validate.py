"""Figures that compare generators of pileup: AUCs side by side, events, correlations."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS
from hepgmm.validate import correlation, correlation_map, event_features

__all__ = [
    "auc_ladder",
    "azimuth",
    "event_panels",
    "near_side_map",
]

_CYCLE = ("background", "synthetic", "mlp", "transformer")
_MARKERS = "osD^"
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
    """Draw AUCs with errors, one line for each generator or classifier.

    Parameters
    ----------
    rows
        Generator or classifier → name → ``{"value", "error"}``.
    names
        Name → label of at most four AUCs.
    title
        What is compared.
    xlabel
        What the AUC is of.
    limits
        Range of the AUC; 0.5 is marked if it is in it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> rows = {"bad": {"auc": {"value": 0.9, "error": 0.1}}}
    >>> figure = auc_ladder(rows, {"auc": "events"}, title="toy")
    >>> figure.axes[0].get_yticklabels()[0].get_text()
    'bad'
    >>> pyplot.close(figure)
    """
    figure, axes = pyplot.subplots(figsize=(7.6, 1.4 + 0.34 * len(rows)))
    styles = zip(names.items(), _CYCLE, _MARKERS, strict=False)
    for number, ((name, label), colour, marker) in enumerate(styles):
        shift = 0.16 * (number - (len(names) - 1) / 2)
        if not any(name in row for row in rows.values()):
            continue
        found = [place + shift for place, row in enumerate(rows.values()) if name in row]
        figures = [row[name] for row in rows.values() if name in row]
        value, error = np.array([[each["value"], each["error"]] for each in figures]).T
        axes.errorbar(
            value,
            found,
            xerr=error,
            fmt=marker,
            ms=6,
            color=COLOURS[colour],
            label=label,
            alpha=0.85,
        )
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
    """Draw four summaries of events, real and synthetic: what a two-sample classifier sees.

    Events beyond the range of a panel are counted in its first or last bin.

    Parameters
    ----------
    real, synthetic
        Events.
    name
        Of the generator.
    title
        What is shown.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, grid = pyplot.subplots(2, 2, figsize=(7.6, 5.2))
    samples = {"real": (real, "real"), name: (synthetic, "synthetic")}
    for axes, (feature, (label, limits)) in zip(grid.flat, _PANELS.items(), strict=True):
        edges = np.linspace(*limits, 31)
        for who, (events, colour) in samples.items():
            table, names = event_features(events)
            values = np.clip(table[:, names.index(feature)], *limits)
            counts, _ = np.histogram(values, edges)
            share, error = counts / len(table), np.sqrt(counts) / len(table)
            axes.stairs(share, edges, color=COLOURS[colour], label=who, lw=1.5)
            centres = (edges[1:] + edges[:-1]) / 2
            axes.errorbar(centres, share, error, fmt="none", color=COLOURS[colour], lw=1)
        axes.set(xlabel=label, ylim=(0, None))
    for axes in grid[:, 0]:
        axes.set_ylabel("events per bin, share")
    grid[0, 0].legend()
    figure.suptitle(title, x=0.02, ha="left")
    return figure


def azimuth(samples: Mapping, *, title: str, bins: int = 12):
    """Draw the two-particle correlation in azimuth of samples of events.

    Parameters
    ----------
    samples
        Name → events, at most four.
    title
        What is shown.
    bins
        Bins of abs(Δφ) from 0 to π.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    for (name, events), colour, marker in zip(samples.items(), _CYCLE, _MARKERS, strict=False):
        edges, value, error = correlation(events, bins=bins)
        centres = (edges[1:] + edges[:-1]) / 2
        axes.errorbar(
            centres, value, error, fmt=f"{marker}-", ms=5, color=COLOURS[colour], label=name
        )
    axes.axhline(1, color="0.5", lw=1, ls="--")
    axes.set_xlim(0, np.pi)
    axes.set(xlabel=r"$|\Delta\varphi|$ [rad]", ylabel=r"pairs with $|\Delta\eta| < 1$, mean 1")
    axes.set_title(title)
    axes.legend()
    return figure


def near_side_map(
    samples: Mapping, *, title: str, seed: int, bins=(10, 12), delta_eta: float = 4.0
):
    """Draw the two-particle correlation in eta and azimuth, one panel for each sample.

    Parameters
    ----------
    samples
        Name → events.
    title
        What is shown.
    seed
        Of the choice of the events that are mixed.
    bins
        In abs(Δη) and in abs(Δφ).
    delta_eta
        Largest abs(Δη).

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure, grid = pyplot.subplots(
        1, len(samples), figsize=(3.4 * len(samples), 3.6), sharey=True, squeeze=False
    )
    for axes, (name, events) in zip(grid.flat, samples.items(), strict=True):
        eta, phi, value, _ = correlation_map(events, bins=bins, delta_eta=delta_eta, seed=seed)
        mesh = axes.pcolormesh(phi, eta, value, vmin=0.85, vmax=1.45, cmap="cividis")
        axes.set(xlabel=r"$|\Delta\varphi|$ [rad]", title=name, xlim=(0, np.pi))
    grid[0, 0].set_ylabel(r"$|\Delta\eta|$")
    figure.colorbar(mesh, ax=grid, label="same events over mixed events")
    figure.suptitle(title, x=0.02, ha="left")
    return figure
