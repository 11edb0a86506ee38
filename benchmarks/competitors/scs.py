"""cvxpy with SCS at 1e-7."""

from benchmarks.competitors import cvxpy_

FAMILIES, REQUIRES = cvxpy_.FAMILIES, ("cvxpy", "scs")


def solve(problem, tol):
    return cvxpy_.solve(problem, "SCS", eps=1e-7, max_iters=100_000)
