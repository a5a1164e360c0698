"""Figures of Gaussian mixtures: ellipses over tracks, corner plots, correlations, curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot
from matplotlib.lines import Line2D

from hepgmm.plots.style import COLOURS

__all__ = [
    "bic_curve",
    "corner_comparison",
    "cost_panels",
    "curves",
    "draw_ellipses",
    "ellipse",
    "event_mixture",
    "matrix_map",
    "scatter",
]

_CYCLE = ("background", "synthetic", "mlp", "transformer")
_MARKERS = "osD^"


def curves(x, values: Mapping, *, xlabel: str, ylabel: str, title: str, logarithmic: bool = False):
    """Draw quantities against a common one, each point with its error.

    Parameters
    ----------
    x
        ``(n,)``.
    values
        Name → ``(value, error)``, each ``(n,)``; at most four.
    xlabel, ylabel, title
        Labels, the quantities with their units.
    logarithmic
        Whether the horizontal axis is.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is nothing to draw or more than four curves.

    Examples
    --------
    >>> both = {"rising": ([1, 2], [0.1, 0.1]), "flat": ([1, 1], [0.1, 0.2])}
    >>> figure = curves([1, 10], both, xlabel="x", ylabel="y", title="toy", logarithmic=True)
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['rising', 'flat']
    >>> pyplot.close(figure)
    """
    if not 1 <= len(values) <= len(_CYCLE):
        raise ValueError(f"values: give one to {len(_CYCLE)} curves, not {len(values)}")
    figure, axes = pyplot.subplots(figsize=(7.0, 3.8))
    for (name, (value, error)), colour, marker in zip(
        values.items(), _CYCLE, _MARKERS, strict=False
    ):
        axes.errorbar(
            x, value, error, marker=marker, ms=5, capsize=2, color=COLOURS[colour], label=name
        )
    if logarithmic:
        axes.set_xscale("log")
    axes.margins(0.05)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.legend()
    return figure


def bic_curve(n_components, bic, *, title: str, xlabel: str = "components K"):
    """Draw the Bayesian information criterion against the number of components.

    With several starts a number, each is a dot and the line joins the lowest. The lowest of all,
    which is the number that is chosen, is marked.

    Parameters
    ----------
    n_components
        Candidates for K, shape ``(k,)``.
    bic
        Criterion of each, shape ``(k,)``, or of each start, ``(k, starts)``; NaN where K was not
        tried.
    title
        What was fitted, with the preset.
    xlabel
        What is counted.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When no candidate has a finite criterion.

    Examples
    --------
    >>> figure = bic_curve([1, 2, 3], [30.0, 10.0, 12.0], title="toy")
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'lowest: K = 2'
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
    axes.plot(
        n_components[best],
        lowest[best],
        "o",
        ms=11,
        mfc="none",
        mew=2,
        color=COLOURS["signal"],
        label=f"lowest: K = {n_components[best]}",
    )
    axes.margins(0.05)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.xaxis.minorticks_off()
    axes.set(xlabel=xlabel, ylabel=r"BIC $= k\,\log n - 2\,\log\hat{L}$", title=title)
    axes.legend()
    return figure


def cost_panels(panels: Mapping):
    """Draw the cost of a fit against the size of the problem, one panel for each size.

    Parameters
    ----------
    panels
        Size → ``{"at": […], name: […]}``: milliseconds an event at each size, each with its error.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> cost = [{"value": 0.1, "error": 0.01}, {"value": 0.2, "error": 0.02}]
    >>> panel = {"at": [1, 2], "hepgmm": cost, "scikit-learn": cost}
    >>> figure = cost_panels({"tracks": panel, "components": panel})
    >>> figure.axes[1].get_xlabel()
    'components'
    >>> pyplot.close(figure)
    """
    figure, grid = pyplot.subplots(
        1, len(panels), figsize=(2.7 * len(panels), 3.4), sharey=True, squeeze=False
    )
    for axes, (size, panel) in zip(grid.flat, panels.items(), strict=True):
        names = [name for name in panel if name != "at"]
        for name, colour, marker in zip(names, _CYCLE, _MARKERS, strict=False):
            value, error = np.array([[cost["value"], cost["error"]] for cost in panel[name]]).T
            axes.errorbar(
                panel["at"], value, error, marker=marker, ms=5, color=COLOURS[colour], label=name
            )
        axes.set(xlabel=size, xscale="log", yscale="log", xticks=panel["at"])
        axes.set_xticks(panel["at"], map(str, panel["at"]))
        axes.xaxis.minorticks_off()
    grid[0, 0].set_ylabel("time of one fit [ms an event]")
    grid[0, 0].legend()
    return figure


_PLANES = (
    (1, 0, r"$\eta$", r"$\log(p_T\,/\,\mathrm{GeV})$"),
    (2, 3, r"$d_0$ [mm]", r"$d_z$ [mm]"),
)
_LINEAR_WITHIN = 1e-2  # mm; d0 and dz span seven powers of ten and both signs


def ellipse(mean, covariance, n_sigma: float = 1.0, n_points: int = 200):
    r"""Points of the contour where a 2-D Gaussian is *n* standard deviations away.

    :math:`x(t) = \mu + n L (\cos t, \sin t)^T` with the Cholesky factor
    :math:`\Sigma = L L^T`.

    Parameters
    ----------
    mean
        Shape ``(2,)``.
    covariance
        Shape ``(2, 2)``, symmetric.
    n_sigma
        Mahalanobis distance of the contour.
    n_points
        Points along it.

    Returns
    -------
    numpy.ndarray
        Shape ``(2, n_points)``, a closed line.

    Raises
    ------
    ValueError
        When the covariance is not positive definite.

    Examples
    --------
    >>> contour = ellipse([0.0, 0.0], [[4.0, 0.0], [0.0, 1.0]])
    >>> float(contour[0].max().round(6)), contour.shape
    (2.0, (2, 200))
    """
    try:
        factor = np.linalg.cholesky(np.asarray(covariance, dtype=float))
    except np.linalg.LinAlgError:
        raise ValueError("covariance: not positive definite, it has no ellipse") from None
    angle = np.linspace(0, 2 * np.pi, n_points)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    return np.asarray(mean, dtype=float)[:, None] + n_sigma * factor @ circle


def draw_ellipses(axes, mixture, features=(0, 1), *, n_sigma=(1, 2)):
    """Draw the components of a mixture in the plane of two features.

    Each is drawn by its marginal contours, in a colour of its own, thicker the larger its weight.

    Parameters
    ----------
    axes
        Where.
    mixture
        Object with ``weights`` (K,), ``means`` (K, d) and ``covariances`` (K, d, d).
    features
        Columns of the horizontal and the vertical axis.
    n_sigma
        Contours, in standard deviations.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from hepgmm.mixture import GaussianMixture
    >>> axes = Figure().add_subplot()
    >>> draw_ellipses(axes, GaussianMixture([1.0], np.zeros((1, 3)), [np.eye(3)]), (0, 2))
    >>> len(axes.lines)
    2
    """
    plane = list(features)
    components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    for number, (weight, mean, covariance) in enumerate(components):
        for n in n_sigma:
            x, y = ellipse(mean[plane], covariance[np.ix_(plane, plane)], n)
            axes.plot(x, y, color=f"C{number + 1}", lw=(0.7 + 2.5 * weight) / n)


def event_mixture(points, mixture, *, title: str):
    r"""Draw an event's tracks with the components of its mixture, in two planes.

    Left (:math:`\eta`, log pT), right (d0, dz), the latter with axes that are linear within
    10 µm and logarithmic beyond. Each component is drawn by its contours at one and two
    standard deviations, thicker the larger its weight.

    Parameters
    ----------
    points
        Tracks as (log pT, eta, d0, dz), shape ``(n, 4)``; GeV and mm.
    mixture
        Object with ``weights`` (K,), ``means`` (K, 4) and ``covariances`` (K, 4, 4) of the same
        features.
    title
        What is seen, with the preset.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the points do not have four columns.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> mixture = SimpleNamespace(weights=[1.0], means=np.zeros((1, 4)), covariances=[np.eye(4)])
    >>> len(event_mixture(np.zeros((3, 4)), mixture, title="toy").axes)
    2
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
        if i == 2:
            _set_signed_log(axes)
    figure.suptitle(title)
    return figure


def scatter(samples: Mapping, *, xlabel: str, ylabel: str, title: str, xlim=None, ylim=None):
    """Draw points of two quantities, one panel per sample, with shared axes.

    Parameters
    ----------
    samples
        Name -> ``(x, y)``, two arrays of one length.
    xlabel, ylabel, title
        Labels, the quantities with their units.
    xlim, ylim
        Ends of the axes; by default all points are in view.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When there is no sample.

    Examples
    --------
    >>> figure = scatter({"real": ([1.0], [2.0])}, xlabel="x [mm]", ylabel="y [mm]", title="toy")
    >>> figure.axes[0].get_ylabel()
    'y [mm]'
    """
    if not samples:
        raise ValueError("samples: give at least one sample of points")
    figure, grid = pyplot.subplots(
        1,
        len(samples),
        figsize=(3.8 * len(samples), 3.9),
        sharex=True,
        sharey=True,
        squeeze=False,
    )
    for axes, (name, (x, y)) in zip(grid.flat, samples.items(), strict=True):
        axes.plot(
            x, y, ".", ms=2 if len(x) > 1000 else 5, color=COLOURS.get(name, COLOURS["synthetic"])
        )
        axes.set(xlabel=xlabel, title=name, xlim=xlim, ylim=ylim)
    grid[0, 0].set_ylabel(ylabel)
    figure.suptitle(title)
    return figure


def matrix_map(matrix, names: Sequence[str], *, title: str, label: str = "correlation"):
    """Draw a square matrix of numbers between -1 and 1 as a map of colours.

    Parameters
    ----------
    matrix
        Shape ``(d, d)``.
    names
        Row and column names, ``d`` of them.
    title
        What is seen, with the preset.
    label
        What the colours mean.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When the names do not fit the matrix.

    Examples
    --------
    >>> figure = matrix_map(np.eye(2), ["a", "b"], title="toy")
    >>> len(figure.axes)
    2
    """
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

    Contours hold 39% and 86% of a sample (one and two standard deviations of a 2-D Gaussian).
    The range of each axis is the central 99.5% of the first sample.

    Parameters
    ----------
    samples
        Name in the legend -> array of shape ``(n, d)``; the first one sets the ranges.
    labels
        The ``d`` quantities with their units.
    title
        What is seen, with the preset: the heading of the legend.
    max_points
        Larger samples are thinned at random to this many points.
    seed
        Seed of the thinning.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        When a sample does not have as many columns as there are labels, or too few points.

    Examples
    --------
    >>> points = np.random.default_rng(1).normal(size=(500, 2))
    >>> figure = corner_comparison({"real": points}, ["x", "y"], title="toy", seed=1)
    >>> len(figure.axes)
    4
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
