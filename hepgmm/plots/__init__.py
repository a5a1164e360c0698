"""Figures of the notebooks: functions that return a matplotlib figure, units on every axis.

`use_style` sets the look once; ``finish(figure, alt)`` ends every figure of a notebook, so that
the page carries an alternative text for it.
"""

from hepgmm.plots.collide import event_display, signed_log, track_features
from hepgmm.plots.measure import cost_panels
from hepgmm.plots.mixture import (
    bic_curve,
    corner_comparison,
    curves,
    draw_ellipses,
    event_mixture,
    matrix_map,
    scatter,
)
from hepgmm.plots.style import (
    COLOURS,
    Picture,
    finish,
    histogram,
    histogram_ratio,
    save_svg,
    use_style,
)
from hepgmm.plots.validate import (
    auc_ladder,
    azimuth,
    event_panels,
    near_side_map,
)

__all__ = [
    "COLOURS",
    "Picture",
    "auc_ladder",
    "azimuth",
    "bic_curve",
    "corner_comparison",
    "cost_panels",
    "curves",
    "draw_ellipses",
    "event_display",
    "event_mixture",
    "event_panels",
    "finish",
    "histogram",
    "histogram_ratio",
    "matrix_map",
    "near_side_map",
    "save_svg",
    "scatter",
    "signed_log",
    "track_features",
    "use_style",
]
