"""Interactive figures that work on a plain web page, with no kernel behind it."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["stepper"]


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
