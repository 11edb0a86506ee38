"""Slopes of rows: exact fits against dense ridge regression, adjoints, degrees of freedom, and estimated penalties."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.offsets import equations
from flatmin.solvers.offsets.features import LinearTerms
from flatmin.solvers.offsets.offset_model import OffsetModel
from flatmin.solvers.offsets.row_slopes import SlopeTerm
from flatmin.testing import check_measurement

RNG = np.random.default_rng(0)
D1, D2, M, S = 9, 7, 40, 3
ROWS, COLS = np.divmod(RNG.choice((D1 - 1) * D2, M, replace=False), D2)  # the last row has no observation
VALUES = RNG.standard_normal(M)
WEIGHTS = [None, np.linspace(0.5, 2.0, M)]
RIDGES = np.array([1.0, 2.0, 0.5])
KINDS = [3.0, 0.0, None]


def model_of(rows=3.0, weights=None, linear=True, strength=RIDGES):
    rng = np.random.default_rng(1)
    U, W = rng.standard_normal((D1, 2)), rng.standard_normal((D2, S))
    terms = {"column_terms": LinearTerms(W, 0.5)} if linear else {}
    if linear and rows:
        terms["row_terms"] = LinearTerms(U, 2.0)
    entries = fm.measurements.Entries(ROWS, COLS, (D1, D2), weights)
    return OffsetModel(entries, rows=rows, columns=4.0, slopes=SlopeTerm(W, strength), **terms)


def dense(model):
    """Return matrix and penalties of constant, deviations of offsets, slopes of features, and slopes of rows."""
    W, one = model.slopes.features, np.arange(M)
    root = np.ones(M) if model.entries.weights is None else model.entries.weights
    of_rows, of_columns, own = np.zeros((M, D1)), np.zeros((M, D2)), np.zeros((M, D1, S))
    of_rows[one, ROWS], of_columns[one, COLS], own[one, ROWS] = 1, 1, W[COLS]
    parts, K = [np.ones((M, 1)), of_columns, own.reshape(M, -1)], [0.0, *D2 * [4.0], *np.tile(RIDGES, D1)]
    if model.rows is not None:
        parts, K = [of_rows, *parts], [*D1 * [model.rows], *K]
    for terms, at in ((model.row_terms, ROWS), (model.column_terms, COLS)):
        if terms is not None:
            parts, K = [terms.features[at], *parts], [*terms.features.shape[1] * [terms.strength], *K]
    return root[:, None] * np.hstack(parts), np.diag(K), root * VALUES


@pytest.fixture(params=["factorized", "iterated"], autouse=True)
def solver(request, monkeypatch):
    """Solve the equations of columns in both ways."""
    if request.param == "iterated":
        monkeypatch.setattr(equations, "LARGEST_FACTORIZED", 0)


@pytest.mark.parametrize("rows", KINDS)
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("linear", [True, False])
def test_the_fit_is_ridge_regression(rows, weights, linear):
    model = model_of(rows, weights, linear)
    H, K, y = dense(model)
    solution, found = np.linalg.lstsq(H.T @ H + K, H.T @ y)[0], model.fit(VALUES)
    root = 1 if weights is None else weights
    np.testing.assert_allclose(root * found.at(ROWS, COLS), H @ solution, atol=1e-10)
    np.testing.assert_allclose(found.own_slopes.ravel(), solution[-D1 * S :], atol=1e-10)
    i, j = np.array([D1 - 1, -1, 2]), np.array([3, 3, -1])  # a row without observations, and unknown ids
    sides = found.constant + np.array([found.rows[-1] + found.columns[3], found.columns[3], found.rows[2]])
    np.testing.assert_allclose(found.at(i, j), sides, atol=1e-12)
    if equations.LARGEST_FACTORIZED:
        want = np.trace(H @ np.linalg.pinv(H.T @ H + K, rcond=1e-12) @ H.T)
        assert model.freedom == pytest.approx(want, rel=0.1 if linear else 1e-10)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_the_reduced_problem_is_the_joint_objective_with_an_exact_adjoint(weights):
    model = model_of(3.0, weights)
    H, K, _ = dense(model)
    problem, y = model.problem(VALUES), RNG.standard_normal(M)
    A, X = problem.measurement, RNG.standard_normal((D1, D2))
    assert A.forward(X) @ problem.data == pytest.approx(np.vdot(X, A.adjoint(problem.data)), rel=1e-12)
    z = RNG.standard_normal(A.size)
    assert A.reduce(y) @ z == pytest.approx(y @ A.expand(z), rel=1e-12)
    left = y - H @ np.linalg.solve(H.T @ H + K, H.T @ y)
    assert np.sum(A.reduce(y) ** 2) / A.size == pytest.approx(y @ left / M, rel=1e-12)


def test_other_entries_are_predicted_by_the_joint_fit():
    model, rng = model_of(), np.random.default_rng(2)
    rows, cols, X = np.arange(D1), np.arange(D1) % D2, rng.standard_normal((D1, D2))
    judge = model.judge(VALUES, fm.measurements.Entries(rows, cols, (D1, D2)), np.zeros(D1))
    check_measurement(judge.measurement)
    expected = X[rows, cols] + model.fit(VALUES - X[ROWS, COLS]).at(rows, cols)
    np.testing.assert_allclose(judge.measurement.forward(X) - judge.data, expected, atol=1e-10)


def test_no_slopes_are_offsets():
    heavy = model_of(strength=1e12)
    plain = OffsetModel(
        heavy.entries, rows=3.0, columns=4.0, row_terms=heavy.row_terms, column_terms=heavy.column_terms
    )
    np.testing.assert_allclose(heavy.fit(VALUES).at(ROWS, COLS), plain.fit(VALUES).at(ROWS, COLS), atol=1e-9)
    twice = SlopeTerm(np.hstack(2 * [heavy.slopes.features]), 0.0)  # the slopes of least norm
    found = [
        OffsetModel(heavy.entries, rows=3.0, columns=4.0, slopes=slopes).fit(VALUES).at(ROWS, COLS)
        for slopes in (twice, SlopeTerm(heavy.slopes.features, 0.0))
    ]
    np.testing.assert_allclose(*found, atol=1e-8)


def test_the_estimated_penalties_are_those_of_the_simulation():
    rng = np.random.default_rng(1)
    W, slopes = rng.standard_normal((60, 4)), np.array([0.0, 0.3, 0.6, 1.0]) * rng.standard_normal((200, 4))
    rows, cols = np.divmod(rng.choice(200 * 60, 4000, replace=False), 60)
    own, columns = rng.standard_normal(200), rng.standard_normal(60)
    values = own[rows] + columns[cols] + (slopes @ W.T)[rows, cols] + 0.5 * rng.standard_normal(4000)
    found = OffsetModel.estimated(fm.measurements.Entries(rows, cols, (200, 60)), values, slopes=SlopeTerm(W))
    np.testing.assert_allclose(found.slopes.strength[1:], 0.25 / np.array([0.3, 0.6, 1.0]) ** 2, rtol=0.3)
    assert found.slopes.strength[0] > 50
    np.testing.assert_allclose([found.rows, found.columns], 0.25, rtol=0.5)
    assert np.std(found.fit(values).own_slopes - slopes) < 0.2
