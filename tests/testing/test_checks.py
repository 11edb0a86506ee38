"""The comparisons of the checks fail with one sentence."""

import numpy as np
import pytest

from flatmin.testing._checks import agree, draw, require


def test_points_are_complex_if_asked_for():
    rng = np.random.default_rng(0)
    assert draw(rng, (2, 3)).dtype == float
    assert draw(rng, (2, 3), complex).dtype == complex


@pytest.mark.parametrize(
    ("got", "message"),
    [
        (np.ones(3), r"'A': f has shape \(3,\), expected \(2,\); why"),
        (np.array([1.0, np.nan]), "'A': f contains NaN or infinity; why"),
        (np.array([1.0, 1.1]), r"'A': f is off by .* relatively, allowed 1e-09; why"),
    ],
)
def test_disagreement_names_subject_quantity_and_cause(got, message):
    with pytest.raises(AssertionError, match=message):
        agree("A", "f", got, np.ones(2), "why")


def test_the_scale_and_the_tolerance_decide():
    agree("A", "f", np.ones(2) + 1e-3, np.ones(2), "why", tolerance=1e-2)
    agree("A", "f", 1e-12, 0.0, "why", scale=1.0)
    agree("A", "f", 0.0, 0.0, "why")
    require("A", True, "nothing")
