"""Rows from their observed entries: against the fitted rows, and against the normal equations."""

import numpy as np
from scipy.sparse import csr_array

import flatmin as fm
from flatmin.estimators._completion.projection import RowModel


def observations(seed=0):
    problem = fm.families.matrix_completion.sample((12, 9), 2, 80, noise=0.1, seed=seed).problem
    entries = problem.measurement
    return problem, entries, csr_array((problem.data, (entries.rows, entries.cols)), shape=entries.shape)


def test_the_rows_of_a_penalised_solution_are_found_again():
    problem, entries, values = observations()
    solution = fm.flat_minimum(problem, alpha=0.02, tol=1e-12)
    model = RowModel.from_fit(entries, solution.factors, 0.02, 1.0)
    factors, offsets = model.fit(values)
    np.testing.assert_allclose(factors @ model.columns.T, solution.matrix, atol=1e-6)
    assert not offsets.any()


def test_rows_solve_their_ridge_regression():
    rng = np.random.default_rng(1)
    R, values = rng.standard_normal((6, 2)), rng.standard_normal((1, 6))
    factors, _ = RowModel(R, 0.5, 1.0).fit(csr_array(values))
    np.testing.assert_allclose(factors[0], np.linalg.solve(R.T @ R + 0.5 * 6 * np.eye(2), R.T @ values[0]))


def test_a_row_without_entries_is_zero_and_offsets_are_fitted_jointly():
    rng = np.random.default_rng(2)
    R = rng.standard_normal((6, 1))
    rows = np.vstack([2 * R[:, 0] + 3, np.zeros(6)])
    values = csr_array((rows[0], (np.zeros(6, int), np.arange(6))), shape=(2, 6))
    factors, offsets = RowModel(R, 1e-10, 1.0, 1e-10).fit(values)
    np.testing.assert_allclose(factors[:, 0], [2, 0], atol=1e-6)
    np.testing.assert_allclose(offsets, [3, 0], atol=1e-6)
