"""Figures of tracks: an event display and the distributions of the five features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import awkward as ak
import numpy as np
from matplotlib import pyplot
from matplotlib.lines import Line2D

from hepgmm.plots.style import COLOURS, count, draw, histogram_ratio

__all__ = [
    "FEATURE_AXES",
    "FeatureAxis",
    "event_display",
    "signed_log",
    "track_features",
]


class FeatureAxis(NamedTuple):
    """Label with unit, bin edges; a logarithmic axis shows the absolute value."""

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
_PROMPT = {"color": "0.6", "lw": 0.8, "ls": "-"}
_DISPLACED = {"color": COLOURS["signal"], "lw": 1.2, "ls": "--"}


def signed_log(distance, scale: float = 0.01):
    r"""Compress signed distances, mm, :math:`\mathrm{asinh}(d / s)`: linear within s, 0 at 0."""
    return np.arcsinh(np.asarray(distance, dtype=float) / scale)


def track_features(
    samples: Mapping[str, ak.Array],
    *,
    title: str,
    features=tuple(FEATURE_AXES),
    reference: str | None = None,
):
    """Draw the distributions of the track features, in tracks per event and bin.

    Samples are name → events (``n * var * Track``); with a reference, the ratios to it stand below.
    The error bars count the tracks of one event as one draw. Distances are shown by absolute value
    on a logarithmic axis whose first bin, labelled 0, holds the tracks that are exactly at zero.
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
            options = {"reference": reference, "xlabel": axis.label, "logx": axis.logarithmic}
            upper, lower = histogram_ratio(cell, heights, axis.edges, **options)
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

    Events are name → one event (``var * Track``), a row each; the view reaches to `radius` in mm. A
    track passes the beam line, at its point of closest approach :math:`(d_0 \sin\varphi, -d_0
    \cos\varphi, d_z)`, in the direction :math:`(\cos\varphi, \sin\varphi, \sinh\eta)` per unit of
    transverse length. Lines are drawn straight: in a field of 2 T the sagitta of a track of 1 GeV
    over 300 mm is some 7 mm, hardly visible here; softer ones than `pt_min` in GeV are left out.
    Tracks at d0 = 0 start at the vertex; the others are drawn as dashed lines through their closest
    approach, since where a particle was born is not recorded.
    """
    if not len(events):
        raise ValueError("events: there is no event to draw")
    figure, grid = pyplot.subplots(len(events), 2, figsize=(9.0, 4.4 * len(events)), squeeze=False)
    for (transverse, longitudinal), (name, event) in zip(grid, events.items(), strict=True):
        for track in event[event.pt > pt_min]:
            x, y, z, r = _straight_line(track, radius)
            displaced = abs(track.d0) > 0.1
            line = _DISPLACED if displaced else _PROMPT
            transverse.plot(x, y, **line)
            longitudinal.plot(z, r, **line)
        transverse.set_title(name)
        transverse.plot(0, 0, "k+", ms=10)
        longitudinal.plot(0, 0, "k+", ms=10)
        view = (-radius, radius)
        transverse.set(xlabel="x [mm]", ylabel="y [mm]", xlim=view, ylim=view, aspect="equal")
        longitudinal.set(xlabel="z [mm]", ylabel="r [mm]", xlim=view, ylim=(0, radius))
    keys = [
        Line2D([], [], **_PROMPT | {"lw": 1.5}, label=r"$|d_0|$ up to 0.1 mm"),
        Line2D([], [], **_DISPLACED | {"lw": 1.5}, label=r"$|d_0|$ above 0.1 mm"),
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
    return count(values, axis.edges, groups=owner) / len(events)


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
