"""Folds: every measurement is held out once at most, and every row and column stays seen."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.alphas.folds import splits

COMPLETION = fm.families.matrix_completion.sample((8, 7), 1, 40, seed=0).problem
SENSING = fm.families.matrix_sensing.sample((4, 3), 1, 23).problem


@pytest.mark.parametrize("problem", [COMPLETION, SENSING])
@pytest.mark.parametrize("count", [2, 5])
def test_folds_are_disjoint_and_complementary(problem, count):
    found = splits(problem, count, None, 0)
    held = np.concatenate([split.held_out for split in found])
    assert len(np.unique(held)) == len(held)
    for split in found:
        assert sorted([*split.training, *split.held_out]) == list(range(len(problem.data)))


def test_all_measurements_are_held_out_where_rows_do_not_matter():
    held = np.concatenate([split.held_out for split in splits(SENSING, 5, None, 1)])
    assert sorted(held) == list(range(23))


def test_held_out_cells_have_rows_and_columns_that_training_sees():
    A = COMPLETION.measurement
    for split in splits(COMPLETION, 4, None, 0):
        assert set(A.rows[split.held_out]) <= set(A.rows[split.training])
        assert set(A.cols[split.held_out]) <= set(A.cols[split.training])


def test_repeated_cells_stay_together():
    rows, cols = np.divmod(np.random.default_rng(0).integers(0, 20, 60), 4)
    A = fm.measurements.Entries(rows, cols, (5, 4))
    for split in splits(fm.Problem(A, np.ones(60)), 3, None, 3):
        cells = [set(zip(A.rows[side], A.cols[side], strict=True)) for side in (split.training, split.held_out)]
        assert not cells[0] & cells[1]


def test_groups_stay_together_and_fill_folds_evenly():
    groups = np.repeat(["a", "b", "c", "d"], [10, 6, 4, 3])
    found = splits(SENSING, 2, groups, 0)
    for split in found:
        assert not set(groups[split.training]) & set(groups[split.held_out])
    assert sorted(len(split.held_out) for split in found) == [10, 13]


@pytest.mark.parametrize(
    ("folds", "groups", "message"),
    [
        (1, None, "folds is 1, expected a number from 2"),
        (2, ["a"] * 23, "there are 1 groups for 2 folds"),
        ([0] * 23, None, "one fold holds out all measurements"),
        ([0, 1], None, "folds has 2 labels, expected 23"),
        ([([0], [0])], None, "trains on a measurement that it holds out"),
        ([([0], [23])], None, "outside of the measurements"),
        (None, None, "folds is None"),
    ],
)
def test_bad_folds_are_refused(folds, groups, message):
    with pytest.raises(fm.InputError, match=message):
        splits(SENSING, folds, groups, 0)
