"""Bounds on the rounding errors of measurements, against sums in many digits."""

import mpmath
import numpy as np
import pytest

from flatmin.measurements import CodedDiffraction, Dense, Entries, FromLinearOperator, Mask, RankOne

DIGITS = 40


def _maps():
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-4, 4, (12, 1, 1))
    x = rng.standard_normal((12, 4)) + 1j * rng.standard_normal((12, 4))
    return {
        "dense": Dense(scales * rng.standard_normal((12, 4, 3))),
        "vectors": RankOne(rng.standard_normal((12, 4)), rng.standard_normal((12, 3))),
        "complex vectors": RankOne(x),
        "entries": Entries([0, 0, 1, 3, 0], [1, 1, 2, 0, 1], (4, 3)),
        "weighted entries": Entries([0, 0, 1, 3, 0], [1, 1, 2, 0, 1], (4, 3), rng.standard_normal(5)),
        "mask": Mask(rng.random((4, 3)) < 0.6),
        "operator": FromLinearOperator(rng.standard_normal((9, 12)), (4, 3)),
        "masks": CodedDiffraction(rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))),
    }


MAPS = _maps()


def _sensing(A):
    """Return the sensing matrices in many digits; those of masks have exact roots of unity."""
    if not isinstance(A, CodedDiffraction):
        return [mpmath.matrix(M.tolist()) for M in A.matrices()]
    q, n = A.masks.shape
    waves = [[mpmath.expjpi(mpmath.mpf(2 * k * pixel) / n) for pixel in range(n)] for k in range(n)]
    vectors = [mpmath.matrix([A.masks[j, p] * waves[k][p] for p in range(n)]) for j in range(q) for k in range(n)]
    return [a * a.H for a in vectors]


def _distance(exact, computed):
    computed = np.asarray(computed)
    return np.array([[float(abs(exact[i, j] - computed[i, j])) for j in range(exact.cols)] for i in range(exact.rows)])


@pytest.fixture(params=MAPS)
def case(request):
    with mpmath.workdps(DIGITS):
        A = MAPS[request.param]
        yield A, _sensing(A), np.random.default_rng(1)


def test_forward(case):
    A, matrices, rng = case
    L, R = rng.standard_normal((A.shape[0], 2)), 10.0 ** rng.uniform(-3, 3, (A.shape[1], 2))
    if A.is_rank_one:
        R = L
    X = mpmath.matrix(L.tolist()) * mpmath.matrix(R.tolist()).T
    exact = [
        mpmath.re(sum(mpmath.conj(M[i, j]) * X[i, j] for i in range(M.rows) for j in range(M.cols))) for M in matrices
    ]
    errors = np.array([float(abs(a - b)) for a, b in zip(exact, A.forward_factors(L, R), strict=True)])
    bounds = A.forward_error(L, R)
    assert bounds.shape == (A.size,)
    assert np.all(errors <= bounds)
    assert np.all(bounds <= 1e-10 * A.norms() * np.linalg.norm(L) * np.linalg.norm(R))


def test_adjoint(case):
    A, matrices, rng = case
    y = rng.standard_normal(A.size)
    y[:2] += [2.0**40, -(2.0**40)]
    exact = sum((mpmath.mpf(v) * M for v, M in zip(y, matrices, strict=True)), mpmath.zeros(*A.shape))
    sizes = sum(abs(v) * _distance(M, np.zeros(A.shape)) for v, M in zip(y, matrices, strict=True))
    off = _distance(exact, A.adjoint(y))
    assert np.all(off <= A.adjoint_rounding * sizes)
    assert np.linalg.norm(off) <= A.adjoint_error(y) <= 1e-10 * np.linalg.norm(y) * np.linalg.norm(A.norms())


def test_gram(case):
    A, matrices, _ = case
    for side, found in enumerate(A.gram_diagonals()):
        exact = sum((M * M.H if side == 0 else M.H * M for M in matrices), mpmath.zeros(A.shape[side]))
        sizes = np.sqrt(np.array([float(mpmath.re(exact[i, i])) for i in range(A.shape[side])]))
        off = _distance(exact, np.diag(found) if found.ndim == 1 else found)
        assert np.all(off <= A.gram_rounding * np.outer(sizes, sizes) + 1e-300)
    assert A.gram_rounding <= 1e-11
