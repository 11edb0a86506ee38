"""Bounds from whole decompositions, against many digits and against decompositions that are wrong."""

import mpmath
import numpy as np
import pytest

from flatmin.linalg.decompositions import Coupled, ProvedBlocks, leading_count, norm_bound, singular_values


def _matrix(kind, rng):
    P, Q = (np.linalg.qr(rng.standard_normal((n, n)))[0] for n in (9, 7))
    s = {
        "one": np.r_[1.0, 0.9 * rng.random(6)],
        "cluster": np.r_[1.0, 1 - 1e-15, 1 - 1e-9, 1 - 1e-7, 0.3 * rng.random(3)],
        "all": np.ones(7),
        "tiny": np.r_[1.0, 10.0 ** -np.arange(2, 14, 2)],
        "scaled": 1e-150 * np.r_[1.0, 0.5 * rng.random(6)],
    }[kind]
    return (P[:, :7] * s) @ Q.T


@pytest.mark.parametrize("kind", ["one", "cluster", "all", "tiny", "scaled"])
@pytest.mark.parametrize("seed", range(3))
def test_norms_are_bounded_tightly(kind, seed):
    S = _matrix(kind, np.random.default_rng(seed))
    U, s, Vt = np.linalg.svd(S, full_matrices=False)
    found = ProvedBlocks.from_triplets(S, U, s, Vt.T, leading_count(s, 1, 0.99))
    with mpmath.workdps(40):
        true = mpmath.svd_r(mpmath.matrix(S.tolist()), compute_uv=False)[0]
    assert true <= found.norm <= float(true) * (1 + 1e-13)
    assert found.slack <= 1e-13 * s[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_largest_eigenvalue_is_bounded_whatever_the_smallest(seed):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    S = (Q * np.r_[0.7, 0.2, -np.ones(3), -5.0, -0.1, -9.0]) @ Q.T
    S = (S + S.T) / 2
    values, vectors = np.linalg.eigh(S)
    values, vectors = values[::-1], vectors[:, ::-1]
    found = ProvedBlocks.from_triplets(S, vectors, values, vectors, 1, by_eigenvalue=True)
    with mpmath.workdps(40):
        true = max(mpmath.eigsy(mpmath.matrix(S.tolist()), eigvals_only=True))
    assert true <= found.norm <= float(true) + 1e-12
    assert 0.2 <= found.rest <= 0.2 + 1e-12
    negative = ProvedBlocks.from_triplets(-np.eye(4), np.eye(4), -np.ones(4), np.eye(4), 1, by_eigenvalue=True)
    assert 0 <= negative.norm < 3e-14


def test_the_rest_is_bounded_outside_the_leading_triplets():
    S = _matrix("one", np.random.default_rng(0))
    U, s, Vt = np.linalg.svd(S, full_matrices=False)
    found = ProvedBlocks.from_triplets(S, U, s, Vt.T, 2)
    assert s[2] <= found.rest <= s[2] + 1e-13
    assert ProvedBlocks.from_triplets(S, U, s, Vt.T, 7).rest < 1e-13


@pytest.mark.parametrize("p", [0, 1, 3, 7])
def test_wrong_decompositions_give_poor_bounds_and_no_wrong_ones(p):
    rng = np.random.default_rng(p)
    S = _matrix("one", rng)
    U, s, Vt = np.linalg.svd(S, full_matrices=False)
    turned = np.linalg.qr(U + 1e-3 * rng.standard_normal(U.shape))[0]
    others = [
        (turned, s, Vt.T),
        (U, 0.5 * s, Vt.T),
        (1.1 * U, s, Vt.T),
        (U[:, ::-1], s[::-1], Vt.T),
        (U, s, turned[:7]),
    ]
    for left, values, right in others:
        assert ProvedBlocks.from_triplets(S, left, values, right, p).norm >= 1


def test_complex_matrices():
    rng = np.random.default_rng(0)
    S = rng.standard_normal((6, 6)) + 1j * rng.standard_normal((6, 6))
    U, s, Vh = np.linalg.svd(S)
    found = ProvedBlocks.from_triplets(S, U, s, Vh.conj().T, 1)
    assert s[0] * (1 - 1e-14) <= found.norm <= s[0] * (1 + 1e-13)


def test_how_many_values_lead():
    s = np.array([1.0, 1 - 1e-9, 0.999, 0.5])
    assert leading_count(s, 0, 0.9999) == 2
    assert leading_count(s, 3, 0.9999) == 3
    assert leading_count(s, 9, 0.9999) == 4
    assert leading_count(0.1 * s, 0, 0.9999) == 2
    assert leading_count(np.zeros(0), 2, 0.9) == 0


@pytest.mark.parametrize("decades", [0, 8, 15])
@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (7, 3)])
def test_singular_values_are_within_their_error_in_sixty_digits(shape, decades):
    rng = np.random.default_rng(decades)
    B = rng.standard_normal(shape) * 10.0 ** -np.linspace(0, decades, shape[1])
    values, error = singular_values(B)
    with mpmath.workdps(60):
        M = mpmath.matrix(B.tolist())
        exact = sorted(mpmath.svd_r(M if shape[0] >= shape[1] else M.T, compute_uv=False), reverse=True)
        assert max(abs(x - mpmath.mpf(float(v))) for x, v in zip(exact, values, strict=True)) <= error
    assert error <= 1e-13 * values[0]


def _outside(F):
    """Return the projector on the orthogonal complement of columns in exact arithmetic."""
    return mpmath.eye(F.rows) - F * mpmath.inverse(F.T * F) * F.T


def _norm(M):
    return max(mpmath.svd_r(M, compute_uv=False))


@pytest.mark.parametrize("skew", [0.0, 1e-12, 1e-4])
@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-3])
@pytest.mark.parametrize("kind", ["one", "cluster", "all"])
def test_blocks_of_stored_columns_hold_in_forty_digits(kind, tilt, skew):
    """Columns may be too short, and coupled with the others. A bound that ignores either is below the norm."""
    rng = np.random.default_rng(4)
    S = _matrix(kind, rng)
    left, _, right = np.linalg.svd(S)
    U, V = ((F[:, :4] + tilt * rng.standard_normal((len(F), 4))) * (1 - skew) for F in (left, right.T))
    U, V = (F if tilt == 0 else np.linalg.qr(F)[0] * (1 - skew) for F in (U, V))
    s = np.diagonal(U.T @ S @ V).copy()
    near, wrong = (Coupled(U, values, V, S.T @ U, S @ V, 1e-15) for values in (s, 0.9 * s))
    with mpmath.workdps(40):
        exact, P, Q = (mpmath.matrix(M.tolist()) for M in (S, U, V))
        norm, outer = _norm(exact), float(_norm(_outside(P) * exact * _outside(Q))) * (1 + 1e-15)
        found = near.blocks(outer, 2)
        rest = _norm(_outside(P[:, :2]) * exact * _outside(Q[:, :2]))
        assert norm <= found.norm <= norm * (1 + 20 * skew + 20 * tilt + 1e-13)
        assert rest <= found.rest <= rest + 30 * skew + 30 * tilt + 1e-13
        assert norm <= wrong.blocks(outer, 2).norm


@pytest.mark.parametrize("skew", [0.0, 1e-4])
def test_blocks_of_a_hermitian_matrix_bound_its_largest_eigenvalue(skew):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    S = (Q * [1.0, 0.8, 0.1, 0, 0, 0, -0.5, -3.0]) @ Q.T
    S, U = (S + S.T) / 2, Q[:, :2] * (1 - skew)
    near = Coupled(U, np.diagonal(U.T @ S @ U).copy(), U, S @ U, S @ U, 1e-15)
    with mpmath.workdps(40):
        top = max(mpmath.eigsy(mpmath.matrix(S.tolist()), eigvals_only=True))
        assert top <= near.blocks(0.1 + 1e-14, 2, by_eigenvalue=True).norm <= 1 + 20 * skew + 1e-13


def test_columns_far_from_orthonormal_bound_nothing():
    near = Coupled(np.eye(3)[:, :1] * 0.9, np.ones(1), np.eye(3)[:, :1], np.eye(3)[:, :1], np.eye(3)[:, :1], 0.0)
    assert near.blocks(0.5, 1).norm == np.inf


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_norm_bound_is_above_the_norm_whatever_the_guess(scale):
    M = np.random.default_rng(1).standard_normal((7, 5))
    with mpmath.workdps(40):
        true = float(_norm(mpmath.matrix(M.tolist())))
    for guess in (0.0, 0.5 * true, true * (1 - 1e-15), true, 2 * true):
        assert norm_bound(scale * M, scale * guess) >= scale * true
    assert norm_bound(scale * M, scale * true) <= scale * true * (1 + 1e-13)
