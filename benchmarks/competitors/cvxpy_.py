"""The convex programme as a user of cvxpy would write it, in whitened coordinates."""

import cvxpy as cp
import numpy as np

import flatmin as fm


def solve(problem, solver, **options):
    D1, D2 = problem.metric
    d1, d2 = problem.shape
    Z = cp.Variable((d1, d2))
    A = problem.measurement.congruence(D1.power(-1), D2.power(-1))
    if isinstance(A, fm.measurements.Entries):
        measured = cp.multiply(A.weights, Z[A.rows, A.cols])
    else:
        measured = A.matrices().reshape(A.size, -1) @ cp.vec(Z, order="C")
    programme = cp.Problem(cp.Minimize(cp.normNuc(Z)), [measured == problem.data])
    programme.solve(solver=solver, **options)
    if Z.value is None:
        raise RuntimeError(f"status {programme.status}")
    return np.asarray(D1.power(-1) @ Z.value @ D2.power(-1))
