"""Figures of events under pileup. Their tracks have one more field, ``origin``.

``origin`` is 0 for a track of the hard event and 1, 2, ... for those of the pileup events:
``events["origin"] = truth`` with what ``hepgmm.overlay(..., return_truth=True)`` gives.
"""

from __future__ import annotations

from collections.abc import Mapping

import awkward as ak
import numpy as np
from matplotlib import pyplot

from hepgmm.plots.histograms import count, draw
from hepgmm.plots.style import COLOURS

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

    A point is a track; its area grows with the transverse momentum. Tracks that start at the
    vertex of one collision line up at one :math:`d_z`. The legend counts the tracks out of view.

    Parameters
    ----------
    events
        Name -> one event (``var * Track`` with ``origin``), a row each.
    title
        What is seen, with the preset and the reference of dz.
    colours
        Name -> colour of the hard tracks.
    half_width
        Half the width of the view, mm.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no event, or its tracks have no origin.

    Examples
    --------
    >>> track = {"pt": 5.0, "eta": 0.1, "phi": 0.2, "d0": 0.0, "dz": 20.0, "origin": 0}
    >>> figure = before_and_after({"signal": ak.Array([track])}, title="toy")
    >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
    ('$d_z$ [mm]', '$\\varphi$ [rad]')
    """
    if not events:
        raise ValueError("events: there is no event to draw")
    figure, grid = pyplot.subplots(
        len(events), 2, figsize=(9.4, 4.1 * len(events)), squeeze=False, sharex=True, sharey=True
    )
    for row, (name, event) in zip(grid, events.items(), strict=True):
        origin = _origin(event)
        for axes, tracks, when in (
            (row[0], event[origin == 0], "alone"),
            (row[1], event, "in pileup"),
        ):
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

    Parameters
    ----------
    event
        One event (``var * Track`` with ``origin``).
    title
        What is seen, with the preset and the reference of dz.
    half_width
        Half the width of the view, mm.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the tracks have no origin.

    Examples
    --------
    >>> track = {"pt": 5.0, "eta": 0.1, "phi": 0.2, "d0": 0.0, "dz": 20.0, "origin": 3}
    >>> collisions(ak.Array([track]), title="toy").axes[0].get_xlabel()
    '$d_z$ [mm]'
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
    r"""Distribution of dz of hard and pileup tracks, a panel for each reference point.

    Drawn against :math:`|d_z|` on a logarithmic axis; the first and last bins hold what lies
    beyond. The error bars count the tracks of one event as one draw.

    Parameters
    ----------
    references
        Name of the reference -> events (``n * var * Track`` with ``origin``).
    title
        What is seen, with the preset.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no sample, or its tracks have no origin.

    Examples
    --------
    >>> track = {"pt": 5.0, "eta": 0.1, "phi": 0.2, "d0": 0.0, "dz": 20.0, "origin": 0}
    >>> dz_by_reference({"hard": ak.Array([[track]])}, title="toy").axes[0].get_xlabel()
    '$|d_z|$ [mm]'
    """
    if not references:
        raise ValueError("references: there is no event to draw")
    edges = np.geomspace(1e-2, 1e4, 37)
    columns = min(2, len(references))
    rows = -(-len(references) // columns)
    size = (4.2 * columns + 0.6, 3.4 * rows + 0.6)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False
    )
    for axes, (name, events) in zip(panels.flat, references.items(), strict=False):
        event = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(events)))
        tracks = ak.flatten(events)
        dz = np.clip(abs(ak.to_numpy(tracks.dz)), edges[0], edges[-1])
        hard = _origin(tracks) == 0
        heights = {}
        for source, rows in (("hard event", hard), ("pileup", ~hard)):
            counts, errors = count(dz[rows], edges, groups=event[rows])
            heights[source] = counts / len(events), errors / len(events)
        axes.set_xscale("log")
        draw(axes, heights, edges, colours={"hard event": COLOURS["signal"], "pileup": _PILEUP})
        axes.set(title=name, yscale="log")
    for axes in panels[-1]:
        axes.set_xlabel("$|d_z|$ [mm]")
    for axes in panels.flat[len(references) :]:
        axes.axis("off")
    for axes in panels[:, 0]:
        axes.set_ylabel("tracks per event and bin")
    panels[0, 0].legend(loc="upper left")
    figure.suptitle(title)
    return figure


def hard_share(events: ak.Array, *, max_tracks: int = 80) -> dict[str, float]:
    """Share of the hardest tracks of an event that come from its hard collision.

    The share is taken in each event that has tracks, then averaged over these events.

    Parameters
    ----------
    events
        Accepted tracks (``n * var * Track`` with ``origin``).
    max_tracks
        How many of the hardest tracks of an event count.

    Returns
    -------
    dict
        ``value``, and ``error``, the standard error of the mean over events.

    Raises
    ------
    ValueError
        When the tracks have no origin, or fewer than two events have tracks.

    Examples
    --------
    >>> hard, soft = {"pt": 5.0, "origin": 0}, {"pt": 1.0, "origin": 7}
    >>> hard_share(ak.Array([[hard, soft], [soft], []]))
    {'value': 0.25, 'error': 0.25}
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
    r"""Share of hard tracks against the mean number of pileup events, with errors.

    Parameters
    ----------
    shares
        Name of a process -> mu -> what :func:`hard_share` gives.
    title
        What is seen, with the preset.
    max_tracks
        How many of the hardest tracks were looked at.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no process.

    Examples
    --------
    >>> shares = {"QCD": {20: {"value": 0.4, "error": 0.01}, 60: {"value": 0.2, "error": 0.01}}}
    >>> share_by_mu(shares, title="toy").axes[0].get_xlabel()
    'mean number of pileup events $\\mu$'
    """
    if not shares:
        raise ValueError("shares: there is no process to draw")
    figure, axes = pyplot.subplots(figsize=(7.5, 4.2))
    colours = [COLOURS["background"], COLOURS["synthetic"], COLOURS["signal"]]
    for number, (name, by_mu) in enumerate(shares.items()):
        values = [share["value"] for share in by_mu.values()]
        errors = [share["error"] for share in by_mu.values()]
        style = {"marker": "osD^v"[number % 5], "color": colours[number % 3], "ms": 5}
        axes.errorbar(list(by_mu), values, errors, capsize=4, label=name, **style)
    axes.set(xlabel=r"mean number of pileup events $\mu$", title=title, ylim=(0, None))
    axes.margins(x=0.05)
    axes.set_ylabel(f"hard share of the {max_tracks} hardest tracks")
    axes.legend()
    return figure


def padding(samples: Mapping[str, tuple[np.ndarray, np.ndarray]], *, title: str):
    r"""The matrices that a network reads: events by track slots, shaded by pT, padding hatched.

    Parameters
    ----------
    samples
        Title of a panel -> ``(X, mask)`` as :func:`hepgmm.select` gives them; some dozens of
        events.
    title
        What is seen, with the preset.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is nothing to draw.

    Examples
    --------
    >>> X, mask = np.full((2, 3, 5), 0.5), np.array([[True, True, False]] * 2)
    >>> padding({"toy": (X, mask)}, title="two events").axes[0].get_ylabel()
    'event'
    """
    if not samples:
        raise ValueError("samples: there is nothing to draw")
    figure, panels = pyplot.subplots(
        1, len(samples), figsize=(4.6 * len(samples) + 1, 4.2), sharey=True, squeeze=False
    )
    for axes, (name, (X, mask)) in zip(panels[0], samples.items(), strict=True):
        share = np.ma.masked_where(~mask, np.log10(np.where(mask, X[..., 0], 1)))
        axes.patch.set(hatch="//", edgecolor="0.75")
        image = axes.imshow(share, aspect="auto", interpolation="none", vmin=-3, vmax=0)
        axes.set(title=name, xlabel="track slot, by falling $p_T$")
        axes.minorticks_off()
    panels[0, 0].set_ylabel("event")
    figure.colorbar(image, ax=panels[0], label=r"$\log_{10}\,(p_T / \Sigma p_T)$")
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
