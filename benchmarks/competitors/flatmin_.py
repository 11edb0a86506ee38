"""flatmin itself, certificate included."""

import flatmin as fm


def solve(problem, tol, callback):
    return fm.flat_minimum(problem, tol=tol, callback=callback)
