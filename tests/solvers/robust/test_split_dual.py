"""The corrected dual matrix proves the optimum of an exact split."""

import numpy as np

from flatmin._core.limits import Clock
from flatmin.solvers.robust.error_free_fit import fitted
from flatmin.solvers.robust.penalty_rounds import Rounds
from flatmin.solvers.robust.split_dual import correct, write_signs

from .test_penalty_rounds import _corrupted


def test_the_bound_meets_the_cost():
    Y, wrong = _corrupted()
    weight = 1 / np.sqrt(90)
    rounds = Rounds(Y, None, weight, 0)
    for _ in range(20):
        rounds.step()
    free, W = np.empty(Y.shape, bool), np.empty_like(Y)
    triplets, _ = fitted(rounds, free, Clock())
    cost = write_signs(rounds, triplets, 1e-9, free, W)
    U, s, V = triplets
    left = Y - (U * s) @ V.T
    assert np.isclose(cost, s.sum() + weight * np.abs(left).sum())
    np.testing.assert_allclose(W[wrong], weight * np.sign(left[wrong]))
    bound = correct(rounds, triplets, W, free, cost, 1e-10, Clock())
    assert abs(cost - bound) <= 1e-9 * cost
    np.testing.assert_allclose(W @ V, U, atol=1e-9)
    assert np.linalg.norm(W, 2) <= 1 + 1e-9


def test_singular_values_above_one_are_lowered():
    """With errors in three of ten cells, the signs of the errors alone have a norm above one."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 5)) @ rng.standard_normal((5, 500))
    Y = np.where(rng.random(X.shape) < 0.3, X + np.abs(X).mean() * rng.uniform(-1, 1, X.shape), X)
    Y /= np.abs(Y).max()
    rounds = Rounds(Y, None, 1 / np.sqrt(500), 0)
    for _ in range(5):
        rounds.step()
    free, W = np.empty(Y.shape, bool), np.empty_like(Y)
    triplets, _ = fitted(rounds, free, Clock())
    cost = write_signs(rounds, triplets, 1e-9, free, W)
    assert np.linalg.norm(W, 2) > 1.02
    bound = correct(rounds, triplets, W, free, cost, 1e-10, Clock())
    assert abs(cost - bound) <= 1e-9 * cost
    U, _, V = triplets
    outside = W - U @ (U.T @ W)
    assert np.linalg.norm(outside - (outside @ V) @ V.T, 2) < 1
