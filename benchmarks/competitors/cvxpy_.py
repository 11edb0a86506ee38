"""The convex programme as a user of cvxpy would write it, in whitened coordinates and scaled to numbers near one."""

import cvxpy as cp
import numpy as np

import flatmin as fm


def solve(problem, solver, **options):
    D1, D2 = problem.metric
    d1, d2 = problem.shape
    A = problem.measurement.congruence(D1.power(-1), D2.power(-1))
    size, scale = float(np.sqrt(np.mean(A.norms() ** 2))), float(np.max(np.abs(problem.data)))
    Z = cp.Variable((d1, d2))
    if isinstance(A, fm.measurements.Entries):
        measured = cp.multiply(A.weights / size, Z[A.rows, A.cols])
    else:
        measured = (A.matrices().reshape(A.size, -1) / size) @ cp.vec(Z, order="C")
    programme = cp.Problem(cp.Minimize(cp.normNuc(Z)), [measured == problem.data / scale])
    programme.solve(solver=solver, **options)
    if Z.value is None:
        raise RuntimeError(f"status {programme.status}")
    return np.asarray(D1.power(-1) @ Z.value @ D2.power(-1)) * (scale / size)
