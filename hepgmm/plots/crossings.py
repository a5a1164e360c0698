"""Figures of events under pileup. Their tracks have one more field, ``origin``.

``origin`` is 0 for a track of the hard event and 1, 2, ... for those of the pileup events:
``events["origin"] = truth`` with what ``hepgmm.overlay(..., return_truth=True)`` gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np
from matplotlib import pyplot

from hepgmm.plots.style import COLOURS, count, draw, measured, rows_of_panels

__all__ = [
    "before_and_after",
    "collisions",
    "dz_by_reference",
    "hard_share",
    "padding",
    "share_by_mu",
]

_PILEUP = "0.6"


def before_and_after(
    events: Mapping[str, ak.Array],
    *,
    title: str,
    colours: Mapping[str, str] = COLOURS,
    half_width: float = 200.0,
):
    r"""Draw events in the :math:`(d_z, \varphi)` plane: the hard tracks alone, then all tracks.

    Events are name → ``var * Track`` with ``origin``, a row each; the view is cut at `half_width`
    in mm. A point is a track; its area grows with the transverse momentum. Tracks that start at the
    vertex of one collision line up at one :math:`d_z`. The legend counts the tracks out of view.
    """
    if not events:
        raise ValueError("events: there is no event to draw")
    figure, grid = pyplot.subplots(
        len(events), 2, figsize=(9.4, 4.1 * len(events)), squeeze=False, sharex=True, sharey=True
    )
    for row, (name, event) in zip(grid, events.items(), strict=True):
        alone = event[_origin(event) == 0]
        for axes, tracks, when in zip(row, (alone, event), ("alone", "in pileup"), strict=True):
            for hard, colour, source in ((False, _PILEUP, "pileup"), (True, colours[name], "hard")):
                part = tracks[(_origin(tracks) == 0) == hard]
                outside = ak.sum(abs(part.dz) > half_width)
                label = f"{source}: {len(part)} tracks, {outside} of them out of view"
                if len(part):
                    axes.scatter(part.dz, part.phi, s=_area(part), color=colour, lw=0, label=label)
            axes.set(title=f"{name}, {when}", xlim=(-half_width, half_width))
            _azimuth(axes)
            for handle in axes.legend(loc="upper center", fontsize=9.5).legend_handles:
                handle.set_sizes([30])
    figure.suptitle(title)
    return figure


def collisions(event: ak.Array, *, title: str, half_width: float = 200.0):
    r"""Draw one event in the :math:`(d_z, \varphi)` plane, each collision in a colour of its own.

    The event is ``var * Track`` with ``origin``; the view is cut at `half_width` in mm.
    """
    origin = _origin(event)
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2))
    colours = pyplot.get_cmap("viridis")(np.linspace(0, 0.93, max(origin.max(), 1)))
    for number in range(1, origin.max() + 1):
        part = event[origin == number]
        axes.scatter(part.dz, part.phi, s=_area(part), color=colours[number - 1], lw=0)
    axes.set(title=title, xlim=(-half_width, half_width))
    _azimuth(axes)
    axes.set_ylim(-np.pi, np.pi)
    return figure


def dz_by_reference(references: Mapping[str, ak.Array], *, title: str):
    """Distribution of dz of hard and pileup tracks, a panel for each reference point.

    References are name → events (``n * var * Track`` with ``origin``). Drawn against :math:`|d_z|`
    on a logarithmic axis; the first and last bins hold what lies beyond. The error bars count the
    tracks of one event as one draw.
    """
    if not references:
        raise ValueError("references: there is no event to draw")
    edges = np.geomspace(1e-2, 1e4, 37)
    columns, rows = min(2, len(references)), -(-len(references) // 2)
    size = (4.2 * columns + 0.6, 3.4 * rows + 0.6)
    figure, panels = rows_of_panels(len(references), columns=2, figsize=size, sharex=True)
    for axes, (name, events) in zip(panels.flat, references.items(), strict=False):
        event = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(events)))
        tracks = ak.flatten(events)
        dz = np.clip(abs(ak.to_numpy(tracks.dz)), edges[0], edges[-1])
        hard = _origin(tracks) == 0
        heights = {
            source: count(dz[part], edges, groups=event[part]) / len(events)
            for source, part in (("hard event", hard), ("pileup", ~hard))
        }
        axes.set_xscale("log")
        draw(axes, heights, edges, colours={"hard event": COLOURS["signal"], "pileup": _PILEUP})
        axes.set(title=name, yscale="log")
    for axes in panels[-1]:
        axes.set_xlabel("$|d_z|$ [mm]")
    for axes in panels[:, 0]:
        axes.set_ylabel("tracks per event and bin")
    panels[0, 0].legend(loc="upper left")
    figure.suptitle(title)
    return figure


def hard_share(events: ak.Array, *, max_tracks: int = 80) -> dict[str, float]:
    """Share of the hardest tracks of an event that come from its hard collision: value and error.

    Events are accepted tracks (``n * var * Track`` with ``origin``). The share is taken in each
    event that has tracks, then averaged over these events; the error is the standard error of that
    mean.
    """
    _origin(ak.flatten(events))
    filled = events[ak.num(events) > 0]
    if len(filled) < 2:
        raise ValueError(f"events: {len(filled)} with tracks; the error of a mean needs two")
    hardest = filled.origin[ak.argsort(filled.pt, ascending=False)][:, :max_tracks]
    shares = ak.to_numpy(ak.mean(hardest == 0, axis=1))
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    return {"value": float(np.mean(shares)), "error": float(error)}


def share_by_mu(shares: Mapping[str, Mapping[float, dict]], *, title: str, max_tracks: int = 80):
    """Share of hard tracks against the mean number of pileup events, with errors.

    Shares are process → mu → what :func:`hard_share` gives.
    """
    if not shares:
        raise ValueError("shares: there is no process to draw")
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2))
    colours = [COLOURS["background"], COLOURS["synthetic"], COLOURS["signal"]]
    for number, (name, by_mu) in enumerate(shares.items()):
        look = {"marker": "osD^v"[number % 5], "color": colours[number % 3], "label": name}
        axes.errorbar(list(by_mu), *measured(by_mu.values()), ms=5, capsize=4, **look)
    axes.set(xlabel=r"mean number of pileup events $\mu$", title=title, ylim=(0, None))
    axes.margins(x=0.05)
    axes.set_ylabel(f"hard share of the {max_tracks} hardest tracks")
    axes.legend()
    return figure


def padding(samples: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str):
    """The matrices that a network reads: events by track slots, shaded by pT, padding hatched.

    Samples are title of a panel → ``(X, mask)`` as :func:`hepgmm.select` gives them; some dozens of
    events.
    """
    if not samples:
        raise ValueError("samples: there is nothing to draw")
    n = len(samples)
    figure, panels = rows_of_panels(n, columns=n, figsize=(4.6 * n + 1, 4.2))
    for axes, (name, (X, mask)) in zip(panels.flat, samples.items(), strict=True):
        share = np.ma.masked_where(~mask, np.log10(np.where(mask, X[..., 0], 1)))
        axes.patch.set(hatch="//", edgecolor="0.75")
        image = axes.imshow(share, aspect="auto", interpolation="none", vmin=-3, vmax=0)
        axes.set(title=name, xlabel="track slot, by falling $p_T$")
        axes.minorticks_off()
    panels[0, 0].set_ylabel("event")
    figure.colorbar(image, ax=panels, label=r"$\log_{10}\,(p_T / \Sigma p_T)$")
    figure.suptitle(title)
    return figure


def _origin(tracks):
    if "origin" not in tracks.fields:
        raise ValueError('events: tracks have no field origin; set events["origin"] = truth')
    return ak.to_numpy(tracks.origin)


def _area(tracks):
    return np.clip(8 * ak.to_numpy(tracks.pt), 4, 250)


def _azimuth(axes):
    axes.set(xlabel="$d_z$ [mm]", ylabel=r"$\varphi$ [rad]", ylim=(-np.pi, 1.65 * np.pi))
    axes.set_yticks([-np.pi, 0, np.pi], [r"$-\pi$", "0", r"$\pi$"])
    axes.minorticks_off()
