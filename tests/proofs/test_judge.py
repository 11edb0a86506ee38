"""Certificates of given factors and dual vectors, for every model."""

import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.judge import judge

rng = np.random.default_rng(0)
MODELS = {
    "product": lambda: fm.families.matrix_sensing.sample((6, 5), 1, 40).problem,
    "vectors": lambda: fm.families.covariance.sample((5, 5), 1, 30).problem,
    "signs": lambda: fm.families.quadratic_network.sample((5, 5), (1, 1), 30).problem,
    "split": lambda: fm.families.robust_pca.sample((12, 10), 1).problem,
    "hadamard": lambda: fm.Problem(fm.measurements.Dense(rng.standard_normal((20, 6, 1))), np.ones(20), fm.Hadamard(3)),
    "chain": lambda: fm.Problem(fm.measurements.Identity((3, 2)), np.arange(1.0, 7.0), fm.Chain((3,))),
}


@pytest.mark.parametrize("alpha", [0.0, 0.1])
@pytest.mark.parametrize("model", MODELS)
def test_the_verdict_is_that_of_the_solver_and_of_certify(model, alpha):
    problem = MODELS[model]()
    s = fm.flat_minimum(problem, alpha=alpha)
    proof = judge(problem, s.factors, *s.duals, alpha=alpha)
    assert proof.scalars() == s.certificate.scalars()
    again = fm.certify(problem, s.factors, s.duals[0], uniqueness_dual=s.duals[1], alpha=alpha)
    assert again.scalars() == proof.scalars()
    assert not judge(problem, s.factors, 0 * s.duals[0], alpha=alpha).holds


@pytest.mark.parametrize("model", MODELS)
def test_duals_of_another_problem_are_refused(model):
    problem = MODELS[model]()
    factors = fm.flat_minimum(problem).factors
    with pytest.raises(fm.InputError, match="the dual has shape"):
        judge(problem, factors, np.ones(3))
    with pytest.raises(fm.InputError, match="the dual contains NaN"):
        judge(problem, factors, np.full(problem.data.shape, np.nan))
