import numpy as np
import pytest
from sklearn.impute import KNNImputer

from flatmin.estimators import _comparison
from flatmin.estimators._comparison import Comparison, compare

RNG = np.random.default_rng(0)
TRUTH = RNG.standard_normal((40, 2)) @ RNG.standard_normal((2, 5)) * [1, 10, 100, 1, 1] + [0, 5, 0, 0, 3]
TABLE = np.where(RNG.random(TRUTH.shape) < 0.1, np.nan, TRUTH)


def oracle(training):
    """Know the truth, and state intervals that contain it except in the last column."""
    low = TRUTH - 1
    low[:, -1] = TRUTH[:, -1] + 0.5
    return TRUTH, low, TRUTH + 1


def test_every_known_cell_is_held_out_once_and_never_seen_by_its_fit():
    seen = []

    def predicted(training):
        seen.append(np.isnan(training) & ~np.isnan(TABLE))
        return oracle(training)

    found = compare(TABLE, predicted)
    assert np.array_equal(np.sum(seen, axis=0) > 0, ~np.isnan(TABLE))
    assert np.sum(seen, axis=0).max() == 1
    assert len(found.values) == np.count_nonzero(~np.isnan(TABLE))


def test_errors_are_in_standard_deviations_overall_and_in_units_by_column():
    found = compare(TABLE, oracle)
    overall, column = found.overall(), found.of_column(2)
    assert overall["error"] == 0
    assert overall["coverage"] == np.mean(found.columns != 4)
    assert 0.9 < overall["error_means"] < 1.3
    assert column["error_means"] > 50
    assert (column["held_out"], column["coverage"]) == (np.count_nonzero(~np.isnan(TABLE[:, 2])), 1.0)
    assert not overall["means_are_as_good"]
    assert not overall["neighbours_are_better"]


def test_neighbours_are_those_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(_comparison, "ALL_FOLDS", 0)
    holes = []

    def predicted(training):
        holes.append(training)
        return oracle(training)

    found = compare(TABLE, predicted)
    (training,) = holes
    spread, mean = np.nanstd(TABLE, axis=0), np.nanmean(training, axis=0)
    filled = KNNImputer(n_neighbors=5).fit_transform((training - mean) / spread) * spread + mean
    hidden = np.isnan(training) & ~np.isnan(TABLE)
    np.testing.assert_allclose(np.sort(found.predictions["neighbours"]), np.sort(filled[hidden]))
    np.testing.assert_allclose(np.sort(found.predictions["means"]), np.sort(np.broadcast_to(mean, TABLE.shape)[hidden]))


def test_a_model_that_gains_nothing_is_called_as_good_as_column_means():
    def predicted(training):
        mean = np.broadcast_to(np.nanmean(training, axis=0), training.shape)
        return mean, mean, mean

    found = compare(TABLE, predicted).overall()
    assert found["means_are_as_good"]
    assert found["neighbours_are_better"]


def test_large_tables_are_judged_on_some_rows(monkeypatch):
    for name, value in {"ALL_FOLDS": 100, "JUDGED_ROWS": 20, "DONOR_ROWS": 30}.items():
        monkeypatch.setattr(_comparison, name, value)
    found = compare(TABLE, oracle)
    assert 10 <= len(found.values) <= 20


@pytest.mark.parametrize("table", [TABLE[:, :1], TABLE[:2, :3], np.full((3, 2), 1.0)])
def test_too_few_cells_are_not_judged(table):
    assert compare(table, lambda training: (training,) * 3) is None


def test_a_constant_column_has_errors_of_zero():
    table = np.column_stack([TRUTH[:, :2], np.ones(40)])
    found = compare(table, lambda training: (table, table, table))
    assert found.of_column(2)["error_means"] == 0
    assert found.spread[2] == 1


def test_a_column_without_cells_has_no_error():
    empty = np.zeros(0)
    found = Comparison(
        empty.astype(int), empty, dict.fromkeys(("model", "means", "neighbours"), empty), empty, empty, np.ones(1)
    )
    assert found.of_column(0) == {}
