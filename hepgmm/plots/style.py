"""One look for every figure, its alternative text, and figures that step without a kernel."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence

import mplhep
from matplotlib import cycler, pyplot

from hepgmm.classify.ladder import RUNGS
from hepgmm.io.atomic import atomic_write

__all__ = [
    "COLOURS",
    "Picture",
    "finish",
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
_PIXELS_PER_INCH = 100
_SHARPNESS = 2


def use_style():
    """Set matplotlib up for the book: mplhep's look with the sizes of a web page.

    Changes the global ``matplotlib.rcParams``, so it is called (once, by a notebook), never run
    at import. The background is opaque white: a figure stays legible on a dark page.

    Examples
    --------
    >>> import matplotlib
    >>> use_style()
    >>> matplotlib.rcParams["savefig.facecolor"]
    'white'
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


def rows_of_panels(n_panels: int, *, columns: int = 3):
    """A figure with panels of one height axis, in rows of a few; places that are left are empty.

    Parameters
    ----------
    n_panels
        How many are needed.
    columns
        The most in a row.

    Returns
    -------
    figure : matplotlib.figure.Figure
    panels : array of matplotlib.axes.Axes
        One row of it for each row of the figure.

    Examples
    --------
    >>> figure, panels = rows_of_panels(5)
    >>> panels.shape, [axes.axison for axes in panels.flat]
    ((2, 3), [True, True, True, True, True, False])
    >>> pyplot.close(figure)
    """
    columns = min(n_panels, columns)
    rows = -(-n_panels // columns)
    size = (10.8 / max(columns, 2) * columns, 3.4 * rows + 0.5)
    figure, panels = pyplot.subplots(rows, columns, figsize=size, sharey=True, squeeze=False)
    for axes in panels.flat[n_panels:]:
        axes.axis("off")
    return figure, panels


class Picture:
    """A finished figure as a PNG image with its alternative text.

    Jupyter and the book show it as an HTML image with an ``alt`` attribute; formats without
    HTML fall back to the plain PNG.

    Parameters
    ----------
    png
        The image file's bytes.
    alt
        What a reader who cannot see the figure should know about it.
    width
        Width on the page, in CSS pixels (the image shrinks on narrow screens).

    Examples
    --------
    >>> Picture(b"", alt="A falling curve", width=400).html
    '<img src="data:image/png;base64," alt="A falling curve" width="400" style="max-width: 100%; height: auto; background: white">'
    """  # noqa: E501

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
    """Turn a matplotlib figure into a `Picture`, twice as sharp as it is wide, and close it.

    Parameters
    ----------
    figure
        The ``matplotlib.figure.Figure``.
    alt
        Alternative text: what the figure shows, in a sentence or two.

    Returns
    -------
    Picture
        As the last expression of a cell it is what the cell shows.

    Raises
    ------
    ValueError
        When the alternative text is empty.

    Examples
    --------
    >>> from matplotlib import pyplot
    >>> figure, axes = pyplot.subplots()
    >>> finish(figure, "Empty axes").png[1:4]
    b'PNG'
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
    """Write a figure as SVG, the same file for the same figure, and close it.

    Parameters
    ----------
    path
        The file to write; its folder is made when missing.
    figure
        The ``matplotlib.figure.Figure``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "empty.svg"
    >>> save_svg(path, pyplot.figure())
    >>> path.read_text()[:5]
    '<?xml'
    """
    with pyplot.rc_context({"svg.hashsalt": "hepgmm"}), atomic_write(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    pyplot.close(figure)


def stepper(pictures: Sequence, labels: Sequence[str], *, description: str):
    """Step through pictures with a slider.

    Every picture is drawn beforehand and the slider is linked to the stack of pictures inside
    the browser, so that the slider works in JupyterLab as well as on a rendered page.

    Parameters
    ----------
    pictures
        `hepgmm.plots.Picture` objects (what ``finish`` returns), one a position.
    labels
        What the slider reads at each position.
    description
        The name of the quantity in front of the slider, with its unit.

    Returns
    -------
    ipywidgets.VBox
        The slider above the stack of pictures.

    Raises
    ------
    ValueError
        When there are fewer than two pictures, or not one label per picture.

    Examples
    --------
    >>> from hepgmm.plots import Picture
    >>> pictures = [Picture(b"", alt=f"{k} ellipses", width=400) for k in (1, 2)]
    >>> stepper(pictures, ["1", "2"], description="K").children[1].selected_index
    0
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
