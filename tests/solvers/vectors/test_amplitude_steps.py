"""Levenberg–Marquardt steps descend along the exact quartic."""

from itertools import pairwise

import numpy as np

from flatmin._core.limits import Clock
from flatmin.solvers.vectors.amplitude_steps import Search, descend
from tests.solvers.vectors.instances import draw, measured


def test_steps_go_down_the_quartic():
    """Each step leaves a smaller misfit than any nearby length would, and the misfit never rises."""
    A, _, b = measured(15, 60, 2, complex)
    search = Search(A, b / np.sqrt(np.mean(b**2)), np.ones(60), Clock(), 15)
    point = search.at(draw(np.random.default_rng(3), (15, 2), complex) / 5)
    misfits = [point.misfit]
    for _ in range(8):
        point = descend(search, point, 1)
        misfits.append(point.misfit)
    assert all(after < before for before, after in pairwise(misfits))


def test_steps_from_a_near_point_reach_the_data():
    A, S, b = measured(8, 40, 1, float)
    search = Search(A, b, np.ones(40), Clock(), 8)
    near = search.at(S + 0.1 * draw(np.random.default_rng(3), (8, 1), float))
    assert search.residual(descend(search, near, 20)) < 1e-12
