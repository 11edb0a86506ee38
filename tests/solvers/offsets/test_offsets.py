"""Offsets at positions inside and outside of the matrix."""

import numpy as np

from flatmin.solvers.offsets.offsets import Offsets


def test_unknown_rows_have_the_constant_alone():
    assert Offsets(2.0, np.ones(2), np.ones(3)).at([-1, 0], [-1, 2]).tolist() == [2.0, 4.0]
