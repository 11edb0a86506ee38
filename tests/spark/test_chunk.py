"""Chunks: products, residuals and ridge rows, against dense arrays."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin.spark.chunk import Chunk

from .conftest import flat_objective, sample

SHAPE, REG = (70, 50), 0.1


@pytest.fixture(scope="module")
def triples():
    return sample(SHAPE)


def test_a_chunk_multiplies_and_leaves_residuals_as_dense_arrays_do(triples):
    i, j, values = triples
    rng = np.random.default_rng(1)
    L, R = rng.standard_normal((70, 3)), rng.standard_normal((50, 3))
    chunk = Chunk.from_cells(i, j, values)
    S = csr_array((values, (i, j)), shape=SHAPE)
    assert np.allclose(chunk.times(R), (S @ R)[chunk.lines])
    left = chunk.residual(L, R)
    E = csr_array((values - np.einsum("nk,nk->n", L[i], R[j]), (i, j)), shape=SHAPE)
    assert np.allclose(left.times(R[:, 0]), (E @ R[:, 0])[chunk.lines])
    w, v = rng.random(70), rng.random(50)
    assert np.allclose(left.weighted(w, v).times(R), (w[:, None] * (E @ (v[:, None] * R)))[chunk.lines])


def test_ridge_rows_minimise_the_flat_objective(triples):
    i, j, values = triples
    rng = np.random.default_rng(2)
    L, R = rng.standard_normal((70, 3)), rng.standard_normal((50, 3))
    chunk = Chunk.from_cells(i, j, values)
    rows, sums = chunk.ridge(L, R, REG)
    best = L.copy()
    best[chunk.lines] = rows
    for step in rng.standard_normal((5, *L.shape)):
        there, back = (flat_objective(i, j, values, best + t * step, R, REG) for t in (1e-4, -1e-4))
        at = flat_objective(i, j, values, best, R, REG)
        assert min(there, back) > at
        assert abs(there - back) < 1e-7 * at
    gradient = [
        (flat_objective(i, j, values, L + E, R, REG) - flat_objective(i, j, values, L - E, R, REG)) / 2e-5 / 2
        for E in 1e-5 * np.eye(L.size).reshape(-1, *L.shape)
    ]
    assert np.isclose(sums[0], np.sum(np.square(gradient)), rtol=1e-6)
    counts = np.bincount(j, minlength=50)
    expected = flat_objective(i, j, values, best, R, REG) - values @ values - REG * counts @ np.sum(R**2, axis=1)
    assert np.isclose(-sums[2], expected)
