"""Rounds with a growing penalty find the rank and a dual matrix within its bounds."""

import numpy as np

from flatmin.solvers.robust.penalty_rounds import Rounds


def _corrupted(shape=(90, 80), rank=2, share=0.05, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    wrong = rng.random(shape) < share
    Y = X + wrong * rng.choice([-20.0, 20.0], shape)
    return Y / np.abs(Y).max(), wrong


def test_the_rank_settles_at_that_of_the_matrix():
    Y, wrong = _corrupted()
    weight = 1 / np.sqrt(90)
    rounds = Rounds(Y, None, weight, 0)
    for _ in range(20):
        assert rounds.step()
    assert rounds.rank == 2
    U, s, V = (part[..., :2] for part in rounds.triplets)
    left = np.abs(Y - (U * s) @ V.T)
    assert left[wrong].min() > 10 * np.median(left)
    assert np.abs(rounds.W).max() <= weight * (1 + 1e-5)


def test_medians_of_samples_are_near_those_of_all_cells():
    Y, _ = _corrupted()
    rounds = Rounds(Y, None, 1 / np.sqrt(90), 0)
    nothing = np.zeros((90, 1)), np.zeros(1), np.zeros((80, 1))
    assert np.isclose(rounds.median(*nothing), np.median(np.abs(Y)), rtol=0.1)
    rows, cols = rounds.medians(*nothing)
    assert np.allclose(rows, np.median(np.abs(Y), axis=1), rtol=0.5)
    assert len(cols) == 80


def test_full_rank_ends_the_rounds():
    rounds = Rounds(np.random.default_rng(0).standard_normal((70, 70)), None, 1.0, 0)
    assert not all(rounds.step() for _ in range(30))
