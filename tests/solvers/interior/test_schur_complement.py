import numpy as np

from flatmin.solvers.interior.schur_complement import FIRST_SHIFT, SchurComplement


def random_matrix(rank, size=30):
    F = np.random.default_rng(0).standard_normal((size, rank))
    return F @ F.T


def test_only_the_lower_triangle_is_used_and_solutions_are_exact():
    M = random_matrix(40)
    right = M @ np.arange(30.0)
    system = SchurComplement.from_lower(np.tril(M) + np.triu(np.full_like(M, np.nan), 1))
    np.testing.assert_allclose(system.solve(right), np.arange(30.0), atol=1e-9)


def test_the_shift_grows_until_a_singular_matrix_can_be_factorized():
    M = random_matrix(10)
    right = M @ np.ones(30)
    system = SchurComplement.from_lower(M - 1e-12 * np.eye(30))
    assert system.shift > FIRST_SHIFT
    assert np.linalg.norm(M @ system.solve(right) - right) < 1e-6 * np.linalg.norm(right)


def test_indefinite_and_infinite_matrices_are_refused():
    assert SchurComplement.from_lower(-np.eye(3)) is None
    assert SchurComplement.from_lower(np.diag([1.0, np.inf])) is None
