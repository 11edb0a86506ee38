"""cvxpy with Clarabel at its default accuracy."""

from benchmarks.competitors import cvxpy_


def solve(problem, tol):
    return cvxpy_.solve(problem, "CLARABEL")
