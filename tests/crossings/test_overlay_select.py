"""The one pass is the two steps it stands for, and faster ones are not another thing."""

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hepgmm.crossings.overlay import CHUNK, DZ_REFERENCES, overlay, overlay_select, select
from hepgmm.crossings.overlay_kernels import hardest
from hepgmm.events import make_events
from hepgmm.pileup.shared import SharedGMM


@pytest.fixture(scope="module")
def hard(toy_minbias):
    return toy_minbias[:40]


@pytest.fixture(scope="module")
def model(toy_minbias):
    return SharedGMM(n_prompt=4, n_displaced=3).fit(toy_minbias)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([1, 7, CHUNK, CHUNK + 1, 2 * CHUNK + 30]),
    st.sampled_from([0, 0.5, 3, 20]),
    st.sampled_from(DZ_REFERENCES),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_is_overlay_then_select(toy_minbias, model, n_hard, mu, dz_reference, synthetic, seed):
    """To the last bit, for any number of events, reference and kind of pileup."""
    hard = toy_minbias[np.arange(n_hard) % len(toy_minbias)]
    pileup = model if synthetic else toy_minbias
    options = {"mu": mu, "seed": seed, "dz_reference": dz_reference}
    cuts = {"pt_min": 0.4, "abs_eta_max": 3.0, "max_tracks": 30}
    events, truth = overlay(hard, pileup, **options, return_truth=True)
    X, mask, is_hard, index = select(
        events, **cuts, absolute_pt=True, truth=truth, return_index=True
    )
    found = overlay_select(hard, pileup, **options, **cuts, return_hard=True)
    for mine, theirs in zip(found, (X, mask, index, is_hard), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_truth_marks_the_tracks_of_the_hard_event(toy_minbias):
    """Pileup lies at large |eta|, hard tracks at small."""
    central = ak.with_field(toy_minbias[:30], toy_minbias[:30].eta / 1e3, "eta")
    outer = ak.with_field(toy_minbias, abs(toy_minbias.eta) / 10 + 3, "eta")
    X, mask, _, hard = overlay_select(central, outer, mu=2, seed=3, return_hard=True)
    np.testing.assert_array_equal(hard, mask & (np.abs(X[..., 1]) < 1))
    assert hard.any() and not hard[mask].all()


def test_more_tracks_than_the_first_buffer_holds(toy_minbias):
    crowded = ak.concatenate(
        [toy_minbias, make_events({k: np.full(9000, 1.0) for k in toy_minbias.fields}, [9000])]
    )
    X, mask, _ = overlay_select(crowded[-1:], crowded, mu=2, seed=1, max_tracks=9000)
    assert mask.sum() == 9000 and (X[0, :, 5] >= 1.0).all()
    assert X[0, :, 0].sum() <= 1 + 1e-5


def test_hardest_keeps_the_order_of_equal_tracks():
    pt = np.array([1.0, 3.0, 2.0, 2.0, 2.0, 5.0], dtype=np.float32)
    assert hardest(pt, 4).tolist() == [5, 1, 2, 3]
    assert hardest(pt, 9).tolist() == [5, 1, 2, 3, 4, 0]
    rng = np.random.default_rng(1)
    for _ in range(50):
        pt = rng.integers(0, 9, rng.integers(1, 40)).astype(np.float32)
        expected = np.argsort(-pt, kind="stable")[:7]
        np.testing.assert_array_equal(hardest(pt, 7), expected)


def test_bad_input_is_named(hard):
    with pytest.raises(ValueError, match="mu = -1"):
        overlay_select(hard, hard, mu=-1, seed=1)
    with pytest.raises(ValueError, match="dz_reference = 'beam'"):
        overlay_select(hard, hard, seed=1, dz_reference="beam")
    with pytest.raises(ValueError, match="max_tracks = 0"):
        overlay_select(hard, hard, seed=1, max_tracks=0)
