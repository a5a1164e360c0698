"""Figures of Gaussian mixtures: ellipses over tracks, corner plots, correlations, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot
from matplotlib.lines import Line2D

from hepgmm.plots.style import COLOURS, LOOKS, rows_of_panels

__all__ = [
    "bic_curve",
    "corner_comparison",
    "curves",
    "draw_ellipses",
    "ellipse",
    "event_mixture",
    "matrix_map",
    "scatter",
]

_PLANES = (
    (1, 0, r"$\eta$", r"$\log(p_T\,/\,\mathrm{GeV})$"),
    (2, 3, r"$d_0$ [mm]", r"$d_z$ [mm]"),
)
_LINEAR_WITHIN = 1e-2  # mm; d0 and dz span seven powers of ten and both signs


def curves(x, values: Mapping, *, xlabel: str, ylabel: str, title: str, logarithmic: bool = False):
    """Draw at most four curves, name → (value, error), each ``(n,)``, against x ``(n,)``."""
    if not 1 <= len(values) <= len(LOOKS):
        raise ValueError(f"values: give one to {len(LOOKS)} curves, not {len(values)}")
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    for (name, (value, error)), look in zip(values.items(), LOOKS, strict=False):
        axes.errorbar(x, value, error, ms=5, capsize=2, label=name, **look)
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(0.05)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend()
    return figure


def bic_curve(n_components, bic, *, title: str, xlabel: str = "components K"):
    """Draw the Bayesian information criterion against candidates for K, shape ``(k,)``.

    The criterion has the shape ``(k,)``, or ``(k, starts)``: then each start is a dot and the line
    joins the lowest; NaN where K was not tried. The lowest of all is marked.
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
    mark = {"color": COLOURS["signal"], "label": f"lowest: K = {n_components[best]}"}
    axes.plot(n_components[best], lowest[best], "o", ms=11, mfc="none", mew=2, **mark)
    axes.margins(0.05)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=r"BIC $= k\,\log n - 2\,\log\hat{L}$", title=title)
    axes.legend()
    return figure


def ellipse(mean, covariance, n_sigma: float = 1.0, n_points: int = 200):
    r"""Points ``(2, n_points)`` of the contour *n* standard deviations from a 2-D Gaussian's mean.

    :math:`x(t) = \mu + n L (\cos t, \sin t)^T` with the Cholesky factor :math:`\Sigma = L L^T`.
    """
    try:
        factor = np.linalg.cholesky(np.asarray(covariance, dtype=float))
    except np.linalg.LinAlgError:
        raise ValueError("covariance: not positive definite, it has no ellipse") from None
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return np.asarray(mean, dtype=float)[:, None] + n_sigma * factor @ circle


def draw_ellipses(axes, mixture, features=(0, 1), *, n_sigma=(1, 2)):
    """Draw the components of a mixture in the plane of two features (its columns).

    Each is drawn by its marginal contours, in a colour of its own, thicker the larger its weight.
    """
    plane = list(features)
    components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    for number, (weight, mean, covariance) in enumerate(components):
        for n in n_sigma:
            x, y = ellipse(mean[plane], covariance[np.ix_(plane, plane)], n)
            axes.plot(x, y, color=f"C{number + 1}", lw=(0.7 + 2.5 * weight) / n)


def event_mixture(points, mixture, *, title: str):
    r"""Draw an event's tracks and the components of its mixture, in two planes.

    Tracks are (log pT, eta, d0, dz), shape ``(n, 4)``, in GeV and mm, and so is the mixture. Left
    (:math:`\eta`, log pT), right (d0, dz), with axes that are linear within 10 µm and logarithmic
    beyond. Contours are at one and two standard deviations, thicker the larger the weight.
    """
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != 4:
        raise ValueError(f"points: shape {points.shape} is not (tracks, 4): log pT, eta, d0, dz")
    figure, panels = pyplot.subplots(1, 2, figsize=(10.0, 4.4))
    for axes, (i, j, xlabel, ylabel) in zip(panels, _PLANES, strict=True):
        axes.scatter(points[:, i], points[:, j], s=14, color=COLOURS["real"], zorder=3)
        draw_ellipses(axes, mixture, (i, j))
        axes.set(xlabel=xlabel, ylabel=ylabel)
        axes.margins(0.1)
    _set_signed_log(panels[1])
    figure.suptitle(title)
    return figure


def scatter(samples: Mapping, *, xlabel: str, ylabel: str, title: str, xlim=None, ylim=None):
    """Draw points, name → (x, y), a panel for each name with shared axes."""
    if not samples:
        raise ValueError("samples: give at least one sample of points")
    n = len(samples)
    figure, panels = rows_of_panels(n, columns=n, figsize=(3.8 * n, 3.9), sharex=True)
    for axes, (name, (x, y)) in zip(panels.flat, samples.items(), strict=True):
        colour = COLOURS.get(name, COLOURS["synthetic"])
        axes.plot(x, y, ".", ms=2 if len(x) > 1000 else 5, color=colour)
        axes.set(xlabel=xlabel, title=name, xlim=xlim, ylim=ylim)
    panels[0, 0].set_ylabel(ylabel)
    figure.suptitle(title)
    return figure


def matrix_map(matrix, names: Sequence[str], *, title: str, label: str = "correlation"):
    """Draw a matrix ``(d, d)`` of numbers between -1 and 1 as a map of colours."""
    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(names), len(names)):
        raise ValueError(f"names: {len(names)} names for a matrix of shape {matrix.shape}")
    figure, axes = pyplot.subplots(figsize=(7.2, 6.0))
    image = axes.imshow(matrix, vmin=-1, vmax=1, cmap="PuOr_r")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.minorticks_off()
    axes.tick_params(length=0)
    axes.set_title(title)
    figure.colorbar(image, label=label)
    return figure


def corner_comparison(
    samples: Mapping, labels: Sequence[str], *, title: str, max_points: int = 20_000, seed: int
):
    """Draw every pair of quantities and every quantity alone, for samples on top of each other.

    Samples are name → ``(n, d)`` with d labels; larger ones are thinned at random. Contours hold
    39% and 86% of a sample (one and two standard deviations of a 2-D Gaussian). The range of each
    axis is the central 99.5% of the first sample.
    """
    import corner

    for name, points in samples.items():
        if np.ndim(points) != 2 or np.shape(points)[1] != len(labels):
            raise ValueError(f"{name}: shape {np.shape(points)} does not fit {len(labels)} labels")
        if len(points) <= len(labels):
            raise ValueError(f"{name}: {len(points)} points are too few for a corner plot")
    first = next(iter(samples.values()))
    low, high = np.quantile(first, [0.0025, 0.9975], axis=0)
    margin = 0.05 * (high - low) + 1e-9
    rng = np.random.default_rng(seed)
    size = 1.5 * len(labels) + 1
    settings = {
        "figure.constrained_layout.use": False,
        "xaxis.labellocation": "center",
        "yaxis.labellocation": "center",
    }
    with pyplot.rc_context(settings):
        figure = pyplot.figure(figsize=(size, size))
        for name, points in samples.items():
            thinned = rng.permutation(len(points))[:max_points]
            corner.corner(
                np.asarray(points)[thinned],
                fig=figure,
                labels=list(labels),
                range=list(zip(low - margin, high + margin, strict=True)),
                color=COLOURS.get(name, "0.3"),
                bins=40,
                smooth=1.0,
                levels=(0.393, 0.865),
                plot_datapoints=False,
                plot_density=False,
                no_fill_contours=True,
                weights=np.full(len(thinned), 1 / len(thinned)),
                max_n_ticks=3,
                labelpad=0.02,
            )
    for axes in figure.axes[:: len(labels) + 1]:  # corner scales the diagonal to the last sample
        axes.relim()
        axes.autoscale(axis="y")
        axes.set_ylim(bottom=0)
    handles = [Line2D([], [], color=COLOURS.get(name, "0.3"), label=name) for name in samples]
    figure.legend(handles=handles, loc="upper right", fontsize=14, title=title, title_fontsize=14)
    return figure


def _set_signed_log(axes):
    ticks = [-1e4, -1e2, -1, -_LINEAR_WITHIN, 0, _LINEAR_WITHIN, 1, 1e2, 1e4]
    axes.set_xscale("symlog", linthresh=_LINEAR_WITHIN)
    axes.set_yscale("symlog", linthresh=_LINEAR_WITHIN)
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        axis.set_ticks([tick for tick in ticks if low <= tick <= high])
