"""Fits with K by BIC: laws of EM, known mixtures, seeds, workers and bad input."""

import warnings

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as Estimator

from hepgmm.mixture.em import effective_floor, fit_many, fit_one
from hepgmm.mixture.gmm import GaussianMixture

TRUTH = GaussianMixture(
    [0.5, 0.3, 0.2],
    [[0.0, 0.0], [12.0, 0.0], [0.0, 15.0]],
    [np.eye(2), [[2.0, 1.0], [1.0, 1.0]], 0.5 * np.eye(2)],
)


#: Wide enough that no three points close to a line make a component of their own.
OPTIONS = {"n_init": 5, "covariance_floor": 0.01, "seed": 1}


@pytest.fixture(scope="module")
def events():
    """Six events: the even ones of one Gaussian, the odd ones of three; the last has 3."""
    counts = np.array([60, 90] * 2 + [60, 3])
    parts = [
        TRUTH.sample(n, seed=i) if i % 2 else np.random.default_rng(i).normal(size=(n, 2))
        for i, n in enumerate(counts)
    ]
    return parts, np.concatenate([[0], np.cumsum(counts)])


@pytest.fixture(scope="module")
def fits(events):
    return fit_many(np.concatenate(events[0]), events[1], range(1, 5), **OPTIONS)


def test_bic_finds_the_number_of_components(fits):
    assert fits.n_components[:-1].tolist() == [1, 3] * 2 + [1]
    assert np.diff(fits.component_offsets).tolist() == fits.n_components.tolist()


def test_layout(fits):
    sums = np.add.reduceat(fits.weights, fits.component_offsets[:-1])
    np.testing.assert_allclose(sums, 1.0, rtol=1e-12)
    chosen = np.nanargmin(fits.bic, axis=1)
    np.testing.assert_array_equal(fits.candidates[chosen], fits.n_components)
    # Three points have no fit of four components.
    assert np.isnan(fits.bic[-1]).tolist() == [False, False, False, True]
    assert np.isfinite(fits.bic[:-1]).all()


def test_bic_of_one_component_is_the_closed_form(events, fits):
    for i, points in enumerate(events[0][:-1]):
        covariance = np.cov(points.T, bias=True) + 0.01 * np.eye(2)
        closed = GaussianMixture([1.0], points.mean(axis=0)[None], covariance[None]).bic(points)
        assert fits.bic[i, 0] == pytest.approx(closed, rel=1e-9)


def test_recovers_the_known_mixture():
    points = TRUTH.sample(3000, seed=4)
    mixture, bic = fit_one(points, range(1, 6), seed=2, n_init=3)
    assert mixture.converged and mixture.n_components == 3 == min(bic, key=bic.get)
    order = np.argsort(-mixture.weights)
    errors = np.sqrt(TRUTH.weights * (1 - TRUTH.weights) / 3000)
    assert (np.abs(mixture.weights[order] - TRUTH.weights) < 4 * errors).all()
    spread = np.sqrt(np.diagonal(TRUTH.covariances, axis1=1, axis2=2))
    errors = spread / np.sqrt(3000 * TRUTH.weights)[:, None]
    assert (np.abs(mixture.means[order] - TRUTH.means) < 4 * errors).all()
    # No start of an independent fit does better than the noise of EM's tolerance.
    theirs = Estimator(3, n_init=5, random_state=0).fit(points)
    assert mixture.bic(points) < theirs.bic(points) + 6000 * 1e-3


def test_neither_order_nor_workers_change_a_fit(events, fits):
    parts, offsets = events
    order = np.random.default_rng(0).permutation(len(parts))
    counts = np.diff(offsets)[order]
    shuffled = fit_many(
        np.concatenate([parts[i] for i in order]),
        np.concatenate([[0], np.cumsum(counts)]),
        range(1, 5),
        **OPTIONS,
        workers=2,
    )
    np.testing.assert_array_equal(shuffled.bic, fits.bic[order])
    for new, old in enumerate(order):
        mine = slice(*shuffled.component_offsets[new : new + 2])
        theirs = slice(*fits.component_offsets[old : old + 2])
        np.testing.assert_array_equal(shuffled.means[mine], fits.means[theirs])
    one, two = (fit_one(parts[1], [1, 2], seed=1, workers=n)[1] for n in (1, 2))
    assert one == two


def test_seed_matters_and_repeats(events):
    points = events[0][1]
    scans = [fit_one(points, [6], seed=seed)[1][6] for seed in (1, 1, 2, [3, 4])]
    assert scans[0] == scans[1] != scans[2]


def test_identical_points_lie_at_the_floor():
    rng = np.random.default_rng(1)
    prompt = np.zeros((80, 3))
    prompt[:, 0] = rng.normal(size=80)
    fits = fit_many(prompt, [0, 40, 80], [1], covariance_floor=1e-4, seed=1)
    assert fits.floored.all()
    np.testing.assert_allclose(np.linalg.eigvalsh(fits.covariances)[:, 0], 1e-4, rtol=1e-6)
    free = fit_many(rng.normal(size=(80, 3)), [0, 40, 80], [1], seed=1)
    assert not free.floored.any()


def test_tracks_kilometres_apart_can_be_factorised():
    points = np.random.default_rng(1).normal(size=(50, 4)) * [1, 1, 0, 0]
    points[:2, 2:] = [[1e7, -1e7], [-1e7, 1e7]]
    assert effective_floor(points, 1e-6) > 1e-6
    fits = fit_many(points, [0, 50], range(1, 6), seed=1)
    assert np.isfinite(fits.bic).all()
    assert fits.floors[0] == effective_floor(points, 1e-6)


def test_fits_that_do_not_converge_are_counted_without_warnings(events, monkeypatch):
    monkeypatch.setattr("hepgmm.mixture.em.MAX_ITERATIONS", 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fits = fit_many(events[0][1], [0, 90], range(1, 5), seed=1)
        mixture, _ = fit_one(events[0][1], [4], seed=1)
    assert not fits.converged.all() and not mixture.converged


def test_progress_bar_only_when_asked(events, capfd):
    fit_one(events[0][0], [1], seed=1)
    assert capfd.readouterr().err == ""
    fit_one(events[0][0], [1], seed=1, progress=True)
    assert "1/1" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"points": np.zeros(5)}, r"points: expected shape \(n, d\), got \(5,\)"),
        ({"offsets": [0, 3, 9]}, "offsets: they must rise from 0 to the number of points, 6"),
        ({"n_components": [0, 1]}, "n_components: give positive whole numbers"),
        ({"n_components": []}, "n_components: give positive whole numbers"),
        ({"n_components": [1.5]}, "n_components: give positive whole numbers"),
        ({"n_init": 0}, "n_init = 0"),
        ({"covariance_floor": 0.0}, r"covariance_floor = 0.0: give a positive number"),
        ({"covariance_floor": float("nan")}, "covariance_floor = nan"),
        ({"offsets": [0, 5, 6]}, "event 1 has 1, but at least 2 are needed"),
        ({"n_components": [4]}, "event 0 has 3, but at least 4 are needed"),
        ({"points": [[0.0], [1], [2], [3], [np.nan], [5]]}, "event 1 holds a NaN"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"points": np.arange(6.0)[:, None], "offsets": [0, 3, 6], "n_components": [1]}
    with pytest.raises(ValueError, match=message):
        fit_many(**arguments | change, seed=1)
