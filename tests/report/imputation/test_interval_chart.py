import numpy as np

from flatmin.report.imputation.interval_chart import interval_chart
from tests.report.imputation.conftest import HOLES, TRUTH


def test_every_column_with_filled_cells_is_shown(filled):
    holes = HOLES.copy()
    holes[:, 1] = False
    figure = interval_chart(filled(holes=holes))
    assert "column 0" in figure.svg
    assert "column 1" not in figure.svg
    assert "3 columns" in figure.alt
    assert "At most" not in figure.caption


def test_without_intervals_there_is_no_picture(filled):
    assert interval_chart(filled(holes=np.zeros_like(HOLES))) is None
    assert interval_chart(filled(TRUTH * np.nan)) is None


def test_columns_without_known_cells_have_no_band(filled):
    holes = np.zeros_like(HOLES)
    holes[:, 0] = True
    figure = interval_chart(filled(holes=holes))
    assert "column 0" in figure.svg
    assert "band" not in figure.caption
    assert "band" in interval_chart(filled()).caption


def test_a_part_is_said_to_be_one(filled):
    holes = HOLES.copy()
    holes[:20, 2] = True
    assert "At most 12 cells of a column are shown" in interval_chart(filled(holes=holes)).caption
