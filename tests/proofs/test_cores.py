"""The measured map on cores, against dense ones."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones import Rectangular, Semidefinite, Symmetric
from flatmin.proofs.cores import core_columns, core_columns_error, core_gram
from flatmin.proofs.whitening import whiten

RECTANGULAR, SEMIDEFINITE, SYMMETRIC = Rectangular(), Semidefinite(), Symmetric()


def test_core_columns_are_the_map_on_symmetric_matrices(instance):
    whitened, _ = whiten(instance.problem)
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((d, 3)))[0] for d in whitened.shape)
    S = rng.standard_normal((3, 3))
    S = S + S.T
    rows, cols = np.triu_indices(3)
    coordinates = np.where(rows == cols, 1, np.sqrt(2)) * S[rows, cols]
    assert np.linalg.norm(coordinates) == pytest.approx(np.linalg.norm(S)), "the basis is orthonormal"
    np.testing.assert_allclose(
        core_columns(whitened, U, V, RECTANGULAR.core_pairs(U, V)) @ coordinates,
        whitened.forward(U @ S @ V.T),
        atol=1e-10,
    )


@pytest.mark.parametrize("cone", [RECTANGULAR, SEMIDEFINITE, SYMMETRIC], ids=repr)
@pytest.mark.parametrize("dtype", [float, complex])
def test_core_columns_in_every_cone(cone, dtype):
    """An orthonormal basis of the cores S for which ``U S V*`` is in the model: all of it, and nothing else."""
    if dtype is complex and cone != SEMIDEFINITE:
        return
    rng = np.random.default_rng(0)
    T = rng.standard_normal((30, 5, 5)) + (1j * rng.standard_normal((30, 5, 5)) if dtype is complex else 0)
    A = fm.measurements.Dense(T + T.conj().transpose(0, 2, 1))
    U = np.linalg.qr(rng.standard_normal((5, 4)) + (1j * rng.standard_normal((5, 4)) if dtype is complex else 0))[0]
    signs = np.array([1.0, 1.0, -1.0, -1.0]) if cone == SYMMETRIC else np.ones(4)
    columns = core_columns(A, U, U * signs, cone.core_pairs(U, U * signs))
    assert columns.shape[1] == {float: 10, complex: 16}[dtype] - 4 * (cone == SYMMETRIC)
    dense = []
    for i in range(4):
        for j in range(i, 4):
            for phase in (1, 1j) if dtype is complex and i < j else (1,):
                S = np.zeros((4, 4), dtype)
                S[i, j] += phase / (2 if i == j else np.sqrt(2))
                S[j, i] += np.conj(phase) / (2 if i == j else np.sqrt(2))
                X = U @ S @ (U * signs).conj().T
                if cone == RECTANGULAR or np.allclose(X, X.conj().T):
                    dense.append(A.forward(X))
    np.testing.assert_allclose(columns @ columns.T, np.array(dense).T @ np.array(dense), atol=1e-9)


def test_cores_of_a_product_may_mix_signs_even_if_its_singular_vectors_are_alike():
    """V is U up to signs here, and still every symmetric S makes a matrix of the model."""
    A, U = fm.measurements.Identity((2, 2)), np.eye(2)
    columns = core_columns(A, U, U * [1.0, -1.0], RECTANGULAR.core_pairs(U, U))
    assert columns.shape == (4, 3)
    np.testing.assert_allclose(columns.T @ columns, np.eye(3), atol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cone", [RECTANGULAR, SEMIDEFINITE, SYMMETRIC], ids=repr)
def test_core_gram_of_entries_is_that_of_the_columns(cone, weighted):
    rng = np.random.default_rng(0)
    cells = rng.choice(54, 40, replace=False)
    A = fm.measurements.Entries(*np.divmod(cells, 6), (9, 6), rng.uniform(0.1, 3, 40) if weighted else None)
    if cone != RECTANGULAR:
        A = fm.measurements.Entries(A.rows % 6, A.cols, (6, 6), A.weights)
    U = np.linalg.qr(rng.standard_normal((A.shape[0], 3)))[0]
    V = np.linalg.qr(rng.standard_normal((6, 3)))[0] if cone == RECTANGULAR else U * [1.0, -1.0, 1.0]
    columns = core_columns(A, U, V, cone.core_pairs(U, V))
    gram, error = core_gram(A, U, V, cone.core_pairs(U, V))
    np.testing.assert_allclose(gram, columns.T @ columns, atol=1e-13 * np.trace(gram))
    assert np.linalg.norm(gram - columns.T @ columns, 2) <= error <= 1e-10 * np.trace(gram)


@pytest.mark.parametrize("rank", [1, 3])
def test_errors_of_columns_are_bounded(rank):
    """The columns of complex cores against the same sums in extended precision."""
    rng, side, masks = np.random.default_rng(rank), 16, 4
    shape = (masks, side, side)
    A = fm.measurements.CodedDiffraction(rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    U = np.linalg.qr(rng.standard_normal((side**2, rank)) + 1j * rng.standard_normal((side**2, rank)))[0]
    pairs = SEMIDEFINITE.core_pairs(U, U)
    columns, bound = core_columns(A, U, U, pairs), core_columns_error(A, U, U, pairs)
    turn = 8 * np.arctan(np.longdouble(1)) * np.arange(side).astype(np.longdouble) / side
    phase = np.outer(np.arange(side), turn)
    F = np.cos(phase) - 1j * np.sin(phase)
    masked = A.masks.conj().astype(np.clongdouble)[:, None] * U.T.reshape(rank, side, side)
    waves = np.einsum("ab,mkbc,dc->mkad", F, masked, F).transpose(0, 2, 3, 1).reshape(-1, rank)
    products = [waves[:, i] * waves[:, j].conj() for i, j in pairs]
    exact = [x.real * (1 if i == j else np.sqrt(np.longdouble(2))) for x, (i, j) in zip(products, pairs, strict=True)]
    exact += [-x.imag * np.sqrt(np.longdouble(2)) for x, (i, j) in zip(products, pairs, strict=True) if i != j]
    error = float(np.linalg.norm((columns - np.column_stack(exact)).astype(float)))
    assert 1e-4 * bound < error < bound
