"""The variance that unknown rows and columns add."""

import numpy as np
import pytest

from flatmin import InputError, PairRegressor
from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._completion.predictor import CellPredictor
from flatmin.estimators._intervals.unknown import unknown_variances
from tests.estimators._completion.tables import fitted


@pytest.fixture(scope="module")
def drawn():
    """A table of random factors and offsets with its variances: of rows, of columns and of the noise."""
    rng = np.random.default_rng(0)
    L, R = 0.7 * rng.standard_normal((200, 2)), rng.standard_normal((80, 2))
    rows, columns = 0.8 * rng.standard_normal(200), 0.5 * rng.standard_normal(80)
    table = L @ R.T + rows[:, None] + columns + 0.3 * rng.standard_normal((200, 80))
    return L, R, rows, columns, table


def test_known_rows_and_columns_add_nothing(drawn):
    fit = CellPredictor.from_fit(fitted(drawn[-1], drawn[-1] > -9, 0.02, strengths=Strengths(True, 0.2, 0.2)))
    np.testing.assert_array_equal(unknown_variances(fit, np.arange(5), np.arange(5), 0.01), 0.0)


def test_unknown_rows_and_columns_add_the_variances_of_their_factors_and_offsets(drawn):
    L, R, rows, columns, table = drawn
    fit = CellPredictor.from_fit(fitted(table, table > -9, 0.02, strengths=Strengths(True, 0.2, 0.2)))
    k = np.arange(80)
    of_rows = unknown_variances(fit, k * 0 - 1, k, 0.01)
    expected = np.mean((L @ R.T + rows[:, None]) ** 2, axis=0)
    assert np.sqrt(of_rows.mean() / expected.mean()) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(of_rows, expected)[0, 1] > 0.9
    of_columns = unknown_variances(fit, k, k * 0 - 1, 0.01)
    expected = np.mean((R @ L[:80].T + columns[:, None]) ** 2, axis=0)
    assert np.sqrt(of_columns.mean() / expected.mean()) == pytest.approx(1, abs=0.1)
    both = unknown_variances(fit, np.array([-1]), np.array([-1]), 0.01)[0]
    expected = np.mean((L @ R.T + rows[:, None] + columns) ** 2)
    assert np.sqrt(both / expected) == pytest.approx(1, abs=0.1)


@pytest.fixture(scope="module")
def pairs(drawn):
    """Pairs of which some rows and columns are never fitted, and whether they are."""
    rng, table = np.random.default_rng(1), drawn[-1]
    X = np.stack(np.nonzero(rng.random(table.shape) < 0.3), axis=1)
    y = table[X[:, 0], X[:, 1]]
    known = (X[:, 0] < 150) & (X[:, 1] < 50)
    return X, y, known, known & (rng.random(len(X)) < 0.8)


@pytest.fixture(scope="module")
def model(pairs):
    X, y, _, training = pairs
    return PairRegressor(0.03, calibration=5).fit(X[training], y[training])


def test_pairs_are_covered_also_with_unknown_ids(pairs, model):
    X, y, known, training = pairs
    low, high = model.predict_interval(X)
    inside = (low <= y) & (y <= high)
    assert 0.86 <= np.mean(inside[known & ~training]) <= 0.95
    for new in ((X[:, 0] >= 150) & (X[:, 1] < 50), (X[:, 0] < 150) & (X[:, 1] >= 50)):
        assert 0.78 <= np.mean(inside[new]) <= 0.98


def test_standard_deviations_of_pairs_are_of_the_size_of_errors(pairs, model):
    X, y, known, training = pairs
    held = known & ~training
    values, std = model.predict(X[held], return_std=True)
    np.testing.assert_array_equal(values, model.predict(X[held]))
    assert np.mean(((y[held] - values) / std) ** 2) == pytest.approx(1, abs=0.25)


def test_intervals_are_clipped(pairs):
    X, y, _, training = pairs
    model = PairRegressor(0.05, clip=(-1, 1), calibration=2).fit(X[training], y[training])
    low, high = model.predict_interval(X)
    assert (low.min(), high.max()) == (-1, 1)
    assert np.all(low <= high)


def test_folded_rows_have_intervals(pairs, model):
    X, y, known, _ = pairs
    new = (X[:, 0] >= 150) & (X[:, 1] < 50)
    some = new & (np.random.default_rng(2).random(len(X)) < 0.7)
    grown = model.fold_in(X[some], y[some])
    low, high = grown.predict_interval(X[new & ~some])
    rest = y[new & ~some]
    covered = np.mean((low <= rest) & (rest <= high))
    assert 0.8 <= covered <= 0.98, "rows with ten cells have wide intervals: 94 to 97 % over six draws"
    unknown = model.predict_interval(X[new & ~some])
    assert np.mean(high - low) < 0.8 * np.mean(unknown[1] - unknown[0])
    np.testing.assert_array_equal(grown.predict_interval(X[known][:9]), model.predict_interval(X[known][:9]))


def test_means_of_unknown_ids_are_refused(pairs):
    X, y, _, training = pairs
    model = PairRegressor(refit=True).fit(X[training], y[training])
    low, high = model.predict_interval(X[training][:5], kind="mean")
    assert np.all(low < high)
    with pytest.raises(InputError, match="kind is 'mean' for an unknown id"):
        model.predict_interval([(199, 1)], kind="mean")
