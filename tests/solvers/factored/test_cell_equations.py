"""Least squares with one factor eliminated, beside dense pseudo-inverses."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones.quadratic_map import Linearization
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored import cell_equations, refine
from flatmin.solvers.factored.cell_equations import CellEquations, inverse_blocks


def _linearized(seed=0, shape=(14, 11), k=2, m=90, spread=1.0, weighted=True):
    rng = np.random.default_rng(seed)
    cells = rng.choice(shape[0] * shape[1], m, replace=False)
    weights = rng.uniform(0.5, 2.0, m) if weighted else None
    A = fm.measurements.Entries(*np.divmod(cells, shape[1]), shape, weights)
    model = StackedProduct(A, 1.7)
    x = np.linalg.qr(rng.standard_normal((sum(shape), k)))[0] * np.geomspace(spread, 1, k)
    L, R = model.split(x)
    x = model.stack(*_balanced(L, R))
    return Linearization(model, x, None), rng


def _balanced(L, R):
    U, s, Vt = np.linalg.svd(L @ R.T, full_matrices=False)
    k = L.shape[1]
    return U[:, :k], s[:k], Vt[:k].T


def _dense(derivative):
    units = np.eye(derivative.x.size).reshape(-1, *derivative.x.shape)
    return np.stack([derivative.forward(d) for d in units], axis=1)


@pytest.mark.parametrize("many", [1, 10**9])
@pytest.mark.parametrize("spread", [1.0, 1e5])
def test_least_squares_fits_as_well_as_the_pseudo_inverse(spread, many, monkeypatch):
    monkeypatch.setattr(cell_equations, "MIN_COMPILED_CELLS", many)
    derivative, rng = _linearized(spread=spread)
    J, r = _dense(derivative), rng.standard_normal(90)
    d = CellEquations.from_derivative(derivative).least_squares(r, 1e-15)
    np.testing.assert_allclose(derivative.forward(d), J @ np.linalg.pinv(J, rcond=1e-12) @ r, atol=1e-11)


@pytest.mark.parametrize("many", [1, 10**9])
@pytest.mark.parametrize("spread", [1.0, 1e5])
def test_least_norm_is_that_of_the_pseudo_inverse(spread, many, monkeypatch):
    monkeypatch.setattr(cell_equations, "MIN_COMPILED_CELLS", many)
    derivative, rng = _linearized(seed=1, spread=spread)
    J = _dense(derivative)
    target = (J.T @ rng.standard_normal(90)).reshape(derivative.x.shape)
    y = CellEquations.from_derivative(derivative).least_norm(target, 1e-15)
    want = np.linalg.pinv(J.T, rcond=1e-12) @ target.ravel()
    np.testing.assert_allclose(y, want, atol=1e-9 * np.linalg.norm(want))
    np.testing.assert_allclose(derivative.adjoint(y), target, atol=1e-12 * np.linalg.norm(target))


def test_rows_with_too_few_cells_or_none():
    rows, cols = [0, 0, 0, 1, 2, 2, 2, 3, 3, 3], [0, 1, 2, 0, 0, 1, 3, 1, 2, 3]
    model = StackedProduct(fm.measurements.Entries(rows, cols, (5, 4)), 1.0)
    rng = np.random.default_rng(2)
    x = rng.standard_normal((9, 2))
    derivative = Linearization(model, x, None)
    J, r = _dense(derivative), rng.standard_normal(10)
    equations = CellEquations.from_derivative(derivative)
    np.testing.assert_allclose(
        derivative.forward(equations.least_squares(r, 1e-15)), J @ np.linalg.pinv(J) @ r, atol=1e-10
    )
    target = (J.T @ r).reshape(x.shape)
    want = np.linalg.pinv(J.T, rcond=1e-12) @ target.ravel()
    np.testing.assert_allclose(equations.least_norm(target, 1e-15), want, atol=1e-9)


def test_accuracy_is_what_was_asked_for():
    derivative, rng = _linearized(seed=3)
    r = rng.standard_normal(90)
    best = CellEquations.from_derivative(derivative).least_squares(r, 1e-15)
    rough = CellEquations.from_derivative(derivative).least_squares(r, 1e-2)
    apart = np.linalg.norm(derivative.forward(best - rough)) / np.linalg.norm(r)
    assert 1e-9 < apart < 3e-2


def test_generalised_inverses_of_blocks():
    rng = np.random.default_rng(4)
    half = rng.standard_normal((6, 3, 4)) * [1e4, 1.0, 1e-3, 1.0]
    half[2:4, 1:] = 0
    half[4] = 0
    blocks = half.transpose(0, 2, 1) @ half
    blocks[5] += np.diag([1e8, 1.0, 1e-6, 1.0])
    G = inverse_blocks(blocks)
    sizes = np.sqrt(np.einsum("ncc->c", blocks))
    units = np.outer(sizes, sizes)
    np.testing.assert_allclose(blocks @ G @ blocks / units, blocks / units, atol=1e-9)
    np.testing.assert_allclose((G[5] * units) @ (blocks[5] / units), np.eye(4), atol=1e-6)


def test_one_singular_block_does_not_spoil_the_others():
    blocks = np.stack([np.diag([2.0, 4.0]), np.ones((2, 2)), np.eye(2), np.zeros((2, 2)), np.diag([1.0, 8.0])])
    found = cell_equations._inverse_or_infinite(blocks)
    assert np.isinf(found[[1, 3]]).all()
    np.testing.assert_array_equal(found[[0, 2, 4]], np.linalg.inv(blocks[[0, 2, 4]]))


def test_other_maps_have_none():
    A = fm.families.matrix_sensing.sample((5, 4), 1, 10, seed=0).problem.measurement
    assert CellEquations.from_derivative(Linearization(StackedProduct(A), np.ones((9, 1)), None)) is None


def test_gauss_newton_lands_on_the_data_in_the_large_scale_way(monkeypatch):
    """The same matrix as with the explicit least-squares iteration that other measurements take."""
    inst = fm.families.matrix_completion.sample((40, 30), 2, 700, seed=5)
    L, R = (F + 1e-2 * np.random.default_rng(6).standard_normal(F.shape) for F in _halves(inst.truth, 2))
    model = StackedProduct(inst.problem.measurement)
    x = np.concatenate([L, R])
    found = [refine.fit_exactly(model, inst.problem.data, x, model.value(x), enough=0.0)]
    monkeypatch.setattr(CellEquations, "from_derivative", lambda derivative: None)
    found.append(refine.fit_exactly(model, inst.problem.data, x, model.value(x), enough=0.0))
    for point, misfit in found:
        L, R = model.split(point)
        assert misfit < 1e-12
        np.testing.assert_allclose(L @ R.T, inst.truth, atol=1e-10 * np.linalg.norm(inst.truth))


def _halves(X, k):
    U, s, V = _balanced(X, np.eye(X.shape[1]))
    return U[:, :k] * np.sqrt(s[:k]), V[:, :k] * np.sqrt(s[:k])


def test_corrected_multipliers_agree_with_those_of_the_other_way(monkeypatch):
    inst = fm.families.matrix_completion.sample((40, 30), 2, 700, seed=7)
    model = StackedProduct(inst.problem.measurement)
    x = np.concatenate(_halves(inst.truth, 2))
    y = 1e-2 * np.random.default_rng(8).standard_normal(700)
    corrected, norm = refine.correct_dual(model, x, y, seed=0)
    np.testing.assert_allclose(model.apply(model.dual_matrix(corrected), x), x, atol=1e-11 * np.linalg.norm(x))
    monkeypatch.setattr(CellEquations, "from_derivative", lambda derivative: None)
    other, other_norm = refine.correct_dual(model, x, y, seed=0)
    np.testing.assert_allclose(corrected, other, atol=1e-8 * np.linalg.norm(other))
    assert norm == pytest.approx(other_norm, rel=1e-6)
