"""The better hierarchy: templates, moves within shared components, what a sample keeps of them."""

from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
from scipy.stats import kstest

from hepgmm.events import FEATURES, flatten, make_events
from hepgmm.mixture.sampling import generator, seed_sequence
from hepgmm.pileup.shared import TEMPLATES, SharedGMM
from hepgmm.pileup.shared_kernels import CELLS, FORWARD, REACH, _blocks, orient

#: Everything that changes a template's tracks, switched off.
STILL = {"redraw_eta": 0, "redraw": 0, "redraw_forward": 0, "redraw_displaced": 0}
STILL |= {"redraw_decays": 0, "redraw_phi": 0}


@pytest.fixture(scope="module")
def model(toy_minbias):
    return SharedGMM(n_prompt=6, n_displaced=3, seed=3).fit(toy_minbias)


def still(model, **parameters):
    """The same fit without any move."""
    clone = SharedGMM(**model.get_params() | STILL | parameters)
    vars(clone).update({name: value for name, value in vars(model).items() if name.endswith("_")})
    return clone


def chosen(model, n_events, *, seed):
    """Templates of the prompt tracks of a sample."""
    rng = generator(seed_sequence(seed), TEMPLATES)
    return model._pairs(model._tables()[0], n_events, rng)[0]


def test_every_kept_event_is_a_template(toy_minbias, model):
    kept = toy_minbias[ak.num(toy_minbias) >= 3]
    assert model.report_["events_used"] == len(kept)
    assert model.report_["events_dropped"] == len(toy_minbias) - len(kept)
    np.testing.assert_array_equal(np.diff(model.offsets_), ak.num(kept))
    np.testing.assert_array_equal(model.n_prompt_, ak.sum(kept.d0 == 0, axis=1))
    for i in range(len(kept)):
        own = model.tracks_[model.offsets_[i] : model.offsets_[i + 1]]
        assert not own[: model.n_prompt_[i], 3:].any()
        np.testing.assert_allclose(np.sort(own[:, 0]), np.sort(kept.pt[i]))


def test_seed_decides_and_workers_do_not(model):
    first = flatten(model.sample(5000, seed=1))[0]
    np.testing.assert_array_equal(first, flatten(model.sample(5000, seed=1, workers=2))[0])
    assert not np.array_equal(first[:100], flatten(model.sample(5000, seed=2))[0][:100])


def test_both_templates_are_in_the_block_that_is_the_source(model):
    events, sources = model.sample(3000, seed=1, return_sources=True)
    tables = model._tables()[0]
    n_prompt = ak.to_numpy(ak.sum(events.d0 == 0, axis=1))
    n_displaced = ak.to_numpy(ak.sum(events.d0 != 0, axis=1))
    of_prompt, of_displaced = model.n_prompt_, np.diff(model.offsets_) - model.n_prompt_
    for block in np.unique(tables.block):
        own, made = tables.block == block, sources[:, 0] == block
        assert set(n_prompt[made]) == set(of_prompt[own])
        assert set(n_displaced[made]) <= set(of_displaced[own])
        assert len(set(of_displaced[own] % 2)) == 1
    assert set(sources[:, 0]) == set(tables.block)
    np.testing.assert_array_equal(sources[:, 0], tables.block[sources[:, 1]])
    np.testing.assert_array_equal(n_prompt, of_prompt[sources[:, 1]])


def test_blocks_of_a_stretch_have_the_same_range_of_multiplicities():
    rng = np.random.default_rng(1)
    counts, odd = rng.integers(3, 300, 1000), rng.integers(0, 2, 1000)
    order, bounds = _blocks(counts, odd, 10)
    np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert bounds[0] == 0 and bounds[-1] == 1000 and set(np.diff(bounds)) <= {10, 11}
    blocks = [order[first:last] for first, last in pairwise(bounds)]
    assert all(len(set(odd[block])) == 1 for block in blocks)
    n_even = (odd == 0).sum() // 10
    for own in (blocks[:n_even], blocks[n_even:]):
        stretches = [np.concatenate(own[i : i + 5]) for i in range(0, len(own), 5)]
        for one, next_one in pairwise(stretches):
            assert counts[one].max() <= counts[next_one].min()


def test_no_event_has_its_own_displaced_tracks(model):
    tables = model._tables()[0]
    own, partner = model._pairs(tables, 5000, np.random.default_rng(1))
    assert (own != partner).all()
    np.testing.assert_array_equal(tables.block[own], tables.block[partner])
    pairs = np.unique(np.stack([own, partner]), axis=1).shape[1]
    sizes = np.diff(tables.bounds)
    assert pairs == (sizes * (sizes - 1)).sum()


def test_without_moves_only_symmetries_change_a_template(model):
    events = still(model).sample(400, seed=1)
    for i, source in enumerate(chosen(model, 400, seed=1)):
        event, n = events[i], model.n_prompt_[source]
        template = model.tracks_[model.offsets_[source] :][:n]
        sign = np.sign(event.eta[0] * template[0, 1])
        np.testing.assert_allclose(event.eta[:n], sign * template[:, 1], rtol=1e-5)
        assert not ak.any(event.d0[:n])


def prompt_pairs(model, n_events, **parameters):
    """Prompt tracks (pT, eta, phi) of each event of a sample, and those of its template."""
    events = still(model, **parameters).sample(n_events, seed=1)
    for event, source in zip(events, chosen(model, n_events, seed=1), strict=True):
        n = model.n_prompt_[source]
        made = np.stack([ak.to_numpy(event[x][:n]) for x in ("pt", "eta", "phi")]).astype(float)
        yield made, model.tracks_[model.offsets_[source] :][:n, :3].T.astype(float)


def test_pt_moves_alone_and_eta_takes_along_what_its_component_couples_to_it(model):
    for name, eta_moves in (("redraw", False), ("redraw_eta", True)):
        etas, logs = [], []
        for made, template in prompt_pairs(model, 300, **{name: 0.6}):
            etas.append(made[1] * np.sign(made[1] @ template[1]) - template[1])
            logs.append(np.log(made[0] / template[0]))
        moved = [np.median(np.abs(np.concatenate(each))) for each in (etas, logs)]
        assert moved[1] > 0.05
        assert (moved[0] > 0.05) == eta_moves and (eta_moves or moved[0] < 1e-5)


def test_widths_are_those_asked_for_times_the_narrowing(model, monkeypatch):
    seen = {}

    def look(tracks, *arguments):
        seen.update(zip(("redraw", "redraw_decays", "width"), arguments[-3:], strict=True))
        tracks[:] = 1.0

    monkeypatch.setattr("hepgmm.pileup.shared.fill_events", look)
    asked = {"redraw_eta": 0.1, "redraw": 0.2, "redraw_forward": 0.3, "redraw_displaced": 0.4}
    still(model, **asked, redraw_decays=0.5, redraw_phi=0.6).sample(5, seed=1)
    narrowing = model.report_["narrowing"]
    expected = np.array([[0.1, 0.2, 0, 0], [0.3, 0.2, 0, 0], [0, 0, 0.4, 0.4]])
    np.testing.assert_allclose(seen["redraw"], np.minimum(narrowing * expected, 1))
    assert seen["redraw_decays"] == pytest.approx(min(0.5 * narrowing, 1))
    assert seen["width"] == pytest.approx(0.6 * narrowing)


def test_no_track_enters_or_leaves_the_forward_region(model):
    steps = {True: [], False: []}
    for made, template in prompt_pairs(model, 300, redraw_eta=0.9, redraw_forward=0.1):
        forward = np.abs(template[1]) > FORWARD
        np.testing.assert_array_equal(np.abs(made[1]) > FORWARD, forward)
        for region in (True, False):
            own = forward == region
            steps[region].append(np.abs(np.abs(made[1][own]) - np.abs(template[1][own])))
    steps = {region: np.median(np.concatenate(each)) for region, each in steps.items()}
    assert 0 < steps[True] < steps[False] / 2


def test_prompt_tracks_turn_each_by_an_angle_of_its_own(toy_minbias):
    model = SharedGMM(n_prompt=3).fit(toy_minbias[toy_minbias.d0 == 0])
    turned = []
    for made, template in prompt_pairs(model, 1000, redraw_phi=0.05):
        # The balance turns hard tracks a little, the rotation all by the same angle.
        soft = template[0] < np.median(template[0])
        for mirror in (1, -1):
            angle = made[2][soft] - mirror * template[2][soft]
            angle = np.angle(np.exp(1j * (angle - np.angle(np.exp(1j * angle).mean()))))
            if len(angle) > 4 and np.abs(angle).max() < 0.5:
                turned.append(angle / np.sqrt(1 - 1 / len(angle)))
    turned = np.concatenate(turned)
    width = np.diff(np.percentile(turned, (16, 84)))[0] / 2
    assert width == pytest.approx(0.05 * model.report_["narrowing"], rel=0.1)


def test_another_block_size_makes_other_blocks(model):
    changed = still(model)
    changed.sample(3, seed=1)
    changed.set_params(block_size=2)
    fresh = still(model, block_size=2)
    for mine, expected in zip(changed._tables()[0], fresh._tables()[0], strict=True):
        np.testing.assert_array_equal(mine, expected)


def test_recoil_is_that_of_the_template_of_the_prompt_tracks(model):
    made = still(model, redraw=1.0)
    events, sources = made.sample(500, seed=1), chosen(model, 500, seed=1)
    pt, _, phi = (ak.unflatten(x, np.diff(model.offsets_)) for x in model.tracks_.T[:3])
    of_template = model._tables()[0].recoil
    np.testing.assert_allclose(of_template, recoils(pt, phi), rtol=1e-4)
    # Each track takes a share by its old pT², so that the new sum of pT² differs a little.
    difference = recoils(events.pt, events.phi) - of_template[sources]
    shuffled = recoils(events.pt, events.phi) - np.roll(of_template[sources], 1)
    assert np.median(np.abs(difference)) < np.median(np.abs(shuffled)) / 2


def recoils(pt, phi):
    pt, phi = ak.values_astype(pt, "float64"), ak.values_astype(phi, "float64")
    x, y = ak.sum(pt * np.cos(phi), axis=1), ak.sum(pt * np.sin(phi), axis=1)
    return ak.to_numpy((x**2 + y**2) / ak.sum(pt**2, axis=1))


def test_distances_stay_within_those_of_the_templates(toy_minbias, model):
    events = model.sample(3000, seed=1)
    for name in ("d0", "dz"):
        assert ak.max(abs(events[name])) <= 1.00001 * ak.max(abs(toy_minbias[name]))


def test_choices_and_edges_are_the_responsibilities(model):
    tables = model._tables()[0]
    prompt = np.arange(len(model.tracks_)) < np.repeat(
        model.offsets_[:-1] + model.n_prompt_, np.diff(model.offsets_)
    )
    for mixture, own, d, shift in (
        (model.prompt_, prompt, 2, 0),
        (model.displaced_, ~prompt, 4, model.prompt_.n_components),
    ):
        rows = np.flatnonzero(own)[:50]
        expected = mixture.responsibilities(tables.points[rows, :d])
        for t, shares in zip(rows, expected, strict=True):
            part = slice(tables.first[t], tables.first[t + 1])
            found = np.zeros(len(shares))
            found[tables.choices[part] - shift] = np.diff(tables.edges[part], prepend=0)
            np.testing.assert_allclose(found, shares, atol=3e-4)


def test_orientation_has_the_most_close_pairs(model):
    tables, rng = model._tables()[0], np.random.default_rng(2)
    for a in range(20):
        b = rng.integers(len(model.n_prompt_))
        first, last = model.offsets_[b] + model.n_prompt_[b], model.offsets_[b + 1]
        turns, flips = rng.uniform(-np.pi, np.pi, 8), rng.choice([-1.0, 1.0], 8)
        trials = zip(turns, flips, strict=True)
        counts = np.array([pairs(model, a, first, last, *trial) for trial in trials])
        assert counts[orient(tables, a, first, last, turns, flips)] == counts.max()


def pairs(model, a, first, last, turn, flip):
    """Prompt tracks of template a in the cells around displaced tracks, counted one by one."""
    n_eta, n_phi = CELLS

    def cell(eta, phi):
        turned = (phi / (2 * np.pi) + 0.5) % 1
        return int((eta + REACH) * n_eta / (2 * REACH)), int(turned * n_phi) % n_phi

    def counted(t):
        return model.tracks_[t, 0] > 0.3

    own = [t for t in range(model.offsets_[a], model.offsets_[a] + model.n_prompt_[a])]
    prompt = [
        cell(*model.tracks_[t, 1:3]) for t in own if counted(t) and abs(model.tracks_[t, 1]) < REACH
    ]
    total = 0
    for t in range(first, last):
        eta = flip * model.tracks_[t, 1]
        if counted(t) and abs(eta) < REACH:
            row, place = cell(eta, model.tracks_[t, 2] + turn)
            total += sum(abs(row - r) <= 1 and (place - p + 1) % n_phi <= 2 for r, p in prompt)
    return total


def test_symmetries_of_a_sample(model):
    events = model.sample(4000, seed=7)
    leading = ak.to_numpy(events.phi[:, 0]).astype(float)
    assert kstest(leading, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 1e-3
    for name in ("eta", "d0", "dz"):
        positive = ak.to_numpy(ak.sum(events[name] > 0, axis=1) - ak.sum(events[name] < 0, axis=1))
        assert abs(positive.mean()) < 4 * positive.std() / np.sqrt(len(events))


def test_narrower_with_more_templates(toy_minbias):
    few = SharedGMM(n_prompt=2, n_displaced=2).fit(toy_minbias)
    many = SharedGMM(n_prompt=2, n_displaced=2).fit(ak.concatenate([toy_minbias] * 3))
    assert few.report_["narrowing"] / many.report_["narrowing"] == pytest.approx(3 ** (1 / 6))


def test_an_event_without_prompt_tracks_or_without_displaced_ones(toy_minbias):
    for kept in (toy_minbias.d0 != 0, toy_minbias.d0 == 0):
        events = toy_minbias[kept]
        model = SharedGMM(n_prompt=3, n_displaced=2).fit(events)
        sample = model.sample(200, seed=1)
        assert ak.all((sample.d0 != 0) == ak.any(events.d0 != 0))
        assert np.isfinite(flatten(sample)[0]).all()


def test_few_tracks_a_class_give_few_components(toy_minbias):
    model = SharedGMM(n_prompt=100, n_displaced=100).fit(toy_minbias)
    assert model.report_["displaced_K"] == model.report_["displaced_tracks"] // 10 < 100


def test_heavy_tails_stay_finite():
    rng = np.random.default_rng(1)
    columns = {name: np.exp(rng.normal(0, 12, 400)) for name in ("pt", "d0", "dz")}
    columns |= {"eta": rng.normal(size=400), "phi": rng.uniform(-3, 3, 400)}
    columns = {name: np.clip(columns[name], None, 1e4) for name in FEATURES}
    sample = SharedGMM(n_displaced=2).fit(make_events(columns, [20] * 20)).sample(2000, seed=1)
    assert np.isfinite(flatten(sample)[0]).all()
    assert ak.min(sample.pt) > 0


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_prompt": 0}, "n_prompt = 0: give a whole number"),
        ({"block_size": 1.5}, "block_size = 1.5"),
        ({"redraw": 1.2}, "redraw = 1.2: give a number from 0 to 1"),
        ({"redraw_decays": -0.1}, "redraw_decays = -0.1"),
        ({"field": 0}, "field = 0: give a number above 0"),
        ({"field": [2, 2]}, r"field = \[2, 2\]: give a number above 0"),
        ({"field": np.inf}, "field = inf: give a number above 0"),
        ({"covariance_floor": 0}, "covariance_floor = 0"),
    ],
)
def test_bad_parameters_are_named(toy_minbias, parameters, message):
    with pytest.raises(ValueError, match=message):
        SharedGMM(**parameters).fit(toy_minbias)
