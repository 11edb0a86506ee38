"""Approximate subspaces: residuals, inequalities and orthogonality, against dense decompositions."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import aslinearoperator

from flatmin.linalg.effort import Effort
from flatmin.linalg.subspaces import (
    as_array,
    block_norm,
    complement,
    couplings,
    deflate,
    extended_subspaces,
    extreme_eigenvalue,
    leading_eigenpairs,
    leading_triplets,
    refined_subspaces,
)


def _matrix(values, shape=(60, 50), seed=0):
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((d, len(values))))[0] for d in shape)
    return U * values @ V.T, U, V


@pytest.mark.parametrize("form", [np.asarray, csr_array, aslinearoperator])
def test_every_form_is_the_same_matrix(form):
    S, U, V = _matrix(np.linspace(1, 0.1, 9))
    np.testing.assert_allclose(as_array(form(S)), S, atol=1e-14)
    left, s, right = leading_triplets(form(S), 3, tol=1e-6)
    np.testing.assert_allclose(s, np.linspace(1, 0.1, 9)[:3], rtol=1e-8)
    np.testing.assert_allclose(S @ right, left * s, atol=1e-6)
    D = as_array(deflate(form(S), U[:, :2], V[:, :2]))
    assert np.linalg.norm(D, 2) == pytest.approx(np.linspace(1, 0.1, 9)[2])


def test_the_complement_is_orthonormal_and_orthogonal():
    rng = np.random.default_rng(0)
    Q = np.linalg.qr(rng.standard_normal((7, 4)))[0]
    C = complement(Q[:, :2], Q[:, 2:])
    np.testing.assert_allclose(C.T @ C, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(Q.T @ C, 0, atol=1e-12)
    assert complement(Q[:, :2]).shape == (7, 5)


@pytest.mark.parametrize("size", [5, 300])
@pytest.mark.parametrize("lowest", [False, True])
def test_extreme_eigenvalues(size, lowest):
    S = np.random.default_rng(1).standard_normal((size, size))
    S = S + S.T
    true = np.linalg.eigvalsh(S)
    assert extreme_eigenvalue(S, lowest) == pytest.approx(true[0] if lowest else true[-1], rel=2e-3)


@pytest.mark.parametrize("by_size", [False, True])
def test_eigenpairs_are_in_order(by_size):
    S = np.diag([3.0, -5.0, 1.0, 0.5])
    values, Q = leading_eigenpairs(S, 2, by_size=by_size)
    np.testing.assert_allclose(values, [-5, 3] if by_size else [3, 1])
    np.testing.assert_allclose(S @ Q, Q * values, atol=1e-12)


def test_refinement_reduces_the_coupling_of_a_guess():
    S, U, V = _matrix(np.concatenate([[1.0, 0.99], np.linspace(0.5, 0.1, 10)]))
    rng = np.random.default_rng(2)
    U0, V0 = (np.linalg.qr(F[:, :2] + 1e-3 * rng.standard_normal((len(F), 2)))[0] for F in (U, V))
    before = max(couplings(S, U0, V0)[3])
    after = max(refined_subspaces(S, U0, V0)[2][3])
    assert after < 1e-6 < before


def test_block_norms_bound_the_norm():
    S, U, V = _matrix(np.linspace(1, 0.1, 9))
    rng = np.random.default_rng(3)
    U0, V0 = (np.linalg.qr(F[:, :3] + 0.1 * rng.standard_normal((len(F), 3)))[0] for F in (U, V))
    _, _, inner, coupling = couplings(S, U0, V0)
    rest = np.linalg.norm(deflate(S, U0, V0), 2)
    assert block_norm(inner, coupling, rest) >= 1
    assert block_norm(inner, 0 * coupling, 0.0) < block_norm(inner, coupling, rest)


def test_large_singular_values_are_appended():
    S, U, V = _matrix(np.concatenate([1 - 1e-5 * np.arange(5), np.linspace(0.5, 0.1, 45)]))
    U1, V1, largest = extended_subspaces(csr_array(S), U[:, :1], V[:, :1], 1 - 1e-4, 0.99, 0, Effort())
    assert U1.shape[1] == V1.shape[1] == 5
    assert largest == pytest.approx(1, rel=1e-4)
    np.testing.assert_allclose(np.linalg.svd(U[:, :5].T @ U1, compute_uv=False), 1, atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("many", [4, 40, 150])
def test_the_first_cycle_tells_how_many_vectors_there_are(many, scale, monkeypatch):
    """The search asks once for about 2.3 products a vector, and ends there if that is too much."""
    rng, asked = np.random.default_rng(1), []
    values = np.concatenate([1 - 1e-5 * rng.random(many), np.linspace(0.7, 0.0, 300 - many)])
    U, V = (np.linalg.qr(rng.standard_normal((300, 300)))[0] for _ in range(2))
    monkeypatch.setattr(Effort, "afford", lambda self, products: asked.append(products))
    S, empty = scale * (U * values) @ V.T, np.zeros((300, 0))
    found = extended_subspaces(S, empty, empty, 1 - 1e-4, 0.99, 0, Effort())[0]
    assert found.shape[1] == many
    assert len(asked) == 1
    assert 0.5 * many <= asked[0] / 2.3 <= 2 * many
