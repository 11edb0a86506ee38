"""Flat linear networks: closed forms, certificates and refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import flatmin as fm
from flatmin.testing import check_solution
from tests.referee import nuclear


@pytest.mark.parametrize("widths", [(4,), (3, 4)])
def test_the_error_radius_of_the_whole_matrix_is_the_distance_of_the_data(widths):
    M = _matrix(3)
    A = fm.measurements.Dense(3 * np.linalg.qr(np.random.default_rng(0).standard_normal((20, 20)))[0].reshape(20, 5, 4))
    s = fm.flat_minimum(fm.Problem(A, A.forward(M), fm.Chain(widths)))
    assert s.certificate.error_radius(0.6, 10.0) == pytest.approx(0.2)
    assert s.certificate.radius <= 1e-12


WIDTHS = [(2,), (3,), (2, 2), (4, 3), (2, 3, 4)]


def _matrix(rank=2, shape=(5, 4), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))


@pytest.mark.parametrize("widths", WIDTHS)
def test_the_whole_matrix_in_closed_form(widths):
    M, N = _matrix(), len(widths) + 1
    problem = fm.Problem(fm.measurements.Identity(M.shape), M.ravel(), fm.Chain(widths))
    s = fm.flat_minimum(problem)
    assert s.status is fm.Status.unique_flat_minimum
    assert s.certificate.value == pytest.approx(2 * N / 20 * 20 ** (1 / N) * nuclear(M) ** (2 - 2 / N))
    assert abs(s.certificate.relative_gap) < 1e-12
    assert s.flatness.scaled_trace == pytest.approx(s.certificate.value)
    assert s.rank == 2
    np.testing.assert_allclose(s.matrix, M, atol=1e-12)
    check_solution(s, problem)
    for given_ in (M, s.factors):
        proof = fm.certify(problem, given_)
        assert proof.holds
        assert proof.unique


@given(seed=st.integers(0, 10_000), size=st.sampled_from([1e-9, 1e-3, 1, 1e6]))
def test_any_dual_of_a_chain_gives_a_bound_below_the_optimum(seed, size):
    M, rng = _matrix(), np.random.default_rng(seed)
    problem = fm.Problem(fm.measurements.Identity(M.shape), M.ravel(), fm.Chain((2, 2)))
    s = fm.flat_minimum(problem)
    for dual in (s.certificate.dual + size * rng.standard_normal(20), size * rng.standard_normal(20), np.zeros(20)):
        assert fm.certify(problem, s.factors, dual).lower_bound <= s.certificate.value * (1 + 1e-12)
    wrong = M + 1e-5 * rng.standard_normal((5, 2)) @ rng.standard_normal((2, 4))
    U, sv, Vt = np.linalg.svd(wrong)
    factors = np.diag(sv[:2]) @ Vt[:2], np.eye(2), U[:, :2]
    assert not fm.certify(problem, factors, s.certificate.dual).holds


@pytest.mark.parametrize("measured", ["dense", "completion"])
def test_two_layers_minimise_the_whitened_nuclear_norm(measured):
    M, rng = _matrix(), np.random.default_rng(1)
    if measured == "dense":
        A = fm.measurements.Dense(rng.standard_normal((18, 5, 4)))
    else:
        A = fm.measurements.Entries(*np.divmod(rng.permutation(20)[:18], 4), (5, 4))
    product = fm.flat_minimum(fm.Problem(A, A.forward(M)))
    problem = fm.Problem(A, A.forward(M), fm.Chain((4,)))
    s = fm.flat_minimum(problem)
    np.testing.assert_allclose(s.matrix, product.matrix, atol=1e-6 * np.linalg.norm(M))
    assert s.status is product.status
    assert s.certificate.value == pytest.approx(np.sqrt(20) * product.certificate.value)
    assert s.flatness.scaled_trace == pytest.approx(s.certificate.value)
    check_solution(s, problem)
    assert fm.certify(problem, s.matrix, s.certificate.dual).holds


def test_a_second_matrix_may_not_fit_into_a_narrow_chain():
    """The diagonal of a matrix is measured: solutions of every rank are equally flat, not all have room everywhere."""
    diagonal = fm.measurements.Entries(np.arange(3), np.arange(3), (3, 3))
    wide = fm.Problem(diagonal, np.ones(3), fm.Chain((3,)))
    s = fm.flat_minimum(wide)
    assert s.certificate.unique is False
    assert s.certificate.alternative[0].shape == (3, 3)
    check_solution(s, wide)
    narrow = fm.Problem(diagonal, np.ones(3), fm.Chain((1,)))
    assert fm.certify(wide, np.ones((3, 3)), s.certificate.dual).unique is False
    proof = fm.certify(narrow, np.ones((3, 3)), s.certificate.dual)
    assert proof.holds
    assert proof.unique is None
    assert proof.alternative is None


def test_a_chain_too_narrow_or_too_deep_is_refused():
    M = _matrix(3)
    A = fm.measurements.Dense(np.random.default_rng(0).standard_normal((40, 5, 4)))
    for whole, widths in ((True, (2,)), (True, (4, 2, 4)), (False, (2,))):
        B = fm.measurements.Identity((5, 4)) if whole else A
        with pytest.raises(fm.InputError, match="the matrix has rank 3, expected hidden widths of at least that"):
            fm.flat_minimum(fm.Problem(B, B.forward(M), fm.Chain(widths)))
    with pytest.raises(fm.InputError, match="not known for 3 layers and these measurements"):
        fm.flat_minimum(fm.Problem(A, A.forward(M), fm.Chain((3, 3))))
    with pytest.raises(fm.InputError, match="not known for 3 layers"):
        fm.certify(
            fm.Problem(A, A.forward(M), fm.Chain((3, 3))),
            (np.ones((3, 4)), np.ones((3, 3)), np.ones((5, 3))),
            np.ones(40),
        )


@pytest.mark.parametrize("widths", [(4,), (4, 4)])
def test_contradictory_repetitions_give_the_mean(widths):
    M, rng = _matrix(), np.random.default_rng(0)
    rows, cols = np.divmod(np.tile(np.arange(20), 2), 4)
    A = fm.measurements.Entries(rows, cols, (5, 4))
    noise = 0.1 * rng.standard_normal(20)
    s = fm.flat_minimum(fm.Problem(A, A.forward(M) + np.concatenate([noise, -noise]), fm.Chain(widths)))
    assert s.status is fm.Status.inconsistent_data
    assert not s.certificate.holds
    np.testing.assert_allclose(s.matrix, M, atol=1e-12)


def test_zero_matrices():
    for widths in ((2,), (2, 2)):
        s = fm.flat_minimum(fm.Problem(fm.measurements.Identity((3, 2)), np.zeros(6), fm.Chain(widths)))
        assert s.status is fm.Status.unique_flat_minimum
        assert s.rank == s.certificate.value == s.certificate.relative_gap == 0


@pytest.mark.parametrize("d", [1, 3])
def test_a_map_that_measures_nothing_is_not_isotropic(d):
    nothing = fm.measurements.Dense(np.zeros((d * d, d, d)))
    assert fm.Chain((d,)).isotropy(fm.Problem(nothing, np.zeros(d * d), fm.Chain((d,))).metric) is None
    s = fm.flat_minimum(fm.Problem(nothing, np.zeros(d * d), fm.Chain((d,))))
    assert not s.matrix.any()
    check_solution(s)
    with pytest.raises(fm.InputError, match="not known for 3 layers"):
        fm.flat_minimum(fm.Problem(nothing, np.zeros(d * d), fm.Chain((d, d))))
