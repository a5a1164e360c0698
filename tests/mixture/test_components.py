"""Components as vectors: the round trip and its order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hepgmm.mixture.gaussian import (
    FORMS,
    log_entries,
    lower_triangles,
    pack,
    parameter_names,
    unpack,
)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 5).flatmap(
        lambda d: st.tuples(
            arrays(float, (3, d), elements=st.floats(-1e3, 1e3)),
            arrays(float, (3, d, d), elements=st.floats(-5, 5)),
            arrays(float, 3, elements=st.floats(1e-9, 1)),
        )
    ),
    st.sampled_from(sorted(FORMS)),
)
def test_round_trip(components, form):
    means, factors, weights = components
    d = means.shape[1]
    covariances = factors @ factors.transpose(0, 2, 1) + np.eye(d)
    vectors = pack(means, covariances, weights, form=form)
    assert vectors.shape == (3, d + d * (d + 1) // 2 + 1)
    back = unpack(vectors, form=form)
    np.testing.assert_array_equal(back[0], means)
    np.testing.assert_allclose(back[1], covariances, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(back[2], weights, rtol=1e-13)
    triangles = lower_triangles(vectors, d, form=form)
    np.testing.assert_allclose(triangles, np.linalg.cholesky(covariances), rtol=1e-10, atol=1e-12)


def test_a_component_of_four_features_is_fifteen_named_numbers():
    names = parameter_names(["log_pt", "eta", "d0", "dz"])
    assert len(names) == len(set(names)) == 15
    factor = np.tril(np.arange(1.0, 17.0).reshape(4, 4))
    vector = pack(np.zeros((1, 4)), (factor @ factor.T)[None], [0.25])[0]
    named = dict(zip(names, vector, strict=True))
    assert named["L dz,eta"] == pytest.approx(factor[3, 1])
    assert named["weight"] == 0.25


def test_any_signs_of_the_entries_give_a_covariance():
    vectors = np.random.default_rng(1).normal(size=(100, 15))
    _, covariances, _ = unpack(vectors)
    assert np.linalg.eigvalsh(covariances).min() > -1e-12


@pytest.mark.parametrize("form", ["log-cholesky", "log"])
def test_logarithms_are_one_to_one(form):
    vectors = np.random.default_rng(1).normal(size=(100, 15))
    parts = unpack(vectors, form=form)
    np.testing.assert_allclose(pack(*parts, form=form), vectors, rtol=1e-8, atol=1e-8)
    # The signs of the diagonal are lost without the logarithm.
    assert abs(pack(*unpack(vectors)) - vectors).max() > 1
    # Every vector has positive weights only if their logarithm is what it holds.
    assert (parts[2] > 0).all() == (form == "log")


def test_names_tell_the_logarithms():
    names = ["mean x", "mean y", "log L x,x", "L y,x", "log L y,y", "weight"]
    assert parameter_names(["x", "y"], form="log-cholesky") == names
    assert parameter_names(["x", "y"], form="log") == [*names[:-1], "log weight"]
    for form in FORMS:
        written = [name.startswith("log ") for name in parameter_names("wxyz", form=form)]
        assert log_entries(4, form=form).tolist() == written
    component = pack([[0.0]], [[[4.0]]], [0.5], form="log")
    np.testing.assert_allclose(component, [[0.0, np.log(2), np.log(0.5)]])


def test_the_culprit_is_named():
    covariances = np.tile(np.eye(2), (3, 1, 1))
    covariances[2, 1, 1] = -1.0
    with pytest.raises(ValueError, match="component 2 is not positive definite"):
        pack(np.zeros((3, 2)), covariances, np.ones(3))
    with pytest.raises(ValueError, match="expected shapes"):
        pack(np.zeros((3, 2)), covariances[:2], np.ones(3))
    for call in (
        lambda **form: pack(*unpack([[0.0, 1, 1]]), **form),
        lambda **form: parameter_names(["x"], **form),
    ):
        with pytest.raises(ValueError, match="'qr': choose one of cholesky, log-cholesky, log"):
            call(form="qr")
    with pytest.raises(ValueError, match="component 1 has 0, without a logarithm"):
        pack(np.zeros((2, 1)), np.ones((2, 1, 1)), [1.0, 0.0], form="log")
    with pytest.raises(ValueError, match=r"shape \(1, 7\) is not"):
        unpack(np.zeros((1, 7)))
