"""Exact elimination against determinants, floating-point eigenvalues and matrices of known rank."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from tests.proofs.exact.elimination import (
    exact,
    inverse,
    inverse_form,
    is_semidefinite,
    largest_eigenvalue_above,
    null_space,
    root_above,
    times,
)


def determinant(M):
    """Return a determinant by expansion along the first row."""
    if len(M) == 0:
        return Fraction(1)
    others = [[k for k in range(len(M)) if k != j] for j in range(len(M))]
    return sum((-1) ** j * M[0, j] * determinant(M[1:, others[j]]) for j in range(len(M)))


def has_no_negative_minor(M):
    """Decide semidefiniteness by all principal minors."""
    sets = [list(s) for k in range(1, len(M) + 1) for s in combinations(range(len(M)), k)]
    return all(determinant(M[np.ix_(s, s)]) >= 0 for s in sets)


def singular(rng, n, rank, size=3):
    """Draw an integer matrix ``F Fᵀ`` of low rank."""
    F = rng.integers(-size, size + 1, (n, rank))
    return F @ F.T


@pytest.mark.parametrize("seed", range(40))
def test_semidefinite_matrices_are_those_without_negative_principal_minors(seed):
    rng = np.random.default_rng(seed)
    F = singular(rng, 4, int(rng.integers(0, 4)))
    E = np.diag(rng.integers(-1, 2, 4)) if seed % 2 else np.zeros((4, 4), int)
    N = exact(F + E)
    for M in (N, N - Fraction(1, 10**30) * exact(np.eye(4))):
        assert is_semidefinite(M) == has_no_negative_minor(M)


def test_a_zero_diagonal_needs_zero_rows():
    assert is_semidefinite(exact([[0, 0], [0, 1]]))
    assert not is_semidefinite(exact([[0, 1], [1, 1]]))
    assert not is_semidefinite(exact([[0, 1], [1, 0]]))
    assert not is_semidefinite(exact([[1, 0], [0, Fraction(-1, 10**100)]]))


def test_a_change_of_a_singular_matrix_by_its_last_bit_is_seen():
    v = np.array([[0.1, 0.7, 0.3]])
    M = times(exact(v.T), exact(v))
    tiny = Fraction(1, 2**1000) * exact(np.diag([0, 0, 1]))
    assert is_semidefinite(M)
    assert is_semidefinite(M + tiny)
    assert not is_semidefinite(M - tiny)


def test_a_form_in_the_inverse_matches_the_inverse():
    rng = np.random.default_rng(0)
    K, g = exact(singular(rng, 5, 9)), exact(rng.standard_normal(5))
    assert inverse_form(K, g) == g @ times(inverse(K), g)
    assert inverse_form(exact(singular(rng, 5, 3)), g) is None


def test_null_spaces_are_complete():
    rng = np.random.default_rng(1)
    M = exact(rng.integers(-3, 4, (3, 6)))
    N = null_space(M)
    assert N.shape == (6, 3)
    assert not times(M, N).any()
    assert np.linalg.matrix_rank(N.astype(float)) == 3


@pytest.mark.parametrize("x", [Fraction(2), Fraction(1, 3), Fraction(0), Fraction(7, 10**60), Fraction(10**60)])
def test_roots_lie_above_and_near(x):
    above = root_above(x)
    assert x <= above**2 <= x * (1 + Fraction(1, 2**390))


def test_the_largest_eigenvalue_is_bounded_from_above():
    M = singular(np.random.default_rng(2), 5, 3)
    bound = largest_eigenvalue_above(exact(M))
    assert np.linalg.eigvalsh(M)[-1] <= bound <= np.linalg.eigvalsh(M)[-1] * 1.001
