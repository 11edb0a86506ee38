"""Leading directions by blocks, beside the dense decomposition."""

import numpy as np
import pytest
from scipy.sparse import random_array
from scipy.sparse.linalg import LinearOperator, aslinearoperator

import flatmin as fm
from flatmin.cones import rectangular
from flatmin.linalg.block_krylov import block_triplets
from flatmin.linalg.subspaces import deflate


def _sparse(shape, seed=0, rank=3):
    rng = np.random.default_rng(seed)
    S = random_array(shape, density=0.05, random_state=rng, format="csr")
    low = np.linalg.qr(rng.standard_normal((shape[0], rank)))[0] @ rng.standard_normal((rank, shape[1]))
    return S, S.toarray(), low


@pytest.mark.parametrize("shape", [(300, 200), (150, 260)])
@pytest.mark.parametrize("count", [1, 5, 25])
def test_triplets_are_those_of_the_dense_matrix(shape, count):
    S, dense, _ = _sparse(shape)
    U, s, V = block_triplets(S, count, tol=1e-5)
    want = np.linalg.svd(dense, compute_uv=False)[:count]
    np.testing.assert_allclose(s, want, rtol=1e-8)
    np.testing.assert_allclose(S @ V, U * s, atol=1e-8)
    np.testing.assert_allclose(U.T @ U, np.eye(count), atol=1e-10)


def test_a_matrix_in_single_precision_has_triplets_in_single_precision_if_they_may_be_rough():
    S, dense, _ = _sparse((300, 200))
    want = np.linalg.svd(dense, compute_uv=False)[:5]
    for tol, precision in ((1e-2, np.float32), (1e-5, np.float64)):
        U, s, V = block_triplets(S.astype(np.float32), 5, tol=tol)
        assert U.dtype == s.dtype == V.dtype == precision
        np.testing.assert_allclose(s, want, rtol=max(tol**2, 1e-6))


def test_values_never_exceed_the_true_ones_however_rough():
    S, dense, _ = _sparse((200, 300), seed=1)
    rough = block_triplets(S, 30, tol=0.5)[1]
    assert np.all(rough <= np.linalg.svd(dense, compute_uv=False)[:30] * (1 + 1e-12))


def test_deflated_directions_lie_outside():
    S, dense, _ = _sparse((300, 200), seed=2)
    U, _, Vt = np.linalg.svd(dense)
    u, s, v = block_triplets(deflate(S, U[:, :3], Vt[:3].T), 4, tol=1e-4)
    np.testing.assert_allclose(s, np.linalg.svd(dense, compute_uv=False)[3:7], rtol=1e-6)
    assert np.abs(U[:, :3].T @ u).max() < 1e-8
    assert np.abs(Vt[:3] @ v).max() < 1e-8


def test_a_matrix_of_lower_rank_than_is_wanted_and_the_zero_matrix():
    _, _, low = _sparse((60, 50), seed=3)
    U, s, V = block_triplets(aslinearoperator(low), 10, tol=1e-4)
    np.testing.assert_allclose(U * s @ V.T, low, atol=1e-9)
    assert block_triplets(aslinearoperator(np.zeros((6, 5))), 2)[1].max(initial=0.0) == 0


@pytest.mark.parametrize("rank", [2, 12])
def test_a_large_problem_is_fitted_at_once_at_the_rank_of_its_gap(monkeypatch, rank):
    """In the way of large problems, and of a rank beyond the usual first one."""
    monkeypatch.setattr(rectangular, "DENSE", 10)
    rng = np.random.default_rng(4)
    truth = rng.standard_normal((150, rank)) @ rng.standard_normal((rank, 140))
    cells = np.sort(rng.choice(truth.size, 6 * rank * (290 - rank) if rank < 5 else 13000, replace=False))
    A = fm.measurements.Entries(*np.divmod(cells, 140), truth.shape)
    s = fm.flat_minimum(fm.Problem(A, A.forward(truth)))
    assert s.certificate.holds
    assert s.rank == rank
    assert s.iterations == 1
    np.testing.assert_allclose(s.matrix, truth, atol=1e-8 * np.linalg.norm(truth))


def test_what_is_clearly_below_is_found_roughly_and_what_is_not_precisely():
    S, dense, _ = _sparse((900, 800), seed=5)
    top = np.linalg.svd(dense, compute_uv=False)[0]
    products = []

    def counted(x):
        products.append(x.shape[1])
        return S @ x

    operator = LinearOperator(
        S.shape, matvec=counted, rmatvec=lambda x: S.T @ x, matmat=counted, rmatmat=lambda x: S.T @ x, dtype=float
    )
    assert block_triplets(operator, 2, below=0.9 * top)[1][0] == pytest.approx(top, rel=1e-3)
    precise, products[:] = sum(products), []
    rough = block_triplets(operator, 2, below=2 * top)[1][0]
    assert 0.9 * top < rough <= top * (1 + 1e-12)
    assert sum(products) < precise


def test_a_start_near_the_leading_directions_is_refined():
    rng = np.random.default_rng(3)
    S = rng.standard_normal((90, 70))
    _, s, Vt = np.linalg.svd(S)
    near = Vt[:3].T + 0.1 * rng.standard_normal((70, 3)) / np.sqrt(70)
    found, v = block_triplets(S, 3, tol=1e-4, start=near)[1:]
    np.testing.assert_allclose(found, s[:3], rtol=1e-6)
    assert np.linalg.norm(v - Vt[:3].T @ (Vt[:3] @ v)) < 1e-2
