import numpy as np
import pytest

from flatmin.report import HeldOutValues


def test_errors_of_some_pairs():
    found = HeldOutValues(np.ones(3, int), np.array([1.0, 2.0, 3.0]), {"mean": np.array([1.0, 5.0, 7.0])})
    assert found.error("mean", np.array([False, True, True])) == pytest.approx(np.sqrt(12.5))
