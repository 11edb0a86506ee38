"""cvxpy with Clarabel at its default accuracy."""

from benchmarks.competitors import cvxpy_

FAMILIES, REQUIRES = cvxpy_.FAMILIES, ("cvxpy", "clarabel")
#: Left out by ``--quick``.
SLOW = True


def solve(problem, tol):
    return cvxpy_.solve(problem, "CLARABEL")
