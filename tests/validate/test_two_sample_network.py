"""The transformer of whole events: its inputs, and what it can tell apart."""

import numpy as np
import torch

from hepgmm.events import make_events, to_columns
from hepgmm.validate.two_sample import split
from hepgmm.validate.two_sample_network import (
    EventNetwork,
    hardest_tracks,
    weighted_transformer_auc,
)


def toy(n_events, *, seed, opening=None):
    """Events of some tracks; with an opening, every second track is that far from its neighbour."""
    rng = np.random.default_rng(seed)
    counts = 2 * rng.poisson(2, n_events)
    n = counts.sum()
    phi = rng.uniform(-np.pi, np.pi, n)
    if opening is not None:
        phi[1::2] = phi[::2] + opening
    columns = {name: rng.normal(size=n) for name in ("eta", "d0", "dz")}
    return make_events(columns | {"pt": rng.lognormal(0, 0.3, n), "phi": phi}, counts)


def area(real, synthetic, **options):
    both = np.arange(len(real) + len(synthetic))
    fold = split(both >= len(real), both, seed=1)
    return weighted_transformer_auc(real, synthetic, fold, seed=2, **options)(np.ones(len(both)))


def test_correlations_are_seen_and_chance_is_not():
    """Track by track the two samples are the same."""
    real = toy(1500, seed=1)
    assert area(real, toy(1500, seed=2, opening=0.1), epochs=12) > 0.7
    # 600 events to test on: the AUC of equal samples varies by 0.024
    assert abs(area(real, toy(1500, seed=3), epochs=2) - 0.5) < 0.1


def test_rotations_change_nothing_and_seeds_decide_all():
    real, synthetic = toy(100, seed=4), toy(100, seed=5)
    columns, offsets = to_columns(synthetic)
    angle = np.repeat(np.random.default_rng(6).uniform(-3, 3, 100), np.diff(offsets))
    turned = make_events(columns | {"phi": columns["phi"] + angle}, np.diff(offsets))
    np.testing.assert_allclose(hardest_tracks(turned)[0], hardest_tracks(synthetic)[0], atol=1e-5)
    state = torch.random.get_rng_state()
    assert area(real, synthetic, epochs=1) == area(real, synthetic, epochs=1)
    assert torch.equal(state, torch.random.get_rng_state())


def test_order_and_padding_change_nothing():
    rng = np.random.default_rng(7)
    network = EventNetwork(np.zeros(6), np.ones(6)).eval()
    tracks = rng.normal(size=(3, 60, 6)).astype(np.float32)
    counts = torch.tensor([5, 2, 0])
    other = tracks.copy()
    other[0, :5] = other[0, rng.permutation(5)]
    other[:, 5:], other[1, 2:], other[2] = 7.0, -3.0, 9.0
    with torch.inference_mode():
        one, two = (network(torch.as_tensor(x), counts) for x in (tracks, other))
    torch.testing.assert_close(one, two)


def test_the_hardest_accepted_tracks_are_taken():
    rng = np.random.default_rng(8)
    pt = rng.lognormal(0, 1, 200)
    columns = {name: np.zeros(200) for name in ("eta", "phi", "d0", "dz")} | {"pt": pt}
    columns["eta"][:50] = 5.0
    tracks, counts = hardest_tracks(make_events(columns, [200, 0]))
    assert counts.tolist() == [60, 0]
    np.testing.assert_allclose(tracks[0, :, 0], np.log(np.sort(pt[50:])[::-1][:60]), atol=1e-6)
    assert not tracks[1].any()
