"""Upper bounds on nuclear norms, against many digits."""

import mpmath
import numpy as np
import pytest

from flatmin.cones import Rectangular
from flatmin.linalg.metric import Metric, svd_of_product
from flatmin.linalg.nuclear_bound import nuclear_bound


def _true(metric, L, R):
    with mpmath.workdps(50):
        C1, C2 = (np.diag(C) if C.ndim == 1 else C for C in (D.coordinates for D in metric))
        M = mpmath.matrix(C1.tolist()) * mpmath.matrix(L.tolist())
        M = M * mpmath.matrix(R.T.tolist()) * mpmath.matrix(C2.T.tolist())
        return sum(mpmath.svd_r(M, compute_uv=False))


@pytest.mark.parametrize("scale", [1.0, 1e8])
@pytest.mark.parametrize("full", [False, True])
def test_it_is_a_bound_and_near(scale, full):
    rng = np.random.default_rng(0)
    squares = [rng.uniform(0.1, 2, n) for n in (6, 5)]
    if full:
        squares = [F @ F.T for F in (rng.standard_normal((n, n)) for n in (6, 5))]
    metric = tuple(Metric.root(G) for G in squares)
    L, R = scale * rng.standard_normal((6, 2)), rng.standard_normal((5, 2)) / scale
    Z = Rectangular().decompose(metric[0] @ L, metric[1] @ R)
    true, found = _true(metric, L, R), nuclear_bound(metric, (L, R), Z)
    assert true <= found <= float(true) * (1 + 1e-12)


def test_a_wrong_decomposition_makes_a_poor_bound_and_no_wrong_one():
    rng = np.random.default_rng(1)
    metric = Metric(np.ones(6)), Metric(np.ones(5))
    L, R = rng.standard_normal((6, 2)), rng.standard_normal((5, 2))
    U, s, V = svd_of_product(L, R)
    true = np.linalg.svd(L @ R.T, compute_uv=False).sum()
    for Z in (
        (U, 0.9 * s, V),
        (np.linalg.qr(rng.standard_normal((6, 2)))[0], s, V),
        (1.1 * U, s, V),
        (U[:, :1], s[:1], V[:, :1]),
    ):
        assert true < nuclear_bound(metric, (L, R), Z)
