"""Dual proofs of uniqueness: what they claim holds, they are found where they exist, and nowhere else."""

import cvxpy as cp
import numpy as np
import pytest

from flatmin._core.limits import Clock
from flatmin.measurements import CodedDiffraction, RankOne
from flatmin.solvers.vectors import uniqueness_dual as module
from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.interpolating import another_interpolant
from flatmin.solvers.vectors.uniqueness_dual import _margin, uniqueness_dual
from tests.solvers.vectors.instances import coded, dense_margin, draw, whitened


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("d", "m", "r", "dtype"),
    [(40, 160, 1, float), (40, 120, 1, float), (30, 180, 1, complex), (30, 270, 3, float), (15, 220, 3, complex)],
)
def test_a_proof_is_found_and_holds(d, m, r, dtype):
    for seed in range(3):
        A, U = whitened(d, m, r, dtype, seed)
        dual = uniqueness_dual(A, U)
        smallest, mean, residual = dense_margin(A, dual, U)
        assert smallest > 0.02
        assert mean == pytest.approx(1)
        assert residual < 1e-13


def best_margin(A, U):
    """Referee: the largest margin at mean eigenvalue one, by cvxpy."""
    matrices = A.matrices()
    N = np.linalg.qr(U, mode="complete")[0][:, U.shape[1] :]
    zero = np.array([(M @ U).ravel() for M in matrices]).T
    _, values, rows = np.linalg.svd(np.vstack([zero.real, zero.imag]))
    free = rows[np.count_nonzero(values > 1e-10 * values[0]) :]
    blocks = [N.conj().T @ A.adjoint(row) @ N for row in free]
    real = [np.block([[M.real, -M.imag], [M.imag, M.real]]) for M in blocks]
    z, t = cp.Variable(len(free)), cp.Variable()
    W = sum(z[i] * M for i, M in enumerate(real))
    fixed = z @ np.array([np.trace(M) for M in real])
    constraints = [fixed == 2 * N.shape[1], W - t * np.eye(2 * N.shape[1]) >> 0]
    return cp.Problem(cp.Maximize(t), constraints).solve(solver=cp.SCS, eps=1e-8, max_iters=20_000)


@pytest.mark.parametrize(("m", "dtype"), [(32, float), (26, float), (16, float), (45, complex), (30, complex)])
def test_the_margin_is_half_of_the_best_or_more(m, dtype):
    """Where the best margin is positive a proof is found; where it is not, none is claimed."""
    for seed in range(2):
        A, U = whitened(8, m, 1, dtype, seed)
        best = best_margin(A, U)
        dual = uniqueness_dual(A, U)
        if best < 1e-4:
            assert dual is None
        elif best > 5e-3:
            assert 0.5 * best - 1e-5 <= dense_margin(A, dual, U)[0] <= best + 1e-5


def test_below_the_threshold_there_is_another_solution_and_no_proof():
    for seed in range(3):
        A, U = whitened(20, 30, 1, float, seed)
        b = A.forward_factors(U, U)
        assert another_interpolant(A, b, U, clock=Clock(), seed=seed) is not None
        assert uniqueness_dual(A, U) is None


def test_a_solution_in_the_middle_of_others_has_no_proof():
    """Negative control far above the threshold: half the truth and half another interpolant of the same data."""
    rng = np.random.default_rng(0)
    left = rng.standard_normal((30, 10))
    left[:, 9] = 0  # a direction that the measurements never see
    A, S = RankOne(left), rng.standard_normal((10, 1))
    S[9] = 0
    U = np.hstack([S, np.eye(10)[:, 9:]])
    dual = uniqueness_dual(A, S)
    assert np.linalg.eigvalsh(A.adjoint(dual))[1] < 1e-12
    assert uniqueness_dual(A, U) is not None


def test_perturbed_duals_never_pass():
    """Moved by more than the margin allows, λ loses either semidefiniteness or the zero on U."""
    A, U = whitened(15, 45, 1, float)
    dual = uniqueness_dual(A, U)
    rng = np.random.default_rng(1)
    for _ in range(200):
        noise = rng.standard_normal(A.size)
        moved = dual + 0.5 * np.linalg.norm(dual) / np.linalg.norm(noise) * noise
        smallest, _, residual = dense_margin(A, moved, U)
        assert smallest <= 0 or residual > 1e-3


@pytest.mark.parametrize("count", [8, 10])
def test_coded_diffraction_is_certified_matrix_free(count, monkeypatch):
    A, s = coded(12, 15, count)
    monkeypatch.setattr(module, "LARGEST_STEP", 0)
    dual = uniqueness_dual(A, s)
    smallest, mean, residual = dense_margin(A, dual, s)
    assert smallest > 0.08
    assert mean == pytest.approx(1)
    assert residual < 1e-13


def test_the_margin_by_lanczos_is_that_of_the_array(monkeypatch):
    A, s = coded(10, 12, 8)
    dual = uniqueness_dual(A, s)
    complement = Complement(A, s / np.linalg.norm(s))
    dense = _margin(complement, dual, 0)
    assert dense == pytest.approx(dense_margin(A, dual, s)[0], rel=1e-10)
    monkeypatch.setattr(module, "LARGEST_DENSE", 10)
    assert _margin(complement, dual, 0) == pytest.approx(dense, rel=2e-3)


def test_pixels_that_no_mask_sees_do_not_count():
    rng = np.random.default_rng(0)
    masks = draw(rng, (12, 6, 6), complex)
    masks[:, 2, 3] = 0
    A = CodedDiffraction(masks)
    D = A.metric()[0]
    A, s = A.congruence(D.power(-1), D.power(-1)), draw(rng, (36, 1), complex)
    s[15] = 0
    dual = uniqueness_dual(A, s)
    W = A.adjoint(dual)
    values = np.linalg.eigvalsh(W)
    np.testing.assert_allclose(values[:2], 0, atol=1e-12)
    assert values[2] > 0.2
    assert np.sum(values) == pytest.approx(34)


def test_degenerate_ranks():
    A, U = whitened(6, 40, 2, float)
    nothing = uniqueness_dual(A, U[:, :0])
    assert np.linalg.eigvalsh(A.adjoint(nothing))[0] > 0.5
    assert np.all(uniqueness_dual(A, np.eye(6)) == 0)
    few, V = whitened(6, 7, 1, float)
    assert uniqueness_dual(few, V) is None


def test_time_limit_and_seed():
    A, U = whitened(30, 100, 1, float)
    np.testing.assert_array_equal(uniqueness_dual(A, U, seed=3), uniqueness_dual(A, U, seed=3))
    uniqueness_dual(A, U, time_limit=0)
