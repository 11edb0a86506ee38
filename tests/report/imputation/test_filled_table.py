import numpy as np
import pytest

from tests.report.imputation.conftest import HOLES, TRUTH


def test_the_picture_is_in_the_units_of_the_fit(filled):
    values = np.column_stack([TRUTH[:20], np.full(20, 3.0)])
    table = filled(values, np.column_stack([HOLES[:20], HOLES[:20, 0]]))
    expected = (TRUTH[:20] - TRUTH[:20].mean(axis=0)) / TRUTH[:20].std(axis=0)
    np.testing.assert_allclose(table.standardized[:, :4], expected)
    assert not table.standardized[:, 4].any()
    assert table.is_whole


def test_long_and_wide_tables_show_what_was_filled(filled):
    values, holes = np.zeros((500, 40)), np.zeros((500, 40), bool)
    holes[10:400:2, 7] = holes[3, 30] = True
    table = filled(values, holes)
    assert table.standardized.shape == (36, 24)
    assert holes[table.rows].any(axis=1).all()
    assert {7, 30} <= set(table.columns)
    assert not table.is_whole


@pytest.mark.parametrize(("labels", "name"), [(None, "3"), (list("abcdefgh"), "d")])
def test_rows_have_names_or_numbers_from_0(filled, labels, name):
    assert filled(labels=labels).label(3) == name
