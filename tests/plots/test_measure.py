"""Figures of costs: their numbers, labels and errors."""

import numpy as np
from matplotlib import pyplot

from hepgmm.plots.measure import cost_panels, cost_scan

RATES = {"1": {"value": 100.0, "error": 3.0}, "2": {"value": 60.0, "error": 2.0}}


def test_cost_panels_have_a_panel_for_each_size():
    panel = {"at": [1, 2], "hepgmm": list(RATES.values()), "scikit-learn": list(RATES.values())}
    figure = cost_panels({"tracks": panel, "components": panel})
    assert [axes.get_xlabel() for axes in figure.axes] == ["tracks", "components"]
    assert figure.axes[0].containers[1].lines[0].get_ydata().tolist() == [100, 60]
    pyplot.close(figure)


def test_cost_scan_shows_every_rate_and_error():
    figure = cost_scan({"n_blocks": RATES}, title="toy")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "attention blocks"
    segments = axes.containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([[y for _, y in s] for s in segments], [[97, 103], [58, 62]])
    pyplot.close(figure)
