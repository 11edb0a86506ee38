"""Intervals of means, numbers of folds, and errors in arguments."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.estimators._intervals.intervals import FEW_CELLS, MANY_CELLS, Intervals, check_kind, check_level, folds_of
from tests.estimators._intervals.tables import fitted, noisy


def test_means_are_covered_where_a_refit_predicts():
    parts = {"hidden": [], "observed": []}
    for seed in range(4):
        truth, table, seen = noisy((100, 25), sigma=0.5, seed=seed)
        found = Intervals(fitted(table, seen, wanted=True))
        for name, cells in (("hidden", ~seen), ("observed", seen)):
            i, j = np.nonzero(cells)
            half = found.mean_half_widths(0.9, i, j)
            parts[name].append(np.mean(np.abs(truth[i, j] - found.fit.at(i, j)) <= half))
            assert np.all(half < 3 * 0.5)
    for found in parts.values():
        assert 0.86 <= np.mean(found) <= 0.94


def test_means_have_no_interval_where_a_penalised_fit_predicts():
    _, table, seen = noisy()
    with pytest.raises(InputError, match="a penalised fit predicts, whose bias is unknown"):
        Intervals(fitted(table, seen, alpha=0.1)).mean_half_widths(0.9, np.array([0]), np.array([0]))


def test_automatic_folds_follow_the_number_of_cells():
    sizes = (FEW_CELLS, FEW_CELLS + 1, MANY_CELLS, MANY_CELLS + 1)
    assert [folds_of("auto", cells) for cells in sizes] == [10, 5, 5, 1]
    assert folds_of(3, 100) == 3


@pytest.mark.parametrize("wrong", [0, -1, 2.5, "all", True])
def test_calibration_is_a_number_of_folds(wrong):
    with pytest.raises(InputError, match="expected 'auto', None or a number of folds from 1"):
        folds_of(wrong, 100)


@pytest.mark.parametrize("wrong", [0, 1, 90, -0.5, np.nan, "0.9", None])
def test_a_level_is_between_zero_and_one(wrong):
    with pytest.raises(InputError, match="expected a number between 0 and 1"):
        check_level(wrong)


def test_a_kind_is_one_of_two():
    assert check_kind("mean") == "mean"
    with pytest.raises(InputError, match="kind is 'median', expected 'observation' or 'mean'"):
        check_kind("median")
