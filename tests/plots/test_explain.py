"""Figures of what a network looks at: every track and every group is in them."""

import numpy as np
import pytest
from matplotlib import pyplot

from hepgmm.classify import Sample
from hepgmm.plots import explain


@pytest.fixture(autouse=True)
def close_figures():
    yield
    pyplot.close("all")


@pytest.fixture
def sample():
    hard = np.array([[True, True, False, False]])
    return Sample(np.ones((1, 4, 6)), np.ones((1, 4), dtype=bool), [1], None, hard)


def test_every_track_is_drawn_as_large_as_its_attention(sample):
    figure = explain.attended_tracks(sample, 0, np.arange(4), title="toy")
    axes = figure.axes[0]
    assert axes.get_xlabel() == "$d_z$ [mm]"
    sizes = np.concatenate([dots.get_sizes() for dots in axes.collections])
    np.testing.assert_allclose(sorted(sizes), 30 * np.arange(4))
    labels = [dots.get_label() for dots in axes.collections]
    assert labels[0] == "pileup, prompt" and labels[3] == "hard collision, displaced"


def test_a_bar_for_each_pair_of_groups():
    values = {"hard": {"hard": 2.0, "pileup": 0.5}, "pileup": {"hard": 1.5, "pileup": 1.0}}
    table = {
        giver: {receiver: {"value": value, "error": 0.1} for receiver, value in row.items()}
        for giver, row in values.items()
    }
    axes = explain.shares_panel({"block 1": table}, title="toy").axes[0]
    assert [patch.get_height() for patch in axes.patches] == [2.0, 1.5, 0.5, 1.0]
    assert axes.get_ylabel() == "attention / an even share"


def test_scores_are_counted_by_truth(sample):
    probability = np.array([[0.9, 0.9, 0.1, 0.9]])
    axes = explain.track_scores(probability, sample, title="toy", bins=2).axes[0]
    counts = {patch.get_label(): patch.get_data().values.tolist() for patch in axes.patches}
    assert counts == {"pileup": [1, 1], "hard collision": [0, 2]}
    assert axes.get_ylabel() == "tracks per bin"
