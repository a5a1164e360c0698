"""Figures of tracks: an event display and the distributions of the five features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import awkward as ak
import numpy as np
from matplotlib import pyplot
from matplotlib.lines import Line2D

from hepgmm.plots.histograms import count, draw, histogram_ratio
from hepgmm.plots.style import COLOURS

__all__ = [
    "FEATURE_AXES",
    "FeatureAxis",
    "event_display",
    "signed_log",
    "track_features",
]


class FeatureAxis(NamedTuple):
    """How a track feature is binned and labelled.

    Attributes
    ----------
    label
        The quantity with its unit.
    edges
        Bin edges.
    logarithmic
        Whether the axis is logarithmic; then the absolute value is shown.
    """

    label: str
    edges: np.ndarray
    logarithmic: bool


# The first bin of |d0| and |dz| is set apart for the tracks that are exactly at zero.
_DISTANCE_EDGES = np.concatenate([[1e-14, 1e-12], np.geomspace(1e-11, 1e4, 46)])
FEATURE_AXES = {
    "pt": FeatureAxis(r"$p_T$ [GeV]", np.geomspace(1e-2, 1e3, 41), True),
    "eta": FeatureAxis(r"$\eta$", np.linspace(-12, 12, 49), False),
    "phi": FeatureAxis(r"$\varphi$ [rad]", np.linspace(-np.pi, np.pi, 25), False),
    "d0": FeatureAxis(r"$|d_0|$ [mm]", _DISTANCE_EDGES, True),
    "dz": FeatureAxis(r"$|d_z|$ [mm]", _DISTANCE_EDGES, True),
}


def signed_log(distance, scale: float = 0.01):
    r"""Compress a signed distance: :math:`\mathrm{asinh}(d / s)`.

    Linear within the scale *s*, logarithmic beyond it, zero at zero.

    Parameters
    ----------
    distance
        Signed distances, mm.
    scale
        Where the linear part ends, mm.

    Returns
    -------
    numpy.ndarray
        Same shape, no unit.

    Examples
    --------
    >>> signed_log([0.0, -0.01]).round(3)
    array([ 0.   , -0.881])
    """
    return np.arcsinh(np.asarray(distance, dtype=float) / scale)


def track_features(
    samples: Mapping[str, ak.Array],
    *,
    title: str,
    features=tuple(FEATURE_AXES),
    reference: str | None = None,
):
    r"""Draw the distributions of the track features, in tracks per event and bin.

    The error bars count the tracks of one event as one draw (see
    `hepgmm.plots.histograms.count`). Distances are shown by absolute value on a logarithmic
    axis whose first bin, labelled 0, holds the tracks that are exactly at zero.

    Parameters
    ----------
    samples
        Name in the legend -> events (``n * var * Track``). The names of `COLOURS` have a colour
        of their own.
    title
        What the samples are, with the preset.
    features
        Which features, in the order of the panels.
    reference
        Name of the sample that the others are divided by, in a second panel below each.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no sample, one has no events, or the reference is not among them.

    Examples
    --------
    >>> tracks = [{"pt": 1.0, "eta": 0.1, "phi": 0.2, "d0": 0.0, "dz": 0.0}]
    >>> figure = track_features({"real": ak.Array([tracks])}, title="toy", features=["pt"])
    >>> figure.axes[0].get_xlabel()
    '$p_T$ [GeV]'
    """
    for name, events in samples.items():
        if not len(events):
            raise ValueError(f"{name}: the sample has no events, there is nothing to draw")
    if not samples:
        raise ValueError("samples: give at least one sample of events")
    columns = min(len(features), 3 if reference is None else 2)
    rows = -(-len(features) // columns)
    height = 3.1 if reference is None else 4.2
    figure = pyplot.figure(figsize=(10.8, height * rows))
    cells = np.atleast_1d(figure.subfigures(rows, columns)).ravel()
    for cell, feature in zip(cells, features, strict=False):
        axis = FEATURE_AXES[feature]
        heights = {name: _per_event(events, feature) for name, events in samples.items()}
        if reference is None:
            upper = lower = cell.subplots()
            upper.set_xscale("log" if axis.logarithmic else "linear")
            draw(upper, heights, axis.edges)
            upper.set_xlabel(axis.label)
        else:
            upper, lower = histogram_ratio(
                cell,
                heights,
                axis.edges,
                reference=reference,
                xlabel=axis.label,
                logx=axis.logarithmic,
            )
        _finish_axes(upper, lower, feature)
    handles, names = upper.get_legend_handles_labels()
    if len(cells) > len(features):
        cells[len(features)].legend(handles, names, loc="center", fontsize=13)
    else:
        cells[0].axes[0].legend()
    figure.suptitle(title)
    return figure


def event_display(
    events: Mapping[str, ak.Array], *, title: str, radius: float = 300.0, pt_min: float = 1.0
):
    r"""Draw tracks in the transverse plane and in the (z, r) plane, near the collision.

    A track passes the beam line, at its point of closest approach
    :math:`(d_0 \sin\varphi, -d_0 \cos\varphi, d_z)`, in the direction
    :math:`(\cos\varphi, \sin\varphi, \sinh\eta)` per unit of transverse length. Lines are drawn
    straight: in a field of 2 T the sagitta of a track of 1 GeV over 300 mm is some 7 mm, hardly
    visible here. Tracks at d0 = 0 start at the vertex; the others are drawn as
    dashed lines through their closest approach, since where a particle was born is not recorded.

    Parameters
    ----------
    events
        Name -> one event (``var * Track``); one row each.
    title
        What is seen, with the preset.
    radius
        Half the width of the view, mm.
    pt_min
        Softer tracks are left out (they would bend), GeV.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no event to draw.

    Examples
    --------
    >>> tracks = [{"pt": 5.0, "eta": 0.1, "phi": 0.2, "d0": 40.0, "dz": 20.0}]
    >>> len(event_display({"LLP": ak.Array(tracks)}, title="toy").axes)
    2
    """
    if not len(events):
        raise ValueError("events: there is no event to draw")
    figure, grid = pyplot.subplots(len(events), 2, figsize=(9.0, 4.4 * len(events)), squeeze=False)
    for (transverse, longitudinal), (name, event) in zip(grid, events.items(), strict=True):
        for track in event[event.pt > pt_min]:
            x, y, z, r = _straight_line(track, radius)
            displaced = abs(track.d0) > 0.1
            line = {
                "color": COLOURS["signal"] if displaced else "0.6",
                "lw": 1.2 if displaced else 0.8,
                "ls": "--" if displaced else "-",
            }
            transverse.plot(x, y, **line)
            longitudinal.plot(z, r, **line)
        transverse.set_title(name)
        transverse.plot(0, 0, "k+", ms=10)
        longitudinal.plot(0, 0, "k+", ms=10)
        view = (-radius, radius)
        transverse.set(xlabel="x [mm]", ylabel="y [mm]", xlim=view, ylim=view, aspect="equal")
        longitudinal.set(xlabel="z [mm]", ylabel="r [mm]", xlim=view, ylim=(0, radius))
    keys = [
        Line2D([], [], color="0.6", label=r"$|d_0|$ up to 0.1 mm"),
        Line2D([], [], color=COLOURS["signal"], ls="--", label=r"$|d_0|$ above 0.1 mm"),
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2)
    figure.suptitle(title)
    return figure


def _straight_line(track, radius):
    length = np.linspace(0, 2 * radius, 400)
    x = track.d0 * np.sin(track.phi) + length * np.cos(track.phi)
    y = -track.d0 * np.cos(track.phi) + length * np.sin(track.phi)
    return x, y, track.dz + length * np.sinh(track.eta), np.hypot(x, y)


def _per_event(events, feature):
    axis = FEATURE_AXES[feature]
    values = ak.to_numpy(ak.flatten(events[feature])).astype(float)
    if axis.logarithmic:
        values = np.clip(abs(values), axis.edges[0], axis.edges[-1])
    if feature in ("d0", "dz"):  # small but not zero: into the first bin after the gap
        values[(values > axis.edges[0]) & (values < axis.edges[2])] = axis.edges[2]
    owner = np.repeat(np.arange(len(events)), ak.to_numpy(ak.num(events[feature])))
    counts, errors = count(values, axis.edges, groups=owner)
    return counts / len(events), errors / len(events)


def _finish_axes(upper, lower, feature):
    upper.set_ylabel("tracks per event and bin")
    edges = FEATURE_AXES[feature].edges
    upper.set_xlim(edges[0], edges[-1])
    if feature == "phi":
        upper.set_ylim(bottom=0)
    else:
        upper.set_yscale("log")
    if feature in ("d0", "dz"):
        powers = range(-9, 4, 3)
        lower.set_xticks(
            [1e-13, *(10.0**n for n in powers)], ["0", *(f"$10^{{{n}}}$" for n in powers)]
        )
        lower.xaxis.minorticks_off()
