"""Sweeps of alternating least squares, against the objective and plain sweeps."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.solvers.completion.regularised_cells import RegularisedCells
from flatmin.solvers.completion.sweeps import Sweeps
from flatmin.solvers.task import Task


def _noisy_cells(shape, m):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    A = fm.measurements.Entries(rng.integers(0, shape[0], m), rng.integers(0, shape[1], m), shape)
    return fm.Problem(A, A.forward(X) + 0.3 * rng.standard_normal(m))


def test_the_objective_never_rises_and_extrapolation_helps():
    problem = RegularisedCells.from_task(Task(_noisy_cells((60, 50), 1500), 0.01))
    R = np.random.default_rng(0).standard_normal((50, 8))
    columns = problem.rows.turned(problem.columns)
    sweeps = Sweeps(problem.rows, columns, R)
    values = [sweeps.value]
    for _ in range(40):
        L, value = sweeps.next()
        e = problem.errors(L, sweeps.R)
        assert value == pytest.approx(float(e @ e) + problem.size(L, sweeps.R), rel=1e-9)
        values.append(value)
    assert np.all(np.diff(values) <= 1e-9 * values[0])
    plain = R
    for _ in range(40):
        plain = columns.half(problem.rows.half(plain)[0])[0]
    L = problem.rows.half(plain)[0]
    e = problem.errors(L, plain)
    assert values[-1] < float(e @ e) + problem.size(L, plain)
