"""Products of features: exact fits against dense ridge regression, adjoints, degrees of freedom, and the ridge."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.offsets.feature_products import ProductTerm
from flatmin.solvers.offsets.features import LinearTerms
from flatmin.solvers.offsets.offset_free import OffsetFree
from flatmin.solvers.offsets.offsets import OffsetModel
from flatmin.testing import check_measurement

RNG = np.random.default_rng(0)
D1, D2, M = 9, 7, 40
ROWS, COLS = np.divmod(RNG.choice((D1 - 1) * D2, M, replace=False), D2)  # the last row has no observation
VALUES = RNG.standard_normal(M)
WEIGHTS = [None, np.linspace(0.5, 2.0, M)]
SIZES = [(2, 3), (3, 2), (1, 4)]


def model_of(size, weights=None, linear=True, strength=1.5):
    rng = np.random.default_rng(1)
    U, W = rng.standard_normal((D1, size[0])), rng.standard_normal((D2, size[1]))
    terms = {"row_terms": LinearTerms(U, 2.0), "column_terms": LinearTerms(W, 0.5)} if linear else {}
    entries = fm.measurements.Entries(ROWS, COLS, (D1, D2), weights)
    return OffsetModel(entries, rows=3.0, columns=4.0, products=ProductTerm(U, W, strength), **terms)


def dense(model, rows=ROWS, cols=COLS):
    """Return the matrix and the penalties of constant, deviations, slopes of features, and slopes of products."""
    U, W = model.products.rows, model.products.columns
    n, root = len(rows), np.ones(len(rows)) if model.entries.weights is None else model.entries.weights[: len(rows)]
    one = np.arange(n)
    of_rows, of_columns = np.zeros((n, D1)), np.zeros((n, D2))
    of_rows[one, rows], of_columns[one, cols] = 1, 1
    parts, K = [np.ones((n, 1)), of_rows, of_columns], [0.0] + D1 * [3.0] + D2 * [4.0]
    if model.row_terms is not None:
        parts, K = [*parts, U[rows], W[cols]], [*K, *U.shape[1] * [2.0], *W.shape[1] * [0.5]]
    products = np.einsum("nk,nc->nkc", U[rows], W[cols]).reshape(n, -1)
    K += products.shape[1] * [float(model.products.strength)]
    return root[:, None] * np.hstack([*parts, products]), np.diag(K), root * VALUES[:n]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("linear", [True, False])
def test_the_fit_is_ridge_regression(size, weights, linear):
    model = model_of(size, weights, linear)
    H, K, y = dense(model)
    solution, found = np.linalg.solve(H.T @ H + K, H.T @ y), model.fit(VALUES)
    root = 1 if weights is None else weights
    np.testing.assert_allclose(root * found.at(ROWS, COLS), H @ solution, atol=1e-10)
    np.testing.assert_allclose(found.product_slopes.ravel(), solution[-size[0] * size[1] :], atol=1e-10)
    assert model.freedom == pytest.approx(np.trace(H @ np.linalg.solve(H.T @ H + K, H.T)), rel=1e-10)
    i, j = np.array([D1 - 1, -1, 2]), np.array([3, 3, -1])  # a row without observations, and unknown ids
    product = model.products.rows[-1] @ found.product_slopes @ model.products.columns[3]
    sides = found.constant + np.array([found.rows[-1] + found.columns[3], found.columns[3], found.rows[2]])
    np.testing.assert_allclose(found.at(i, j), sides + np.array([product, 0, 0]), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_reduced_problem_is_the_joint_objective_with_an_exact_adjoint(size, weights):
    model = model_of(size, weights)
    H, K, _ = dense(model)
    problem, y = model.problem(VALUES), RNG.standard_normal(M)
    A, X = problem.measurement, RNG.standard_normal((D1, D2))
    assert A.forward(X) @ problem.data == pytest.approx(np.vdot(X, A.adjoint(problem.data)), rel=1e-12)
    assert A.reduce(y) @ problem.data == pytest.approx(y @ A.expand(problem.data), rel=1e-12)
    left = y - H @ np.linalg.solve(H.T @ H + K, H.T @ y)
    assert np.sum(A.reduce(y) ** 2) / A.size == pytest.approx(y @ left / M, rel=1e-12)


def test_other_entries_are_predicted_by_the_joint_fit():
    model, rng = model_of((2, 3)), np.random.default_rng(2)
    rows, cols, X = np.arange(D1), np.arange(D1) % D2, rng.standard_normal((D1, D2))
    judge = model.judge(VALUES, fm.measurements.Entries(rows, cols, (D1, D2)), np.zeros(D1))
    check_measurement(judge.measurement)
    expected = X[rows, cols] + model.fit(VALUES - X[ROWS, COLS]).at(rows, cols)
    np.testing.assert_allclose(judge.measurement.forward(X) - judge.data, expected, atol=1e-10)


def test_no_slopes_are_no_products():
    heavy, none = model_of((2, 3), strength=1e12), model_of((2, 3))
    plain = OffsetModel(none.entries, rows=3.0, columns=4.0, row_terms=none.row_terms, column_terms=none.column_terms)
    np.testing.assert_allclose(heavy.fit(VALUES).at(ROWS, COLS), plain.fit(VALUES).at(ROWS, COLS), atol=1e-9)
    twice = ProductTerm(np.hstack(2 * [none.products.rows]), none.products.columns, 0.0)  # the least norm of slopes
    free = model_of((2, 3), strength=0.0).fit(VALUES).at(ROWS, COLS)
    one = OffsetModel(
        none.entries, rows=3.0, columns=4.0, row_terms=none.row_terms, column_terms=none.column_terms, products=twice
    )
    np.testing.assert_allclose(one.fit(VALUES).at(ROWS, COLS), free, atol=1e-8)
    assert isinstance(plain.problem(VALUES).measurement, OffsetFree)


def test_the_estimated_ridge_is_that_of_the_simulation():
    rng = np.random.default_rng(1)
    U, W, slopes = rng.standard_normal((200, 6)), rng.standard_normal((60, 10)), 0.3 * rng.standard_normal((6, 10))
    rows, cols = np.divmod(rng.choice(200 * 60, 4000, replace=False), 60)
    own, columns = rng.standard_normal(200), rng.standard_normal(60)
    values = own[rows] + columns[cols] + (U @ slopes @ W.T)[rows, cols] + 2 * rng.standard_normal(4000)
    entries = fm.measurements.Entries(rows, cols, (200, 60))
    found = OffsetModel.estimated(entries, values, products=ProductTerm(U, W))
    assert found.products.strength == pytest.approx(4 / 0.09, rel=0.4)
    np.testing.assert_allclose(found.fit(values).product_slopes, slopes, atol=0.15)
