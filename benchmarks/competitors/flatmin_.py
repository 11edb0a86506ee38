"""flatmin itself, certificate included."""

import flatmin as fm


def solve(problem, tol):
    return fm.flat_minimum(problem, tol=tol).factors
