"""The arithmetic of one machine's share, and of sums over machines, without Spark."""

import numpy as np
import pytest
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.spark.chunk import Chunk
from flatmin.spark.proof import prove, regularization
from flatmin.spark.sweeps import sweep

from .conftest import dealt, sample

SHAPE, REG = (70, 50), 0.1


@pytest.fixture(scope="module")
def triples():
    return sample(SHAPE)


@pytest.fixture(scope="module")
def problem(triples):
    i, j, values = triples
    return fm.Problem(fm.measurements.Entries(i, j, SHAPE), values)


def flat_objective(i, j, values, L, R, reg):
    left = values - np.einsum("nk,nk->n", L[i], R[j])
    n1, n2 = np.bincount(i, minlength=len(L)), np.bincount(j, minlength=len(R))
    return left @ left + reg * (n1 @ np.sum(L**2, axis=1) + n2 @ np.sum(R**2, axis=1))


def test_a_chunk_multiplies_and_leaves_residuals_as_dense_arrays_do(triples):
    i, j, values = triples
    rng = np.random.default_rng(1)
    L, R = rng.standard_normal((70, 3)), rng.standard_normal((50, 3))
    chunk = Chunk.of(i, j, values)
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
    chunk = Chunk.of(i, j, values)
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


def test_sweeps_reach_the_certified_minimum_of_the_local_engine(triples, problem):
    start = np.random.default_rng(3).standard_normal((50, 12))
    found = sweep(dealt(*triples, SHAPE), start, REG, tol=1e-9, most=200)
    alpha = REG / regularization(1.0, SHAPE)
    local = fm.flat_minimum(problem, alpha=alpha)
    assert local.certificate.holds
    assert found.slope <= 1e-9
    value = (found.objective + problem.data @ problem.data) / problem.data.size
    assert np.isclose(value, local.certificate.value, rtol=1e-9)
    assert np.isclose(value * problem.data.size, flat_objective(*triples, *found.factors, REG), rtol=1e-12)


def test_mixing_saves_sweeps(triples, monkeypatch):
    import flatmin.spark.sweeps as module

    start = np.random.default_rng(3).standard_normal((50, 12))
    mixed = sweep(dealt(*triples, SHAPE), start, REG, tol=1e-8, most=400).count
    monkeypatch.setattr(module._Mixing, "next", lambda self, point, image: image)
    assert mixed < 0.7 * sweep(dealt(*triples, SHAPE), start, REG, tol=1e-8, most=400).count


@pytest.mark.sampled(4)
@pytest.mark.parametrize("collect", [True, False])
@pytest.mark.parametrize("kind", ["minimum", "unfinished", "narrow", "zero"])
def test_the_certificate_is_that_of_certify(triples, problem, kind, collect):
    rng, alpha, cells = np.random.default_rng(4), REG / regularization(1.0, SHAPE), dealt(*triples, SHAPE)
    width, most = {"minimum": (8, 100), "unfinished": (8, 6), "narrow": (1, 100), "zero": (1, 0)}[kind]
    factors = sweep(cells, rng.standard_normal((50, width)), REG, tol=1e-10, most=most).factors
    if kind == "zero":
        factors = tuple(np.zeros_like(F) for F in factors)
    proof = prove(cells, factors, REG, collect=collect)
    dual = -problem.residual(factors) / (2 * problem.data.size * alpha)
    local = fm.certify(problem, factors, dual, alpha=alpha)
    found, wanted = proof.certificate.scalars(), local.scalars()
    for name in ("value", "lower_bound", "dual_norm", "relative_residual", "whitened_residual", "residual_reach"):
        assert np.isclose(found[name], wanted[name], rtol=1e-9, atol=1e-300), name
    assert np.isclose(found["relative_gap"], wanted["relative_gap"], atol=1e-9)
    assert found["holds"] == wanted["holds"] == (kind == "minimum")
    assert found["bound_kind"] == ("probabilistic" if not collect else "dense")
    assert (proof.products > 0) == (not collect)
    if kind != "zero":
        flatness = fm.flatness(problem, proof.factors)
        for name, value in vars(proof.flatness).items():
            assert np.isclose(value, getattr(flatness, name), rtol=1e-9, atol=1e-9), name
        assert np.allclose(proof.factors[0] @ proof.factors[1].T, factors[0] @ factors[1].T)


def test_products_with_a_matrix_that_is_dealt_out(triples):
    i, j, values = triples
    rng, ones = np.random.default_rng(5), tuple(np.ones(d) for d in SHAPE)
    zero = tuple(np.zeros((d, 1)) for d in SHAPE)
    S = csr_array((values, (i, j)), shape=SHAPE)
    with dealt(*triples, SHAPE).residual(*zero) as residual, residual.matrix(ones, 60) as matrix:
        assert matrix.shape == (70, 60)
        F, G = rng.standard_normal((60, 2)), rng.standard_normal((70, 4))
        assert np.allclose(matrix @ F, S @ F[:50])
        assert np.allclose((matrix.T @ G)[:50], S.T @ G)
        assert not (matrix.T @ G)[50:].any()
        assert matrix.products == [2, 4, 4]
        with pytest.raises(ValueError, match="meets one of shape"):
            matrix @ G
        assert np.allclose(residual.collected(ones).toarray(), S.toarray())
