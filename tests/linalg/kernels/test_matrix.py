"""The sparse matrix of cells behaves as one of SciPy."""

import gc
import weakref

import numpy as np
import pytest
from scipy.sparse import coo_array, csr_array

from flatmin.linalg.kernels import CellMatrix, Cells
from tests.linalg.kernels.test_cells import _draw


def test_the_sparse_matrix_behaves_as_scipys():
    rows, cols, shape, values, _, L, R = _draw(np.float64, 4, repeated=False)
    cells = Cells.from_positions(rows, cols, shape)
    S, plain = CellMatrix.from_values(cells.arranged(values), cells), csr_array((values, (rows, cols)), shape=shape)
    dense = plain.toarray()
    for matrix, right in ((S, R), (S.T, L), (S.T.T, R), (S.T.tocsr(), L), (S.tocsr(), R), (S.tocsc(), R)):
        expected = dense if matrix.shape == shape else dense.T
        np.testing.assert_allclose(matrix.toarray(), expected)
        np.testing.assert_allclose(matrix @ right, expected @ right, atol=1e-13)
        np.testing.assert_allclose(matrix @ right[:, 0], expected @ right[:, 0], atol=1e-13)
    np.testing.assert_allclose((S.T @ S).toarray(), dense.T @ dense, atol=1e-13)
    np.testing.assert_allclose(abs(S).sum(axis=0), np.abs(dense).sum(axis=0))
    np.testing.assert_allclose((2 * S).toarray(), 2 * dense)
    np.testing.assert_allclose(S[[3, 5]][:, [1, 2]].toarray(), dense[[3, 5]][:, [1, 2]])
    np.testing.assert_allclose((2 * S) @ R, 2 * dense @ R, atol=1e-13)
    single = S.astype(np.float32)
    assert isinstance(single, CellMatrix)
    assert (single @ R).dtype == (single.T @ L).dtype == np.float32
    np.testing.assert_allclose(single @ R, dense @ R, atol=1e-5)
    np.testing.assert_allclose(L.T @ S, L.T @ dense, atol=1e-13)
    np.testing.assert_allclose(S @ R.astype(np.float32), dense @ R, atol=1e-5)
    with pytest.raises(ValueError, match="mismatch"):
        S @ L[:-1]


def test_repeated_cells_survive_what_adds_them_up():
    rows, cols, shape, values, *_ = _draw(np.float64, 1)
    cells = Cells.from_positions(rows, cols, shape)
    S, dense = (
        CellMatrix.from_values(cells.arranged(values), cells),
        coo_array((values, (rows, cols)), shape=shape).toarray(),
    )
    before = cells.pointers.copy(), cells.indices.copy()
    bound = abs(S)
    assert np.all(bound.toarray() >= np.abs(dense) - 1e-15)
    np.testing.assert_allclose(bound @ np.ones(shape[1]), np.bincount(rows, np.abs(values), shape[0]))
    S.T.sum_duplicates()
    S.sum_duplicates()
    assert S.nnz == len(np.unique(rows * shape[1] + cols)) < len(rows)
    np.testing.assert_allclose(S.toarray(), dense)
    np.testing.assert_allclose(S.T @ np.eye(shape[0]), dense.T)
    np.testing.assert_array_equal(cells.pointers, before[0])
    np.testing.assert_array_equal(cells.indices, before[1])


def test_matrices_go_when_nobody_needs_them():
    rows, cols, shape, values, *_ = _draw(np.float64, 1)
    cells = Cells.from_positions(rows, cols, shape)
    S = CellMatrix.from_values(cells.arranged(values), cells)
    T = S.T
    assert T.T is S
    dense, gone = S.toarray(), weakref.ref(S)
    gc.disable()
    try:
        del S
        assert gone() is None
    finally:
        gc.enable()
    np.testing.assert_allclose(T.T @ np.eye(shape[1]), dense)


def test_a_matrix_that_was_turned_can_be_pickled_and_its_multiples_keep_their_cells():
    import pickle

    cells = Cells.from_positions(np.array([0, 1, 1]), np.array([2, 0, 0]), (2, 3))
    S = CellMatrix.from_values(np.array([1.0, 2.0, 3.0]), cells)
    turned = S.T @ np.eye(2)
    again = pickle.loads(pickle.dumps(S))
    np.testing.assert_array_equal(again.T @ np.eye(2), turned)
    twice = 2 * (S * 0.5)
    assert isinstance(S * 0.5, CellMatrix)
    np.testing.assert_array_equal(twice.toarray(), S.toarray())
    np.testing.assert_array_equal(abs(CellMatrix.from_values(np.array([1.0, 2.0, -3.0]), cells)).data, [1.0, 5.0])
