import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.robust_witness import robust_witness
from tests.proofs.exact.integer_problems import table


def floats(cells=None):
    return fm.families.robust_pca.sample((24, 20), 1, cells).problem


@pytest.mark.parametrize("problem", [floats(), floats(400), table(), table(missing=True)])
def test_the_dual_has_the_signs_of_the_errors_and_room_elsewhere(problem):
    solution = fm.flat_minimum(problem)
    explicit = ExplicitProblem.from_problem(problem)
    witness = robust_witness(explicit, solution.factors, solution.certificate.dual)
    assert not witness.absent
    A, W, S = problem.measurement, witness.duals["uniqueness"], witness.sparse
    errors = np.zeros(problem.shape)
    errors[S["rows"], S["cols"]] = S["values"]
    found, wrong = witness.constants, errors[A.rows, A.cols] != 0
    assert np.array_equal(W[wrong], explicit.weight * np.sign(errors[A.rows, A.cols][wrong]))
    assert np.max(np.abs(W[~wrong])) <= explicit.weight - found["kappa"]
    point = witness.point
    L, R = (point[F] @ point.get(T, np.eye(len(point["C"]))) for F, T in (("L", "T1"), ("R", "T2")))
    X = point["L"] @ point["C"] @ point["R"].T
    np.testing.assert_allclose((X + errors)[A.rows, A.cols], problem.data, atol=1e-13 * np.abs(problem.data).max())
    whole = np.zeros(problem.shape)
    whole[A.rows, A.cols] = W
    np.testing.assert_allclose(whole @ R, L, atol=1e-11)
    np.testing.assert_allclose(whole.T @ L, R, atol=1e-11)
    assert np.linalg.norm(whole - L @ R.T, 2) < 1 - found["delta"] + 1e-9
    rng, clean = np.random.default_rng(0), (A.rows[~wrong], A.cols[~wrong])
    for _ in range(50):
        H = L @ rng.standard_normal(R.shape).T + rng.standard_normal(L.shape) @ R.T
        assert np.sum(H[clean] ** 2) > found["sigma2"] * np.sum(H**2)


def test_integer_tables_are_split_exactly():
    problem = table()
    solution = fm.flat_minimum(problem)
    witness = robust_witness(ExplicitProblem.from_problem(problem), solution.factors, solution.certificate.dual)
    point, S = witness.point, witness.sparse
    X = point["L"] @ point["C"] @ point["R"].T
    X[S["rows"], S["cols"]] += S["values"]
    assert np.array_equal(X.ravel(), problem.data)


def test_a_split_without_low_rank_part_is_none():
    problem = table()
    factors = np.zeros((24, 1)), np.zeros((20, 1))
    assert robust_witness(ExplicitProblem.from_problem(problem), factors, np.zeros(480)) is None


def test_a_split_that_is_not_the_best_proves_nothing():
    problem = floats()
    solution = fm.flat_minimum(problem)
    L, R = solution.factors
    witness = robust_witness(ExplicitProblem.from_problem(problem), (L + 0.5, R), solution.certificate.dual)
    assert "B" in witness.absent
