"""Charts of any size are well formed."""

import numpy as np
import pytest

from flatmin.report.pictures import charts
from tests.report.pictures.test_figures import parsed


@pytest.mark.sampled(3)
@pytest.mark.parametrize("values", [[0.0], [2.0, 2.0], [-1.0, np.nan, 3.0], np.linspace(-1, 1, 5000)])
@pytest.mark.parametrize("with_truth", [False, True])
def test_signals_of_any_length(values, with_truth) -> None:
    values = np.asarray(values, dtype=float)
    svg = charts.signal("signal", values, np.nan_to_num(values) if with_truth else None)
    assert ("truth" in "".join(parsed(svg).itertext())) is with_truth
    assert "nan" not in svg.lower()
    assert len(svg) < 200_000


@pytest.mark.sampled(1)
@pytest.mark.parametrize("given", [[1.0], [0.0, 0.0], np.linspace(-5, 5, 4000)])
def test_pairs_and_strengths_of_any_size(given) -> None:
    given = np.asarray(given, dtype=float)
    svg = charts.pairs("pairs", given, given, ("given", "found"))
    assert "nan" not in svg.lower()
    assert svg.count("<use") <= charts.MOST_POINTS + 60
    names = [f"+{i}" for i in range(len(given))]
    parsed(charts.strengths("strengths", given, names, given[:0]))


@pytest.mark.parametrize("values", [[3.0], [0.5, 0.5], [1.0, 2.0, 3.0]])
def test_histograms_of_equal_sizes(values) -> None:
    assert "cells" in "".join(parsed(charts.histogram("sizes", np.array(values), "size", "cells")).itertext())
