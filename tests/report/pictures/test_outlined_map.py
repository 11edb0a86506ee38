import numpy as np

from flatmin.report.pictures.outlined_map import are_turned, outlined_map, shortened


def test_marked_cells_are_outlined():
    marked = np.eye(3, dtype=bool)
    svg = outlined_map("name", np.full((3, 3), np.nan), marked, ["a", "b", "c"], ["x", "y", "z"], "unit")
    assert svg.count("fill: none; stroke: #000000; stroke-width: 1.4") == 3
    assert "unit" in svg


def test_long_names_are_turned_and_shortened():
    assert are_turned(["temperature"] * 9)
    assert not are_turned(["a"] * 9)
    assert shortened("a very long name\nof a row") == "a very l… of a row"
