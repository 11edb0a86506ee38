"""Blocks of matrices for pictures."""

import numpy as np

import flatmin as fm
from flatmin.measurements import Entries
from flatmin.report.pictures import blocks
from tests.report.pictures.test_figures import block_of


def test_observed_block_holds_the_data_where_they_are() -> None:
    rows, cols = np.array([0, 399]), np.array([0, 2])
    problem = fm.Problem(Entries(rows, cols, (400, 3)), [5.0, 7.0])
    block = blocks.observed(problem)
    assert block.values[0, 0] == 5
    assert block.values[-1, 2] == 7
    assert np.isnan(block.values).sum() == block.values.size - 2
    assert not block.whole


def test_standardised_columns_share_mean_and_deviation() -> None:
    seen = block_of([[1.0, np.nan, 2.0], [3.0, np.nan, 2.0]])
    full = block_of([[1.0, 4.0, 2.0], [3.0, 6.0, 2.0]])
    one, two = blocks.standardised([seen, full])
    np.testing.assert_allclose(one.values[:, 0], [-1, 1])
    np.testing.assert_allclose(two.values, [[-1, -1, 0], [1, 1, 0]])
