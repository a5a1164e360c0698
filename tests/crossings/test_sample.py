import numpy as np
import pytest

from hepgmm.classify.networks import MLP, predict
from hepgmm.crossings.samples import Sample


def test_indexing_keeps_events_together(toy):
    sample = toy(20, seed=1)
    part = sample[np.array([3, 1])]
    assert len(part) == 2
    for name in ("X", "mask", "y", "mass"):
        np.testing.assert_array_equal(getattr(part, name), getattr(sample, name)[[3, 1]])
    assert set(sample[sample.y == 1].y) == {1}
    assert Sample(sample.X, sample.mask, sample.y)[:3].mass is None


def test_broken_samples_are_named(toy):
    good = toy(5, seed=2)
    X = good.X.copy()
    X[3, 0, 2] = np.nan
    with pytest.raises(ValueError, match="X of event 3 has a value that is not finite"):
        Sample(X, good.mask, good.y)
    with pytest.raises(ValueError, match="X has shape"):
        Sample(good.X[..., :4], good.mask, good.y)
    with pytest.raises(ValueError, match="mask has shape"):
        Sample(good.X, good.mask[:, :3], good.y)
    with pytest.raises(ValueError, match="labels other than 0"):
        Sample(good.X, good.mask, good.y + 1)
    with pytest.raises(ValueError, match="mass has shape"):
        Sample(good.X, good.mask, good.y, [100.0])


def test_padding_may_hold_anything(toy):
    good = toy(4, seed=3)
    X = np.where(good.mask[..., None], good.X, np.nan)
    assert len(Sample(X, good.mask, good.y)) == 4


@pytest.mark.parametrize(
    ("order", "named"), [((1, 0, 2, 3, 4), "pt_relative"), ((0, 2, 1, 3, 4), "phi")]
)
def test_columns_in_another_order_are_named(toy, order, named):
    good = toy(200, seed=4)
    with pytest.raises(ValueError, match=f"{named} = .*; its columns have to be pt_relative, eta"):
        Sample(good.X[..., order], good.mask, good.y)
    with pytest.raises(ValueError, match=f"{named} = .*, in this order"):
        predict(MLP(), good.X[..., order], good.mask)
