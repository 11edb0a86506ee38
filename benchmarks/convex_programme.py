"""Flat minima as a user of cvxpy would write them, in whitened coordinates and scaled to numbers near one."""

from __future__ import annotations

from typing import Any

import numpy as np

import flatmin as fm
from flatmin._core.arrays import Array


def solve(problem: fm.Problem, solver: str, **options: Any) -> Array:
    """Return cvxpy's solution with one of its solvers; the referee judges its accuracy."""
    import cvxpy as cp

    D1, D2 = problem.metric
    A = problem.measurement.congruence(D1.power(-1), D2.power(-1))
    size, scale = float(np.sqrt(np.mean(A.norms() ** 2))), float(np.max(np.abs(problem.data)))
    Z, objective = unknown(problem)
    if isinstance(A, fm.measurements.Entries):
        measured = cp.multiply(A.weights / size, Z[A.rows, A.cols])
    else:
        measured = (A.matrices().reshape(A.size, -1) / size) @ cp.vec(Z, order="C")
    programme = cp.Problem(cp.Minimize(objective), [measured == problem.data / scale])
    programme.solve(solver=solver, **options)
    if Z.value is None:
        raise RuntimeError(f"status {programme.status}")
    return np.asarray(D1.power(-1) @ Z.value @ D2.power(-1)) * (scale / size)


def unknown(problem: fm.Problem) -> Any:
    """Return the variable and its trace or nuclear norm: any matrix, a symmetric one, or a semidefinite one."""
    import cvxpy as cp

    if isinstance(problem.parametrization, fm.Gram):
        Z = cp.Variable(problem.shape, PSD=True)
        return Z, cp.trace(Z)
    Z = cp.Variable(problem.shape, symmetric=isinstance(problem.parametrization, fm.SignedGram))
    return Z, cp.normNuc(Z)


def unsuited(problem: fm.Problem) -> tuple[bool, str | None]:
    """Return whether cvxpy cannot take a dense problem, and why."""
    if np.issubdtype(problem.measurement.dtype, np.complexfloating):
        return True, "complex signals are left to methods for them"
    if np.prod(problem.shape) > 10_000:
        return True, "a semidefinite programme with more than 10 000 unknowns takes it hours"
    return False, None
