"""Parts of matrices outside leading singular vectors, against sixty digits."""

import mpmath
import numpy as np
import pytest

from flatmin.proofs.rounding.leading_space import LeadingSpace


def _polar(F):
    """Return the polar factor of stored columns."""
    gram = F.T * F
    values, Q = mpmath.eigsy(gram)
    return F * (Q * mpmath.diag([1 / mpmath.sqrt(w) for w in values]) * Q.T)


def _nuclear(M):
    return sum(mpmath.svd_r(M, compute_uv=False))


def _case(seed, apart, skew):
    rng = np.random.default_rng(seed)
    d1, d2, q, k = 7, 6, 3, 2
    U, V = (np.linalg.qr(rng.standard_normal((d, q)))[0] * (1 + skew * rng.standard_normal(q)) for d in (d1, d2))
    core = rng.standard_normal((k, q))
    P, Q = (F @ core.T * [1, 100] + apart * rng.standard_normal((len(F), k)) for F in (U, V))
    return U, V, P, Q


@pytest.mark.parametrize("apart", [0.0, 1e-16, 1e-9, 1e-2])
@pytest.mark.parametrize("skew", [0.0, 1e-12, 1e-6])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_in_sixty_digits_and_are_sharp(seed, apart, skew):
    U, V, P, Q = _case(seed, apart, skew)
    space = LeadingSpace(U, V)
    with mpmath.workdps(60):
        Uo, Vo = (_polar(mpmath.matrix(F.tolist())) for F in (U, V))
        Z = mpmath.matrix(P.tolist()) * mpmath.matrix(Q.tolist()).T
        rest = (mpmath.eye(len(U)) - Uo * Uo.T) * Z * (mpmath.eye(len(V)) - Vo * Vo.T)
        inner = Uo.T * Z * Vo
        core = (inner + inner.T) / 2
        for i in range(3):
            for j in range(3):
                core[i, j] *= i + j < 4
        tangent, cores = float(_nuclear(rest)), float(_nuclear(Z - Uo * core * Vo.T))
    allowed = np.add.outer(np.arange(3), np.arange(3)) < 4
    size = float(np.linalg.norm(P) * np.linalg.norm(Q))
    assert tangent <= space.outside_tangent(P, Q) <= 3 * tangent + (1e-12 + 3 * space.skew) ** 2 * size
    assert cores <= space.outside_cores(P, Q, allowed) <= 4 * cores + (1e-11 + 20 * space.skew) * size


def test_columns_that_are_not_orthonormal_prove_nothing():
    U, V, P, Q = _case(0, 0.1, 0.0)
    assert LeadingSpace(2 * U, V).outside_tangent(P, Q) == np.inf
