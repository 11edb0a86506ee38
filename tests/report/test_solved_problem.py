"""The quantities that a report derives from a solution, against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest

import flatmin as fm
from flatmin.report import SolvedProblem


@pytest.fixture
def solved():
    family = fm.families.find("matrix-sensing")
    instance = family.sample((6, 5), 2, 30)
    return SolvedProblem(family, instance.problem, fm.flat_minimum(instance.problem), {}, instance.truth)


def test_size_error_and_degrees_of_freedom(solved):
    X, truth = solved.solution.matrix, solved.truth
    assert solved.size == pytest.approx(np.linalg.norm(X))
    assert solved.error == pytest.approx(np.linalg.norm(X - truth) / np.linalg.norm(truth), abs=1e-12)
    assert replace(solved, summary={"relative_error": 0.5}).error == 0.5
    assert (solved.free, solved.errors) == (2 * (6 + 5 - 2), 0)


def test_the_values_of_the_truth_are_those_of_the_whitened_matrix(solved):
    D1, D2 = (np.asarray(D) for D in solved.problem.metric)
    values = np.linalg.svd(D1 @ solved.truth @ D2, compute_uv=False)
    np.testing.assert_allclose(solved.truth_values, values[:2])


def test_a_truth_of_another_shape_is_not_used(solved):
    assert replace(solved, truth=np.ones((2, 2))).truth is None


def test_the_distance_is_that_of_the_alternative(solved):
    assert solved.distance is None
    other = tuple(2 * factor for factor in solved.solution.factors)
    certificate = replace(solved.certificate, unique=False, alternative=other)
    doubled = replace(solved, solution=replace(solved.solution, certificate=certificate))
    assert doubled.distance == pytest.approx(3)
