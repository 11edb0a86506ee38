"""Numbers of folds, confidence levels and kinds of intervals."""

import numpy as np
import pytest

from flatmin.errors import InputError
from flatmin.estimators._intervals.arguments import check_kind, check_level, folds_of


def test_automatic_folds_follow_the_number_of_cells():
    sizes = (100, 2000, 2001, 20_000, 20_001, 200_000, 200_001)
    assert [folds_of("auto", cells) for cells in sizes] == [20, 20, 10, 10, 5, 5, 1]
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
