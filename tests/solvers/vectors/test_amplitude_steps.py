"""Levenberg–Marquardt steps descend along the exact quartic."""

from itertools import pairwise

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.measurements import RankOne
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


def test_a_direction_that_no_vector_measures_is_not_scaled_to_the_data():
    A = RankOne(np.outer([6.0, 1, 5], [1, 1]))
    search = Search(A, 5 * np.array([36.0, 1, 25]), np.ones(3), Clock(), 2)
    assert search.scaled(np.array([[1.0], [-1 + 1e-15]])).shape == (2, 0)
    assert search.scaled(np.array([[1.0], [1.0]])).shape == (2, 1)


def test_a_factor_that_no_vector_measures_is_stationary():
    search = Search(RankOne(np.outer([6.0, 1, 5], [1, 1])), np.ones(3), np.ones(3), Clock(), 2)
    assert search.residual(descend(search, search.at(np.array([[1.0], [-1.0]])), 5)) == 1


@pytest.mark.parametrize("lengths", [(6, 1, 5), (9, 9, 9, 9, 8, 7)])
@pytest.mark.parametrize("seed", range(3))
def test_vectors_on_one_line_are_fitted(lengths, seed):
    c = np.array(lengths, float)
    problem = fm.Problem(RankOne(np.c_[c, c]), 5 * c**2, fm.Gram())
    solution = fm.flat_minimum(problem, seed=seed, time_limit=10)
    assert np.linalg.norm(problem.residual(solution.factors)) <= 1e-8 * np.linalg.norm(problem.data)
