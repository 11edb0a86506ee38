from itertools import pairwise

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.interior import minimum
from flatmin.solvers.interior.interior_point import InteriorPoint
from flatmin.solvers.interior.known_rank import is_clear, optimal_pair
from tests.solvers.interior.test_interior_point import path_of


def weighted():
    rng = np.random.default_rng(0)
    cells = np.sort(rng.choice(750, 220, replace=False))
    A = fm.measurements.Entries(*np.divmod(cells, 25), (30, 25), weights=rng.uniform(0.5, 2, 220))
    return fm.Problem(A, A.forward(rng.standard_normal((30, 2)) @ rng.standard_normal((2, 25))))


PROBLEMS = {
    "few cells": fm.families.matrix_completion.sample((30, 25), 2, 220).problem,
    "weighted cells": weighted(),
    "signed network": fm.families.quadratic_network.sample(12, (2, 1), 40).problem,
}


def followed(problem, gap):
    path = path_of(problem)
    while path.gap > gap and path.step():
        pass
    return path


def rank_of(path):
    """Return the number of eigenvalues of D that are small beside those of X."""
    pairs = zip(path.X, path.D, strict=True)
    return int(sum(np.count_nonzero(np.linalg.eigvalsh(X) > np.linalg.eigvalsh(D)[::-1]) for X, D in pairs))


@pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)
def test_a_rough_iterate_becomes_the_solution(problem):
    rough, exact = followed(problem, 1e-5), followed(problem, 1e-10)
    rank, model = rank_of(exact), rough.model
    assert is_clear(rough.slack, rank)
    assert not is_clear(rough.slack, rank + 1)
    X, y = optimal_pair(model, rough.b, rough.X, rough.y, rank)
    assert np.linalg.norm(model.lifted_value(X) - rough.b) <= 1e-12 * np.linalg.norm(rough.b)
    D = (rough.identity - model.dual_blocks(y)) / 2
    assert np.abs(X @ D).max() <= 1e-11 * np.abs(X).max()
    assert min(np.linalg.eigvalsh(blocks).min() for blocks in (X / np.abs(X).max(), D)) >= -1e-11
    np.testing.assert_allclose(X, exact.X, atol=1e-4 * np.abs(X).max())
    assert float(rough.b @ y) == pytest.approx(float(exact.b @ exact.y), rel=1e-8)


def test_a_wrong_rank_is_not_solved():
    path = followed(PROBLEMS["few cells"], 1e-5)
    assert optimal_pair(path.model, path.b, path.X, path.y, 1) is None
    assert optimal_pair(path.model, path.b, path.X, path.y, path.order) is None


def test_singular_and_overflowing_starts_fail_without_a_warning():
    path = followed(PROBLEMS["few cells"], 1e-5)
    for X in (0 * path.X, -path.X, 1e300 * path.X, np.inf * path.X):
        assert optimal_pair(path.model, path.b, X, path.y, 10) is None


def test_it_saves_steps(monkeypatch):
    solutions = [fm.flat_minimum(PROBLEMS["few cells"])]
    monkeypatch.setattr(minimum, "NEWTON_GAP", 0.0)
    solutions.append(fm.flat_minimum(PROBLEMS["few cells"]))
    assert solutions[0].iterations <= solutions[1].iterations - 3
    np.testing.assert_allclose(solutions[0].matrix, solutions[1].matrix, atol=1e-6)
    assert solutions[0].certificate.relative_gap <= 1e-10


def test_a_rank_whose_pair_is_not_optimal_is_not_tried_again(monkeypatch):
    calls = []

    def useless(model, b, X, y, rank):
        calls.append(rank)
        return np.zeros_like(X), np.zeros_like(y)

    monkeypatch.setattr(minimum, "optimal_pair", useless)
    assert fm.flat_minimum(PROBLEMS["few cells"]).status.certified
    assert len(calls) == len(set(calls)) > 0


def test_failures_are_tried_less_and_less_often(monkeypatch):
    gaps = []
    original = InteriorPoint.gap.fget
    path = path_of(PROBLEMS["few cells"])

    def fails(model, b, X, y, rank):
        gaps.append(original(path_now[0]))

    path_now = [path]
    first = InteriorPoint.__init__

    def remembered(self, *arguments):
        first(self, *arguments)
        path_now[0] = self

    monkeypatch.setattr(InteriorPoint, "__init__", remembered)
    monkeypatch.setattr(minimum, "optimal_pair", fails)
    assert fm.flat_minimum(PROBLEMS["few cells"]).status.certified
    assert all(later <= earlier / minimum.PATIENCE for earlier, later in pairwise(gaps))
    assert gaps
