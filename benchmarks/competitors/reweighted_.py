"""flatmin's lowest rank by reweighting, which is not flat and never called so."""

import flatmin as fm


def solve(problem, tol, callback):
    return fm.reweighted_minimum(problem, tol=tol, callback=callback)
