"""Least squares at the rank of a penalised solution."""

import numpy as np
import pytest
from scipy.optimize import minimize

import flatmin as fm
from flatmin.solvers import refit

PROBLEMS = {
    "sensing": lambda seed: fm.families.matrix_sensing.sample((14, 10), 2, 120, noise=0.2, seed=seed),
    "bilinear": lambda seed: fm.families.bilinear_sensing.sample((15, 12), 2, 140, noise=0.3, seed=seed),
    "completion": lambda seed: fm.families.matrix_completion.sample((30, 20), 2, 400, noise=0.3, seed=seed),
    "covariance": lambda seed: fm.families.covariance.sample(15, 2, 150, noise=0.2, seed=seed),
    "waves": lambda seed: fm.families.phase_retrieval.sample(12, 1, 100, noise=0.2, seed=seed),
    "network": lambda seed: fm.families.quadratic_network.sample(12, (1, 1), 150, noise=0.2, seed=seed),
}


def _residual(problem, factors):
    return np.linalg.norm(problem.residual(factors))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("power", [0.0, 1.0])
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_residual_never_grows_and_the_rank_stays(name, power):
    for seed in range(2):
        problem = PROBLEMS[name](seed).problem
        for alpha in (0.03, 1.0):
            s = fm.flat_minimum(problem, alpha=alpha, metric_power=power)
            found = refit(problem, s)
            assert _residual(problem, found) <= _residual(problem, s.factors) * (1 + 1e-12)
            assert problem.parametrization.width(found) == s.rank


def test_it_is_the_minimum_with_a_hundredth_of_the_penalty():
    """The oracle is scipy's BFGS on the factors, whose penalty is written out here."""
    problem = fm.families.matrix_sensing.sample((8, 6), 2, 60, noise=0.2).problem
    s = fm.flat_minimum(problem, alpha=0.2)
    D1, D2 = (D.power(1) @ np.eye(d) for D, d in zip(problem.metric, problem.shape, strict=True))

    def objective(x):
        L, R = x[: 8 * s.rank].reshape(8, -1), x[8 * s.rank :].reshape(6, -1)
        trace = 2 * np.sum((D1 @ L) ** 2) + 2 * np.sum((D2 @ R) ** 2)
        return np.mean(problem.residual((L, R)) ** 2) + 0.2 / 100 * trace

    stack = lambda factors: np.concatenate([F.ravel() for F in factors])  # noqa: E731
    found = refit(problem, s)
    best = minimize(objective, stack(s.factors), method="BFGS", options={"gtol": 1e-9})
    assert objective(stack(found)) <= best.fun * (1 + 1e-9)
    L, R = best.x[: 8 * s.rank].reshape(8, -1), best.x[8 * s.rank :].reshape(6, -1)
    assert np.linalg.norm(found[0] @ found[1].T - L @ R.T) < 1e-4 * np.linalg.norm(L @ R.T)


@pytest.mark.parametrize("name", PROBLEMS)
def test_factors_are_the_flattest_of_their_matrix(name):
    problem = PROBLEMS[name](1).problem
    found = fm.flatness(problem, refit(problem, fm.flat_minimum(problem, alpha=0.05)))
    assert found.scaled_trace == pytest.approx(found.fibre_minimum, rel=1e-9)


def test_nearer_the_truth_than_the_penalised_solution():
    instance = PROBLEMS["completion"](0)
    s = fm.flat_minimum(instance.problem, alpha="auto")
    again = fm.flat_minimum(instance.problem, alpha=s.noise.alpha)
    L, R = refit(instance.problem, again)
    assert np.linalg.norm(L @ R.T - instance.truth) < 0.8 * np.linalg.norm(s.matrix - instance.truth)
    np.testing.assert_allclose(L @ R.T, s.noise.refit[0] @ s.noise.refit[1].T, atol=1e-5)


def test_where_nothing_was_taken_away_nothing_is_given_back():
    problem = fm.families.matrix_sensing.sample((8, 6), 1, 60).problem
    exact, empty = fm.flat_minimum(problem), fm.flat_minimum(problem, alpha=1e6)
    assert empty.rank == 0
    for solution in (exact, empty):
        for F, G in zip(refit(problem, solution), solution.factors, strict=True):
            np.testing.assert_array_equal(F, G)


def test_bad_input_is_one_sentence():
    problem = PROBLEMS["sensing"](0).problem
    s = fm.flat_minimum(problem, alpha=0.2)
    with pytest.raises(fm.InputError, match="expected a flatmin Problem"):
        refit(s, problem)
    with pytest.raises(fm.InputError, match="Absolute"):
        refit(fm.families.robust_pca.sample((8, 6), 1, seed=0).problem, s)
    with pytest.raises(fm.InputError, match=r"expected \(15, k\)"):
        refit(PROBLEMS["bilinear"](0).problem, s)
