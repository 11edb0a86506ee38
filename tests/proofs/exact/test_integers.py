import numpy as np
import pytest

import flatmin as fm
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.integers import exact_fit, integer_factors, nearest_integers
from flatmin.proofs.exact.point import polished
from tests.proofs.exact.integer_problems import PROBLEMS, completion


def drawn(kind, rng):
    d1, d2, r, size = rng.integers(6, 30), rng.integers(6, 30), rng.integers(1, 6), rng.integers(1, 9)
    left, right, second = (rng.integers(-size, size + 1, (d, r)) + 0.0 for d in (d1, d2, d1))
    U = left + 1j * second
    signs = rng.choice([-1.0, 1.0], r)
    return {
        "product": left @ right.T,
        "gram": left @ left.T,
        "complex": U @ U.conj().T,
        "signed": (left * signs) @ left.T,
    }[kind]


@pytest.mark.parametrize("kind", ["product", "gram", "complex", "signed"])
def test_integer_matrices_are_products_of_small_integers(kind):
    rng = np.random.default_rng(0)
    for _ in range(20):
        X = drawn(kind, rng)
        rank = np.linalg.matrix_rank(X)
        L, C, R = integer_factors(X, rank)
        assert L.shape[1] == len(C) == R.shape[1] == rank
        assert np.array_equal(L @ C @ R.conj().T, X)
        assert np.array_equal(np.rint(np.hstack([L, L @ C])), np.hstack([L, L @ C]))
        assert np.abs(L).max() < 100
        if kind != "product":
            assert np.array_equal(L, R)
            assert np.array_equal(C, C.conj().T)


def test_a_rank_that_is_too_small_is_none():
    assert integer_factors(np.eye(4), 2) is None


def test_halves_are_found_and_thirds_are_not():
    X, digits = nearest_integers(np.array([[0.75, 1.0 + 1e-9]]))
    assert digits == 2
    assert np.array_equal(X, [[3.0, 4.0]])
    assert nearest_integers(np.array([[1 / 3, 1.0]])) is None


@pytest.mark.parametrize("name", sorted(PROBLEMS.keys() - {"table", "table with holes"}))
def test_exact_fits_are_found(name):
    problem = PROBLEMS[name]()
    explicit = ExplicitProblem.from_problem(problem)
    point = polished(explicit, fm.flat_minimum(problem).factors)
    found = exact_fit(explicit, point)
    if "L" in found:
        X = found["L"] @ found["C"] @ found["R"].T
        basis, other = found["L"] @ found["T1"], point.L
    else:
        U = found["U"]
        X = U @ found.get("C", np.eye(U.shape[1])) @ U.conj().T
        basis, other = U @ found.get("T", np.eye(U.shape[1])), point.L
    assert np.array_equal(problem.measurement.forward(X), problem.data)
    if "T1" in found or "T" in found:
        np.testing.assert_allclose(basis, other, atol=1e-9 * np.abs(other).max())


def test_data_of_no_integers_have_none():
    problem = completion()
    wrong = fm.Problem(problem.measurement, problem.data + 0.001)
    for candidate in (wrong, fm.families.matrix_sensing.sample((6, 5), 1, 25).problem):
        explicit = ExplicitProblem.from_problem(candidate)
        assert exact_fit(explicit, polished(explicit, fm.flat_minimum(candidate).factors)) is None
