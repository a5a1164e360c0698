"""One look for every figure: colours, histograms, alternative text, steps without a kernel."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence

import mplhep
import numpy as np
from matplotlib import cycler, pyplot

from hepgmm.classify.ladder import RUNGS
from hepgmm.io.atomic import atomic_write

__all__ = [
    "COLOURS",
    "LOOKS",
    "Picture",
    "count",
    "draw",
    "finish",
    "histogram",
    "histogram_ratio",
    "measured",
    "rows_of_panels",
    "save_svg",
    "stepper",
    "use_style",
]

# Told apart under the common colour blindnesses and in print; a role keeps its colour in the book.
COLOURS = {
    "real": "#1b1b1b",
    "synthetic": "#e07b00",
    "background": "#2f7fc9",
    "signal": "#bd1f01",
}
COLOURS |= {
    "fitted": COLOURS["real"],
    "minimum bias": COLOURS["real"],
    "QCD": COLOURS["background"],
    "LLP": COLOURS["signal"],
}
# In their order.
_OF_RUNGS = ("#1b1b1b", "#717581", "#009e73", "#a96b59", "#832db6", "#d55fb0")
_OF_RUNGS += ("#2f7fc9", "#bd1f01", "#e07b00")
COLOURS |= dict(zip(RUNGS, _OF_RUNGS, strict=True))
LOOKS = [
    {"color": COLOURS[role], "marker": marker}
    for role, marker in zip(("background", "synthetic", "mlp", "transformer"), "osD^", strict=True)
]
_PIXELS_PER_INCH = 100
_SHARPNESS = 2


def use_style():
    """Set matplotlib up for the book: mplhep's look, a web page's sizes, opaque white behind.

    Changes the global ``matplotlib.rcParams``, so a notebook calls it, no import does.
    """
    pyplot.style.use(mplhep.style.ATLAS)
    pyplot.rcParams.update(
        {
            "axes.labelsize": 12,
            "axes.prop_cycle": cycler(color=list(dict.fromkeys(COLOURS.values()))),
            "axes.titlelocation": "left",
            "axes.titlesize": 12,
            "figure.dpi": _PIXELS_PER_INCH,
            "figure.facecolor": "white",
            "figure.figsize": (8.0, 4.5),
            "figure.constrained_layout.use": True,
            "figure.titlesize": 13,
            "font.size": 11,
            "legend.fontsize": 10.5,
            "lines.linewidth": 1.5,
            "savefig.dpi": _PIXELS_PER_INCH * _SHARPNESS,
            "savefig.facecolor": "white",
            "savefig.transparent": False,
            "xtick.labelsize": 10.5,
            "ytick.labelsize": 10.5,
        }
    )


def rows_of_panels(n_panels, *, columns=3, figsize=None, sharex=False):
    """A figure and its panels ``(rows, columns)`` of one height axis; places left are empty."""
    columns = min(n_panels, columns)
    rows = -(-n_panels // columns)
    figsize = figsize or (10.8 / max(columns, 2) * columns, 3.4 * rows + 0.5)
    figure, panels = pyplot.subplots(
        rows, columns, figsize=figsize, sharex=sharex, sharey=True, squeeze=False
    )
    for axes in panels.flat[n_panels:]:
        axes.axis("off")
    return figure, panels


def measured(figures):
    """Values and errors ``(2, n)`` of figures ``{"value", "error"}``."""
    return np.array([[figure["value"], figure["error"]] for figure in figures]).T


def count(values, edges, groups=None):
    r"""Counts of values ``(n,)`` between edges ``(b + 1,)``, and their errors: ``(2, b)``.

    Entries of one group (the tracks of one event, integers ``(n,)`` from 0 on) depend on each
    other. With :math:`n_{eb}` entries of group :math:`e` in bin :math:`b` the error of the count is
    :math:`\sqrt{\sum_e n_{eb}^2}`, the familiar :math:`\sqrt{n_b}` where each is its own group.
    """
    values, edges = np.asarray(values, dtype=float), np.asarray(edges, dtype=float)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("edges: bin edges must rise, at least two of them")
    counts = np.histogram(values, edges)[0].astype(float)
    if groups is None:
        return np.array([counts, np.sqrt(counts)])
    inside = (values >= edges[0]) & (values <= edges[-1])
    bins = np.minimum(np.searchsorted(edges, values[inside], side="right") - 1, len(counts) - 1)
    cells, entries = np.unique(np.asarray(groups)[inside] * len(counts) + bins, return_counts=True)
    squares = np.bincount(cells % len(counts), weights=entries**2.0, minlength=len(counts))
    return np.array([counts, np.sqrt(squares)])


def draw(axes, samples, edges, *, colours=COLOURS):
    """Draw a step line with error bars for each name → (heights, errors), shape ``(2, b)``.

    A name without a colour takes one that no other sample has.
    """
    spare = [c for c in dict.fromkeys(COLOURS.values()) if c not in map(colours.get, samples)]
    edges = np.asarray(edges, dtype=float)
    logarithmic = axes.get_xscale() == "log"
    centres = np.sqrt(edges[1:] * edges[:-1]) if logarithmic else (edges[1:] + edges[:-1]) / 2
    for name, (heights, errors) in samples.items():
        colour = colours.get(name) or spare.pop(0)
        axes.stairs(heights, edges, label=name, color=colour, lw=1.5)
        axes.errorbar(centres, heights, errors, fmt="none", ecolor=colour, lw=1.2)


def histogram(
    samples: Mapping,
    edges,
    *,
    xlabel: str,
    ylabel: str = "fraction per bin",
    title: str = "",
    logx: bool = False,
    logy: bool = False,
    colours: Mapping = COLOURS,
):
    """Compare samples of one number, name → values ``(n,)``, each normalised to one.

    Values outside the edges ``(b + 1,)`` are counted in the normalisation but not shown.
    """
    for name, values in samples.items():
        if not len(values):
            raise ValueError(f"{name}: the sample is empty, there is nothing to draw")
    figure, axes = pyplot.subplots()
    axes.set_xscale("log" if logx else "linear")
    fractions = {name: count(values, edges) / len(values) for name, values in samples.items()}
    draw(axes, fractions, edges, colours=colours)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title, xlim=(edges[0], edges[-1]))
    if logy:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
        axes.set_ylim(top=1.15 * axes.get_ylim()[1])  # room for the legend
    axes.legend()
    return figure


def histogram_ratio(figure, samples: Mapping, edges, *, reference: str, xlabel: str, logx=False):
    r"""Fill a figure with histograms and, below, their ratio to one of them; both axes.

    Samples are name → (heights, errors), shape ``(2, b)``. With independent errors the ratio
    :math:`r = a / b` has the error :math:`r \sqrt{(\sigma_a/a)^2 + (\sigma_b/b)^2}`.
    """
    if reference not in samples:
        raise ValueError(f"reference: {reference!r} is not one of {', '.join(samples)}")
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 1]})
    upper.set_xscale("log" if logx else "linear")
    draw(upper, samples, edges)
    base, base_error = samples[reference]
    ratios = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, (heights, errors) in samples.items():
            if name != reference:
                relative = np.hypot(errors / heights, base_error / base)
                ratios[name] = heights / base, heights / base * relative
    draw(lower, ratios, edges)
    lower.axhline(1, color=COLOURS.get(reference, "0.3"), lw=1)
    lower.set(xlabel=xlabel, ylabel=f"to {reference}", ylim=(0, 2.5))
    return upper, lower


class Picture:
    """A finished figure: PNG, alternative text, width in CSS pixels (less on narrow screens).

    Jupyter and the book show it as an HTML image with an ``alt`` attribute; formats without
    HTML fall back to the plain PNG.
    """

    def __init__(self, png: bytes, *, alt: str, width: int):
        self.png, self.alt, self.width = png, alt, width

    @property
    def html(self) -> str:
        """The picture as one self-contained ``<img>`` element."""
        data = base64.b64encode(self.png).decode()
        return (
            f'<img src="data:image/png;base64,{data}" alt="{html.escape(self.alt)}" '
            f'width="{self.width}" style="max-width: 100%; height: auto; background: white">'
        )

    def _repr_mimebundle_(self, include=None, exclude=None):
        return {"text/html": self.html, "image/png": self.png, "text/plain": self.alt}


def finish(figure, alt: str) -> Picture:
    """Turn a figure into a `Picture`, twice as sharp as it is wide, and close it.

    The alternative text says in a sentence or two what the figure shows.
    """
    if not alt.strip():
        raise ValueError("alt: the figure needs a sentence that says what it shows")
    file = io.BytesIO()
    dpi = _PIXELS_PER_INCH * _SHARPNESS
    figure.savefig(file, format="png", dpi=dpi, facecolor="white", bbox_inches="tight")
    pyplot.close(figure)
    png = file.getvalue()
    width = int.from_bytes(png[16:20], "big")  # a PNG file starts with its header: width, height
    return Picture(png, alt=alt, width=width // _SHARPNESS)


def save_svg(path, figure) -> None:
    """Write a figure as SVG, the same file for the same figure, and close it."""
    with pyplot.rc_context({"svg.hashsalt": "hepgmm"}), atomic_write(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def stepper(pictures: Sequence[Picture], labels: Sequence, *, description: str):
    """Step through pictures with a slider, which reads a label at each position.

    The slider is linked to the stack of pictures inside the browser, so that it works on a
    rendered page as well as in JupyterLab.
    """
    import ipywidgets

    if len(pictures) < 2:
        raise ValueError(f"pictures: a slider needs at least two pictures, not {len(pictures)}")
    if len(labels) != len(pictures):
        raise ValueError(f"labels: {len(labels)} labels for {len(pictures)} pictures")
    slider = ipywidgets.SelectionSlider(
        options=list(map(str, labels)),
        description=description,
        style={"description_width": "initial"},
        layout={"width": "100%", "max_width": "30em"},
    )
    stack = ipywidgets.Stack(
        [ipywidgets.HTML(picture.html) for picture in pictures], selected_index=0
    )
    ipywidgets.jslink((slider, "index"), (stack, "selected_index"))
    return ipywidgets.VBox([slider, stack])
