"""Distances of exact whitened solutions from their stored triplets, against sixty digits."""

import mpmath
import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.rounding.stored_triplets import distance_from_triplets
from flatmin.proofs.whitening import WhitenedSolution


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_bound_holds_in_sixty_digits(seed, rank, condition):
    rng = np.random.default_rng(seed)
    T = rng.standard_normal((12, 4, 3))
    T[:, 0] /= condition
    A = fm.measurements.Dense(np.linalg.qr(rng.standard_normal((4, 4)))[0] @ T)
    factors = rng.standard_normal((4, 2)), rng.standard_normal((3, 2)) * [1, 1e-3]
    point = WhitenedSolution.from_factors(fm.Problem(A, np.ones(12)), factors)
    bound = distance_from_triplets(point, rank)
    with mpmath.workdps(60):
        W1, W2 = (mpmath.matrix(D.whitening.tolist()) for D in point.metric)
        X = mpmath.matrix(factors[0].tolist()) * mpmath.matrix(factors[1].tolist()).T
        U, s, V = point.Z
        stored = mpmath.matrix(U[:, :rank].tolist()) * mpmath.diag(s[:rank].tolist())
        stored *= mpmath.matrix(V[:, :rank].tolist()).T
        apart = mpmath.inverse(W1) * X * mpmath.inverse(W2).T - stored
        distance = float(sum(mpmath.svd_r(apart, compute_uv=False)))
    assert distance <= bound <= distance * 1.01 + 1e-11 * condition * s.sum()


@pytest.mark.parametrize("columns", [2, 4])
def test_large_tables_need_time_linear_in_their_sides(columns):
    rng = np.random.default_rng(0)
    n = 200_000  # comparing all cells of the products would take hours
    A = fm.measurements.Entries(np.arange(n), np.arange(n), (n, n))
    L, R = rng.standard_normal((n, columns)), rng.standard_normal((n, columns))
    L[:, 2:] = 0.0
    point = WhitenedSolution.from_factors(fm.Problem(A, np.ones(n)), (L, R))
    assert distance_from_triplets(point, 2) <= 1e-12 * point.norm
    one = distance_from_triplets(point, 1)
    assert point.Z[1][1] <= one <= point.Z[1][1] * (1 + 1e-9)
