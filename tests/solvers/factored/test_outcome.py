"""Outcomes keep the best multiplier, and their gap is relative."""

import numpy as np
import pytest

from flatmin._core.limits import Clock
from flatmin.solvers.factored.outcome import Outcome


def _outcome():
    return Outcome(np.zeros((3, 0)), np.zeros(0), np.zeros((2, 0)), np.zeros(2), -np.inf)


def test_the_best_bound_is_kept():
    outcome, b = _outcome(), np.array([1.0, 2.0])
    good, bad = np.array([1.0, 1.0]), np.array([1.0, 0.0])
    outcome.improve_bound(b, good, 2.0)
    assert outcome.bound == 1.5
    outcome.improve_bound(b, bad, 1.0)
    assert outcome.y is good
    assert outcome.gap(2.0) == 0.25


def test_a_finite_penalty_costs_half_a_square():
    outcome = _outcome()
    outcome.improve_bound(np.array([1.0, 2.0]), np.array([1.0, 1.0]), 0.5, penalty=4.0)
    assert outcome.bound == pytest.approx(3.0 - 2.0 / 8)


def test_points_are_recorded():
    outcome, rows = _outcome(), []
    point = np.zeros((3, 1)), np.ones(1), np.zeros((2, 1))
    outcome.record(point, Clock(), rows.append, gap=0.5)
    assert outcome.s is point[1]
    assert outcome.history["gap"] == [0.5]
    assert len(rows) == 1


def test_zero_is_an_optimum_without_data():
    zero = Outcome.zero((3, 2), np.zeros(4))
    assert zero.converged
    assert zero.gap(0.0) == 0.0
