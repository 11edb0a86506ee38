"""certify: solutions in any form, duals of any origin, and the sentences about what does not fit."""

import numpy as np
import pytest

import flatmin as fm

INSTANCE = fm.families.matrix_sensing.sample((8, 6), 1, 60)
SEMIDEFINITE = fm.families.covariance.sample(6, 1, 25)


def test_factors_and_their_matrix_have_one_certificate():
    factors = fm.flat_minimum(INSTANCE.problem).factors
    proofs = [fm.certify(INSTANCE.problem, given) for given in (factors, factors[0] @ factors[1].T)]
    assert all(proof.holds and proof.unique for proof in proofs)
    assert proofs[0].value == pytest.approx(proofs[1].value, rel=1e-12)


def test_a_given_dual_is_judged_and_not_replaced():
    solution = fm.flat_minimum(INSTANCE.problem)
    assert fm.certify(INSTANCE.problem, solution.factors, solution.certificate.dual).holds
    poor = fm.certify(INSTANCE.problem, solution.factors, np.zeros(60))
    assert not poor.holds
    assert poor.lower_bound == 0


def test_a_signal_stands_for_its_square():
    problem = fm.families.phase_retrieval.sample(6, 1, 40)
    signal = problem.truth.ravel()
    assert fm.certify(problem.problem, signal).holds


def test_other_matrices_are_not_certified():
    wrong = INSTANCE.truth + 0.1 * np.random.default_rng(0).standard_normal((8, 6))
    assert not fm.certify(INSTANCE.problem, wrong).holds


@pytest.mark.parametrize(
    ("problem", "matrix", "message"),
    [
        (INSTANCE.problem, np.ones((6, 8)), r"the matrix has shape \(6, 8\), expected \(8, 6\)"),
        (SEMIDEFINITE.problem, np.triu(np.ones((6, 6))), "is not symmetric"),
        (SEMIDEFINITE.problem, -np.eye(6), "negative eigenvalues"),
        ("problem", np.ones((6, 6)), "problem is a str"),
    ],
)
def test_what_does_not_fit_is_refused(problem, matrix, message):
    with pytest.raises(fm.InputError, match=message):
        fm.certify(problem, matrix)


@pytest.mark.parametrize(
    "problem",
    [
        fm.families.sparse_regression.sample(8, 1, 6).problem,
        fm.families.robust_pca.sample((9, 8), 1).problem,
        fm.Problem(fm.measurements.Identity((3, 2)), np.arange(6.0), fm.Chain((3,))),
    ],
)
def test_models_with_norms_of_their_own(problem):
    solution = fm.flat_minimum(problem)
    proof = fm.certify(problem, solution.factors)
    assert proof.holds
    assert proof.value == pytest.approx(solution.certificate.value)
