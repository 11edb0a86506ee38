import numpy as np

from flatmin.report.imputation.filled_map import filled_map
from tests.report.imputation.conftest import HOLES, TRUTH


def test_every_filled_cell_is_outlined(filled):
    small = filled(TRUTH[:20], HOLES[:20], labels=[f"row {i}" for i in range(20)])
    figure = filled_map(small)
    outlined = figure.svg.count("fill: none; stroke: #000000; stroke-width: 1.4")
    assert outlined == HOLES[:20].sum()
    assert "row 7" in figure.svg
    assert "column 2" in figure.svg
    assert f"{HOLES[:20].sum()} filled cells outlined" in figure.alt
    assert figure.caption == "Outlined cells were missing and are filled; all others are as in your file."


def test_a_part_is_said_to_be_one(filled):
    holes = np.zeros((500, 40), bool)
    holes[::3, ::5] = True
    assert "The picture shows 36 of 167 rows with filled cells, evenly spaced, and the 24 of 40 columns" in (
        filled_map(filled(np.zeros((500, 40)), holes)).caption
    )
    holes[6:] = False
    assert "shows the rows with filled cells, 2 of 500, and" in filled_map(filled(np.zeros((500, 40)), holes)).caption
    caption = filled_map(filled(np.zeros((500, 4)), np.zeros((500, 4), bool))).caption
    assert caption == "No cell was missing; all are as in your file. The picture shows 36 of 500 rows, evenly spaced."


def test_strange_names_are_shortened(filled):
    assert "a very l…of row 12" in filled_map(filled(labels=["a very long name\nof row 12"] * 50)).svg
