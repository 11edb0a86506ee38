"""The normal distribution of the rows of a table, against closed forms and dense oracles."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from flatmin.estimators._completion.normal import NormalRows, TableRows
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.measurements import Entries


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    values = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 6)) + 0.3 * rng.standard_normal((40, 6)) + 2
    values[rng.random(values.shape) < 0.3] = np.nan
    values[7] = np.nan
    return TableRows(values)


def converged(table, phantoms):
    found = None
    for _ in range(30):
        found = NormalRows.fitted(table, phantoms, found)
    return found


def objective(table, phantoms, mean, covariance):
    total = phantoms * (np.linalg.slogdet(covariance)[1] + table.variance * np.trace(np.linalg.inv(covariance)))
    for row in table.values:
        o = np.flatnonzero(~np.isnan(row))
        left, S = row[o] - mean[o], covariance[np.ix_(o, o)]
        total += np.linalg.slogdet(S)[1] + left @ np.linalg.solve(S, left) if len(o) else 0.0
    return -total / 2


def test_a_complete_table_has_its_own_covariance_and_that_of_the_phantoms():
    X = np.random.default_rng(0).standard_normal((30, 4)) * [1.0, 2.0, 3.0, 4.0]
    table = TableRows(X)
    found = NormalRows.fitted(table, 5.0)
    want = (30 * np.cov(X.T, bias=True) + 5 * table.variance * np.eye(4)) / 35
    np.testing.assert_allclose(found.mean, X.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(found.covariance, want, rtol=1e-12, atol=1e-12)
    assert table.variance == pytest.approx(np.mean(np.var(X, axis=0)))


@pytest.mark.parametrize("phantoms", [0.5, 8.0])
def test_no_other_distribution_has_a_larger_penalised_likelihood(table, phantoms):
    found, rng = converged(table, phantoms), np.random.default_rng(1)
    best = objective(table, phantoms, found.mean, found.covariance)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(20):
            change = np.eye(6) + size * rng.standard_normal((6, 6))
            assert objective(table, phantoms, found.mean, change @ found.covariance @ change.T) < best
            assert objective(table, phantoms, found.mean + size * rng.standard_normal(6), found.covariance) < best


def test_missing_cells_have_their_conditional_mean(table):
    found = NormalRows.fitted(table, 2.0)
    filled, S = found.filled(table), found.covariance
    left, order = table.values - found.mean, np.argwhere(~np.isnan(table.values))
    i, j = order.T
    L, _ = found.rows.fit(csr_array((left[i, j], (i, j)), shape=left.shape))
    modelled = L @ found.rows.columns.T + found.mean
    for row, x, again in zip(table.values, filled, modelled, strict=True):
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        want = found.mean[m] + S[np.ix_(m, o)] @ np.linalg.solve(S[np.ix_(o, o)], row[o] - found.mean[o])
        np.testing.assert_allclose(x[m], want, atol=1e-10)
        np.testing.assert_allclose(again[m], want, atol=1e-8)
        np.testing.assert_array_equal(x[o], row[o])


@pytest.mark.parametrize("missing", [0.2, 0.5, 0.8])
def test_compiled_loops_take_the_same_step(missing, monkeypatch):
    rng = np.random.default_rng(0)
    values = np.where(rng.random((70, 9)) < missing, np.nan, rng.standard_normal((70, 9)))
    plain = NormalRows.fitted(TableRows(values), 2.0)
    monkeypatch.setattr("flatmin.estimators._completion.normal.MIN_COMPILED_CELLS", 0)
    table = TableRows(values)
    assert all(half.compiled for half in table.halves)
    assert sum(len(half.rows) for half in table.halves) == 70
    compiled = NormalRows.fitted(table, 2.0)
    np.testing.assert_allclose(compiled.mean, plain.mean, atol=1e-12)
    np.testing.assert_allclose(compiled.covariance, plain.covariance, atol=1e-12)


def test_rows_of_many_and_of_few_missing_cells_have_the_same_conditional_distribution(table):
    """The sum of conditional covariances is that of dense formulas, whichever of the two inverses a row uses."""
    model = NormalRows.fitted(table, 2.0)
    want, S = np.zeros((6, 6)), model.covariance
    for row in table.values:
        o, m = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        want[np.ix_(m, m)] += S[np.ix_(m, m)] - S[np.ix_(m, o)] @ np.linalg.solve(S[np.ix_(o, o)], S[np.ix_(o, m)])
    assert all(len(half.rows) for half in table.halves)
    np.testing.assert_allclose(model._expected(table)[1], want, atol=1e-10)


def test_the_ridge_has_the_covariance_of_the_rows(table):
    found = NormalRows.fitted(table, 2.0)
    R = found.rows.columns
    np.testing.assert_allclose(R @ R.T + found.rows.strength * np.eye(6), found.covariance, atol=1e-12)
    assert R.shape == (6, 5)


def test_a_unit_of_all_cells_is_a_unit_of_the_distribution(table):
    one, other = (NormalRows.fitted(TableRows(k * table.values), 2.0) for k in (1.0, 2.0**200))
    np.testing.assert_allclose(other.mean / 2.0**200, one.mean, rtol=1e-12)
    np.testing.assert_allclose(other.covariance / 2.0**400, one.covariance, rtol=1e-12)


@pytest.mark.parametrize(
    ("strengths", "changed"),
    [
        (Strengths(True, 1.0, 0.0), {}),
        (Strengths(True, None, 5.0), {}),
        (Strengths(), {}),
        (Strengths(True, None, 0.0), {"weights": [1.0, 2.0, 1.0]}),
        (Strengths(True, None, 0.0), {"rows": [0, 0, 1]}),
        (Strengths(True, None, 0.0), {"shape": (2, 1000)}),
    ],
)
def test_it_applies_to_narrow_tables_with_free_offsets_of_columns(strengths, changed):
    given = {"rows": [0, 1, 1], "cols": [0, 0, 1], "shape": (2, 2), "weights": None}
    plain = Observations(Entries(**given), np.array([1.0, 2.0, 3.0]), Strengths(True, None, 0.0))
    np.testing.assert_array_equal(TableRows.from_cells(plain).values, [[1.0, np.nan], [2.0, 3.0]])
    if "rows" in changed:
        changed = changed | {"cols": [0, 0, 1]}
    cells = Observations(Entries(**(given | changed)), np.array([1.0, 2.0, 3.0]), strengths)
    assert TableRows.from_cells(cells) is None
