"""Kernels of the shared hierarchy: moves within a component, balance, decays that are found."""

from itertools import pairwise

import awkward as ak
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from hepgmm.collide import generate
from hepgmm.collide.perigee import perigee
from hepgmm.collide.processes import KAON, LAMBDA, PION, PROTON
from hepgmm.events import FEATURES, flatten, make_events
from hepgmm.mixture.sampling import generator, seed_sequence
from hepgmm.pileup.shared import TEMPLATES, SharedGMM
from hepgmm.pileup.shared_kernels import (
    Draws,
    balance,
    find_decays,
    make_templates,
    place,
    redecay,
)


def one_component(points, mean, factor):
    """Tables of one event whose tracks all come from one component."""
    n = len(points)
    tracks = np.ones((n, 5), dtype=np.float32)
    tables = make_templates(
        tracks,
        np.array([0, n]),
        np.array([0]),
        None,
        Alone(mean, factor),
        np.zeros(n, dtype=bool),
        block_size=2,
    )
    anywhere = np.array([[-np.inf] * 4, [np.inf] * 4])
    return tables._replace(points=points, limits=anywhere)


def made_of(normals):
    """Draws of one event with these normals for its tracks."""
    n = len(normals)
    event = np.zeros((1, 1)), np.ones((1, 1)), np.zeros(1), np.ones((1, 2))
    return Draws(*event, np.full(n, 0.5), normals)


class Alone:
    """A mixture of one component."""

    n_components = 1

    def __init__(self, mean, factor):
        self.means, self.covariances = mean[None], (factor @ factor.T)[None]

    def responsibilities(self, points):
        return np.ones((len(points), 1))


def test_displaced_tracks_move_in_their_distances_only():
    rng = np.random.default_rng(3)
    factor = np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    points = rng.normal(size=(50, 4)) @ factor.T / 2
    tables, point = one_component(points, np.zeros(4), factor), np.empty(4)
    redraw, draws = np.array([0, 0, 0.7, 0.7]), made_of(rng.normal(size=(50, 4)))
    for t in range(50):
        place(point, tables, t, 4, draws, t, redraw)
        np.testing.assert_allclose(point[:2], points[t, :2], atol=1e-12)
    assert (np.abs(point[2:] - points[-1, 2:]) > 1e-3).all()


def test_a_move_leaves_the_distribution_of_a_component_as_it_is():
    rng = np.random.default_rng(5)
    n, mean = 4000, np.array([0.5, -1.0, 2.0, 3.0])
    factor = np.tril(rng.normal(size=(4, 4)))
    factor[np.diag_indices(4)] = [0.3, 1.0, 2.0, 0.7]
    old = mean + rng.normal(size=(n, 4)) @ factor.T
    tables = one_component(old, mean, factor)
    for redraw in (np.array([0.2, 0.8, 0.5, 1.0]), np.ones(4), np.zeros(4)):
        new, point = np.empty((n, 4)), np.empty(4)
        draws = made_of(rng.normal(size=(n, 4)))
        for t in range(n):
            place(point, tables, t, 4, draws, t, redraw)
            new[t] = point
        whitened, before = ((x - mean) @ np.linalg.inv(factor).T for x in (new, old))
        for i in range(4):
            assert kstest(whitened[:, i], "norm").pvalue > 1e-3
            expected = np.sqrt(1 - redraw[i] ** 2)
            found = np.corrcoef(whitened[:, i], before[:, i])[0, 1]
            # Two tracks in a hundred stay.
            assert found == pytest.approx(expected, abs=0.06 + 4 / np.sqrt(n))


def test_tracks_in_the_tail_or_about_to_leave_the_range_stay():
    mean, factor, far = np.zeros(4), np.eye(4), np.array([[4.0, 0, 0, 0], [0.5, 0, 0, 0]])
    tables, point = one_component(far, mean, factor), np.empty(4)
    redraw, draws = np.full(4, 0.8), made_of(np.zeros((2, 4)))
    place(point, tables, 0, 4, draws, 0, redraw)
    np.testing.assert_array_equal(point, far[0])
    place(point, tables, 1, 4, draws, 1, redraw)
    np.testing.assert_allclose(point, 0.6 * far[1])
    narrow = tables._replace(limits=np.array([[0.4] * 4, [9.0] * 4]))
    place(point, narrow, 1, 4, draws, 1, redraw)
    np.testing.assert_array_equal(point, far[1])


@pytest.mark.parametrize("recoil", [0.25, 4.0])
@pytest.mark.parametrize(("n_prompt", "softer"), [(20, 1), (15, 1), (0, 1), (15, 100)])
def test_balance_lengthens_or_shortens_a_vector_sum(n_prompt, softer, recoil):
    rng = np.random.default_rng(1)
    tracks = rng.normal(size=(5, 20))
    tracks[:, 15:] /= 10
    tracks[:, :n_prompt] /= softer
    momentum = tracks[[0, 2]].copy()
    weight, total = (momentum**2).sum(axis=0), momentum.sum(axis=1)
    expected = np.sqrt(recoil * weight.sum()) * total / np.hypot(*total)
    balance(tracks, n_prompt, recoil, 1.0, 0.0)
    made = np.stack([tracks[0] * f(tracks[2]) for f in (np.cos, np.sin)])
    np.testing.assert_allclose(made.sum(axis=1), expected)
    # Prompt tracks share what is missing, or all if the prompt ones have little.
    if n_prompt and softer == 1:
        weight[n_prompt:] = 0
    share = (expected - total)[:, None] * weight / weight.sum()
    np.testing.assert_allclose(made - momentum, share, atol=1e-12)


def test_balance_of_two_opposite_tracks_is_left_alone():
    tracks = np.array([[1.0, -1.0], [0, 0], [2.0, -2.0], [0, 0], [0, 0]])
    balance(tracks, 2, 0.5, 1.0, 0.0)
    np.testing.assert_allclose(tracks[0], np.sqrt(5))


# Decays -------------------------------------------------------------------------------------

FIELD = 2.0


def daughters(rng, mass, heavy, momentum):
    """Momenta ``(n, 3)`` of the heavy particle and of the pion of isotropic decays, in GeV."""
    n = len(momentum)
    energy = (mass**2 + heavy**2 - PION**2) / (2 * mass)
    cos, angle = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
    sin = np.sqrt(1 - cos**2)
    direction = np.stack([sin * np.cos(angle), sin * np.sin(angle), cos], axis=1)
    rest = np.sqrt(energy**2 - heavy**2) * direction
    parent = np.hypot(np.linalg.norm(momentum, axis=1), mass)
    along = (rest * momentum).sum(axis=1)
    shift = (energy + along / (parent + mass)) / mass
    one = rest + shift[:, None] * momentum
    return one, momentum - one


def sample(rng, n, *, mass=KAON, heavy=PION):
    """Tracks ``(2 n, 5)`` of n decays, one after the other; vertices, and momenta ``(2, n, 3)``."""
    pt, eta, phi = rng.uniform(0.3, 5, n), rng.uniform(-3, 3, n), rng.uniform(-np.pi, np.pi, n)
    momentum = np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
    vertex = momentum * rng.exponential(54, n)[:, None]
    momenta = np.stack(daughters(rng, mass, heavy, momentum))
    charge = rng.choice([-1, 1], n)
    parts = [
        np.stack(perigee(*vertex.T, *p.T, q, field=FIELD), axis=1)
        for p, q in zip(momenta, (charge, -charge), strict=True)
    ]
    tracks = np.stack(parts, axis=1).reshape(2 * n, 5).astype(np.float32)
    return tracks, vertex, momenta, np.stack([charge, -charge])


@pytest.mark.parametrize(("mass", "heavy"), [(KAON, PION), (LAMBDA, PROTON)])
def test_decays_are_found_with_their_vertex_and_charges(mass, heavy):
    rng = np.random.default_rng(1)
    tracks, vertex, momenta, charges = sample(rng, 300, mass=mass, heavy=heavy)
    found = find_decays(tracks, np.arange(0, 601, 6), field=FIELD)
    pair = found.number.reshape(-1, 2)
    good = (pair[:, 0] == pair[:, 1]) & (pair[:, 0] >= 0)
    # Where the circles hardly cross, or a slow decay is rounded to float32, one may be missed.
    assert good.mean() > 0.97
    own = pair[good, 0]
    np.testing.assert_array_equal(found.first[own], 2 * np.flatnonzero(good))
    np.testing.assert_allclose(found.vertex[own], vertex[good], rtol=0.01, atol=0.05)
    for side in (0, 1):
        phi = np.arctan2(momenta[side, good, 1], momenta[side, good, 0])
        turned = np.angle(np.exp(1j * (found.phi[side::2][good] - phi)))
        np.testing.assert_allclose(turned, 0, atol=0.01)
        sign = np.sign(found.curvature[side::2][good])
        np.testing.assert_array_equal(sign, charges[side, good])


def test_tracks_that_only_look_alike_are_no_decays():
    rng = np.random.default_rng(2)
    tracks, *_ = sample(rng, 300)
    whole = find_decays(tracks, np.arange(0, 601, 2), field=FIELD)
    assert (whole.number >= 0).mean() > 0.97
    # The two tracks of each event are of different decays.
    apart = np.roll(tracks.reshape(300, 2, 5), 1, axis=0)[:, 0], tracks.reshape(300, 2, 5)[:, 1]
    mixed = np.stack(apart, axis=1).reshape(600, 5)
    assert not len(find_decays(mixed, np.arange(0, 601, 2), field=FIELD).first)
    assert len(find_decays(tracks, np.arange(0, 601, 2), field=2 * FIELD).first) < 10
    prompt = tracks.copy()
    prompt[:, 3:] = 0
    assert not len(find_decays(prompt, np.arange(0, 601, 2), field=FIELD).first)


def test_three_tracks_of_one_place_are_one_decay():
    rng = np.random.default_rng(3)
    tracks, *_ = sample(rng, 1)
    copies = np.concatenate([tracks, tracks[:1]])
    found = find_decays(copies, np.array([0, 3]), field=FIELD)
    assert len(found.first) == 1 and (found.number >= 0).sum() == 2


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.sampled_from([-1, 1]), st.sampled_from([-1, 1]), st.integers(0, 99))
def test_rotation_and_mirrors_change_nothing(angle, mirror, flip, seed):
    tracks, *_ = sample(np.random.default_rng(seed), 8)
    turned = tracks * np.array([1, flip, mirror, mirror, flip], dtype=np.float32)
    turned[:, 2] = np.angle(np.exp(1j * (turned[:, 2] + angle)))
    before, after = (find_decays(x, np.array([0, 16]), field=FIELD) for x in (tracks, turned))
    pairs = [
        {tuple(np.flatnonzero(x.number == k)) for k in range(len(x.first))} for x in (before, after)
    ]
    assert len(pairs[0] ^ pairs[1]) <= 1
    if pairs[0] == pairs[1]:
        orders = [np.argsort(x.first) for x in (before, after)]
        rho = [np.hypot(*x.vertex.T[:2])[o] for x, o in zip((before, after), orders, strict=True)]
        np.testing.assert_allclose(*rho, rtol=0.01, atol=0.05)


@pytest.fixture(scope="module")
def kaons():
    tracks, _, momenta, charges = sample(np.random.default_rng(4), 400)
    return tracks, find_decays(tracks, np.arange(0, 801, 2), field=FIELD), momenta, charges


def test_a_decay_that_stays_gives_its_own_tracks(kaons):
    tracks, decays, *_ = kaons
    for t in np.flatnonzero(decays.number >= 0)[:200]:
        made = redecay(decays, t, np.sinh(float(tracks[t, 1])), 1.7, 0.0)
        np.testing.assert_allclose(made, tracks[t, 2:], rtol=1e-3, atol=0.01)


def test_a_moved_decay_is_at_the_quantile_of_its_group_and_on_its_line_of_flight(kaons):
    tracks, decays, momenta, charges = kaons
    rng, checked = np.random.default_rng(5), 0
    rho = np.hypot(*decays.vertex.T[:2])
    for t in np.flatnonzero(decays.number >= 0)[:200]:
        n, h, normal = decays.number[t], rng.random(), rng.normal()
        group = decays.ordered[decays.bounds[decays.group[n]] : decays.bounds[decays.group[n] + 1]]
        shares = (np.arange(len(group)) + 0.5) / len(group)
        rank = np.searchsorted(group, decays.ratio[n])
        score = np.sqrt(1 - h**2) * norm.ppf(shares[rank]) + h * normal
        factor = np.exp(np.interp(norm.cdf(score), shares, group) - group[rank])
        vertex = factor * decays.vertex[n]
        if factor * rho[n] > decays.reach[0] or abs(vertex[2]) > decays.reach[1]:
            vertex = decays.vertex[n]
        else:
            checked += abs(factor - 1) > 0.1
        momentum = momenta[t % 2, t // 2]
        expected = perigee(*vertex, *momentum, charges[t % 2, t // 2], field=FIELD)
        made = redecay(decays, t, np.sinh(float(tracks[t, 1])), normal, h)
        np.testing.assert_allclose(made, expected[2:], rtol=0.01, atol=0.05)
    assert checked > 100


def momenta_of(tracks, decays):
    """Momentum ``(3, n)`` of each decay, and its mass if both tracks are pions, in GeV."""
    own = np.flatnonzero(decays.number >= 0)
    pt, phi = tracks[own, 0].astype(float), decays.phi[own]
    pz = pt * np.sinh(tracks[own, 1].astype(float))
    parts = pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + PION**2)
    *momentum, energy = (np.bincount(decays.number[own], part) for part in parts)
    return np.array(momentum), np.sqrt(energy**2 - (np.array(momentum) ** 2).sum(axis=0))


def test_groups_hold_decays_of_similar_momentum_in_the_order_of_their_proper_times(kaons):
    tracks, decays, *_ = kaons
    sizes, ((*transverse, along), _) = np.diff(decays.bounds), momenta_of(tracks, decays)
    assert sizes.min() >= 50 and sizes.sum() == len(decays.first)
    ranges = [np.abs(along[decays.group == g]) for g in range(len(sizes))]
    assert all(a.max() <= b.min() for a, b in pairwise(ranges))
    ratio = np.log(np.hypot(*decays.vertex.T[:2]) / np.hypot(*transverse))
    for g in range(len(sizes)):
        expected = np.sort(ratio[decays.group == g])
        np.testing.assert_allclose(
            decays.ordered[decays.bounds[g] : decays.bounds[g + 1]], expected
        )
    np.testing.assert_allclose(decays.ratio, ratio)


def test_proper_times_of_kaons_of_pythia_are_exponential():
    """Mean of ρ / pT, the proper time over the mass, is cτ / m = 26.84 mm / 0.4976 GeV (PDG)."""
    tracks, offsets = flatten(generate("minbias", 400, seed=6))
    decays = find_decays(tracks, offsets, field=FIELD)
    (_, _, along), mass = momenta_of(tracks, decays)
    # The tracker ends at 3.5 m: these could fly 700 mm / GeV.
    kaon = (np.abs(mass - KAON) < 0.005) & (np.abs(along) < 5)
    ratio = np.exp(decays.ratio)[kaon]
    assert len(ratio) > 300
    assert ratio.mean() == pytest.approx(26.84 / KAON, abs=4 * ratio.std() / np.sqrt(len(ratio)))
    assert ratio.std() / ratio.mean() == pytest.approx(1, abs=0.2)


def test_a_lonely_decay_stays_where_it_is():
    tracks, *_ = sample(np.random.default_rng(8), 1)
    decays = find_decays(tracks, np.array([0, 2]), field=FIELD)
    assert len(decays.first) == 1
    made = redecay(decays, 0, np.sinh(float(tracks[0, 1])), 2.0, 1.0)
    np.testing.assert_allclose(made, tracks[0, 2:], rtol=1e-3, atol=0.01)


@pytest.fixture(scope="module")
def events():
    """Sixty events of two decays each, of K_S and of Λ, and ten hard prompt tracks."""
    rng = np.random.default_rng(7)
    parts = [sample(rng, 60)[0], sample(rng, 60, mass=LAMBDA, heavy=PROTON)[0]]
    prompt = rng.normal(size=(600, 5)) * [0, 2, 0, 0, 0]
    prompt[:, 0], prompt[:, 2] = rng.exponential(size=600) + 4, rng.uniform(-np.pi, np.pi, 600)
    parts = [part.reshape(60, -1, 5) for part in (*parts, prompt)]
    columns = dict(zip(FEATURES, np.concatenate(parts, axis=1).reshape(-1, 5).T, strict=True))
    return make_events(columns, [14] * 60)


@pytest.fixture(scope="module")
def model(events):
    return SharedGMM(n_prompt=5, field=FIELD).fit(events)


def test_a_sample_keeps_decays_as_decays(events, model):
    known = find_decays(*flatten(events), field=FIELD)
    assert model.report_["decays"] == len(known.first) > 110
    made = model.sample(500, seed=1)
    found = find_decays(*flatten(made), field=FIELD)
    assert len(found.first) > 0.95 * 500 * len(known.first) / 60
    assert ak.sum(made.d0 != 0) == 500 * 4
    # No vertex is further out than the furthest of these, which cuts the longest proper times.
    spread = [np.percentile(x.ratio, (16, 50)) for x in (known, found)]
    np.testing.assert_allclose(*spread, atol=4 * known.ratio.std() / np.sqrt(len(known.first)))


def test_proper_times_are_those_of_the_templates_or_drawn_anew(model):
    """The first displaced track of each event is of a K_S; its template is known."""
    _, partner = model._pairs(model._tables()[0], 2000, generator(seed_sequence(1), TEMPLATES))
    template = np.abs(model.tracks_[model.offsets_[partner] + model.n_prompt_[partner], 3])
    known = model._tables()[1].number[model.offsets_[partner] + model.n_prompt_[partner]] >= 0
    logs = {}
    for h in (0.0, 1.0):
        clone = SharedGMM(**model.get_params() | {"redraw_decays": h})
        vars(clone).update({key: x for key, x in vars(model).items() if key.endswith("_")})
        d0 = clone.sample(2000, seed=1).d0
        first = ak.to_numpy(d0[d0 != 0][:, 0])
        logs[h] = np.log(np.abs(first) / template)[known]
    np.testing.assert_allclose(logs[0.0], 0, atol=0.02)
    # log ρ / pT of an exponential has the standard deviation π / √6 = 1.28, two of them √2 as much;
    # d0 is not quite proportional to it.
    assert logs[1.0].std() > 1.5


def test_seeds_workers_and_files_with_decays(model, tmp_path):
    first = flatten(model.sample(5000, seed=1))[0]
    np.testing.assert_array_equal(first, flatten(model.sample(5000, seed=1, workers=2))[0])
    model.save(tmp_path / "model.npz")
    loaded = SharedGMM.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(first, flatten(loaded.sample(5000, seed=1))[0])
    # The field is that of the fit.
    loaded.set_params(field=3.0, block_size=1)
    assert (loaded._tables()[1].number == model._tables()[1].number).all()


def test_events_of_decays_alone(events):
    alone = SharedGMM(field=FIELD).fit(events[events.d0 != 0])
    made = alone.sample(300, seed=1)
    assert alone.report_["prompt_K"] == 0 and ak.all(ak.num(made) == 4)
    assert np.isfinite(flatten(made)[0]).all()
