"""The fit to cells without errors is exact, and its linear algebra is that of the tangent space."""

import numpy as np

from flatmin._core.limits import Clock
from flatmin.solvers.robust.error_free_fit import fitted, least_deviations, product, projected
from flatmin.solvers.robust.penalty_rounds import Rounds

from .test_penalty_rounds import _corrupted


def test_the_fit_is_exact_on_the_cells_without_errors():
    Y, wrong = _corrupted()
    rounds = Rounds(Y, None, 1 / np.sqrt(90), 0)
    for _ in range(20):
        rounds.step()
    free = np.empty(Y.shape, bool)
    (U, s, V), median = fitted(rounds, free, Clock())
    assert median < 1e-12
    assert np.abs(Y - (U * s) @ V.T)[~wrong].max() < 1e-10
    assert not free[wrong].any()


def test_projections_are_orthogonal():
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.standard_normal((d, 2)))[0] for d in (8, 6))
    G = rng.standard_normal((8, 6))
    F, E = projected(U, G @ V, G.T @ U)
    tangent = U @ E.T + F @ V.T
    exact = G - (np.eye(8) - U @ U.T) @ G @ (np.eye(6) - V @ V.T)
    np.testing.assert_allclose(tangent, exact, atol=1e-12)
    assert np.isclose(product((F, E), (F, E)), np.sum(exact**2))


def test_least_deviations_ignore_a_minority():
    rng = np.random.default_rng(1)
    B, T = rng.standard_normal((40, 3)), rng.standard_normal((5, 3))
    Y = T @ B.T
    Y[:, :8] += 50
    np.testing.assert_allclose(least_deviations(Y, None, B, np.zeros((5, 3))), T, atol=1e-8)
