"""The figures are there, finite and of the right kind; how large they are is no test."""

import math

from hepgmm.benchmark import sampling_speed


def test_every_rate_has_its_error():
    figures = sampling_speed(25, repeats=2)
    assert list(figures) == ["pythia", "mixture", "ratio", "fit"]
    for figure in figures.values():
        assert figure["value"] > 0
        assert 0 <= figure["error"] < math.inf
    # The median of two ratios lies between the extremes that the two rates allow.
    low, high = (
        (figures["mixture"]["value"] + sign * figures["mixture"]["error"])
        / (figures["pythia"]["value"] - sign * figures["pythia"]["error"])
        for sign in (-1, 1)
    )
    assert low <= figures["ratio"]["value"] <= high
