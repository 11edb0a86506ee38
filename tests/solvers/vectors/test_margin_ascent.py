"""The ascent of the margin keeps its constraints."""

import numpy as np

from flatmin.linalg.metric import Metric
from flatmin.measurements import RankOne
from flatmin.solvers.vectors.complement import Complement
from flatmin.solvers.vectors.margin_ascent import ascend_margin
from flatmin.solvers.vectors.uniqueness_dual import _proposal


def draw(rng, shape, dtype):
    X = rng.standard_normal(shape)
    return X + 1j * rng.standard_normal(shape) if dtype is complex else X


def instance(d, m, r, dtype, seed=0):
    """Return a whitened measurement and a whitened factor."""
    rng = np.random.default_rng(seed)
    A, S = RankOne(draw(rng, (m, d), dtype)), draw(rng, (d, r), dtype)
    D = Metric.root(A.gram_diagonals()[0] / m)
    return A.congruence(D.power(-1), D.power(-1)), D @ S


def test_the_proposal_meets_its_constraints():
    A, U = instance(30, 300, 3, complex)
    complement = Complement(A, np.linalg.qr(U)[0])
    dual = _proposal(complement, 0)
    assert np.linalg.norm(A.adjoint(dual) @ U) < 1e-12 * np.linalg.norm(U)
    p = ascend_margin(complement, dual)
    assert np.linalg.norm(A.adjoint(p) @ U) < 1e-6 * np.linalg.norm(U) * np.linalg.norm(A.adjoint(p), 2)
