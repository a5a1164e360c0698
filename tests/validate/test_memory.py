"""Nearest training events: copies, near copies, fresh events."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from hepgmm.validate import nearest_ratio


def normal(n, seed, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(n, 3)) * [1.0, 100.0, 0.01]


def test_fresh_events_are_as_near_as_fresh_events():
    ratios = [
        nearest_ratio(normal(300, s), normal(400, s + 100), normal(500, s + 200), seed=s)
        for s in range(12)
    ]
    values, errors = np.array([list(ratio.values()) for ratio in ratios]).T
    assert abs(values.mean() - 1) < 4 * values.std() / np.sqrt(len(values))
    assert 0.5 < values.std() / np.median(errors) < 2


@pytest.mark.parametrize("smear", [0.0, 0.01, 0.1])
def test_copies_are_found_by_how_much_they_were_smeared(smear):
    training, real = normal(300, 1), normal(300, 2)
    copies = training + normal(300, 3, scale=smear)
    value = nearest_ratio(training, real, copies, seed=4)["value"]
    scale = real.std(axis=0)
    near, fresh = (
        np.median(cdist(x / scale, training / scale).min(axis=1)) for x in (copies, real)
    )
    assert value == pytest.approx(near / fresh, abs=1e-12)
    # The length of three unit normals has the median 1.54.
    assert value <= 1.7 * smear / fresh


def test_units_change_nothing_and_constant_features_neither():
    training, real, other = (normal(200, seed) for seed in (1, 2, 3))
    one = nearest_ratio(training, real, other, seed=1)
    scaled = (
        np.column_stack([x * [10.0, 0.1, 7.0], np.ones(200)]) for x in (training, real, other)
    )
    two = nearest_ratio(*scaled, seed=1)
    assert two["value"] == pytest.approx(one["value"])
    assert two["error"] == pytest.approx(one["error"])


def test_training_events_are_not_fresh():
    training = normal(200, 1)
    with pytest.raises(ValueError, match="real: most of these events are training events"):
        nearest_ratio(training, training, normal(200, 2), seed=1)
