import numpy as np
import pytest

from flatmin.solvers.interior.face import MOST_COLUMNS, SplitBlock, symmetric


def block(tiny, n=12, seed=0):
    """Return a positive definite X, and a D with this many tiny eigenvalues, split by its face."""
    rng = np.random.default_rng(seed)
    F = rng.standard_normal((n, n))
    X, Q = F @ F.T, np.linalg.qr(rng.standard_normal((n, n)))[0]
    values = np.sort(np.r_[1e-9 * rng.uniform(0.1, 0.9, tiny), rng.uniform(0.1, 0.5, n - tiny)])
    return X, (Q * values) @ Q.T, SplitBlock.from_eigenvectors(X, values, Q)


@pytest.mark.parametrize("tiny", [0, 1, 4])
def test_the_parts_add_up_to_the_change_of_a_step(tiny):
    X, D, split = block(tiny)
    np.testing.assert_allclose(split.large + split.remainder, X, atol=1e-10)
    np.testing.assert_allclose(split.remainder @ split.P, 0, atol=1e-10)
    np.testing.assert_allclose(split.inverse @ D, np.eye(len(X)), atol=1e-5)
    K = symmetric(np.random.default_rng(1).standard_normal(X.shape))
    V = split.P + split.tilt
    C = split.P.T @ X @ split.P @ (V.T @ K @ split.P) / split.slack / 2
    whole = symmetric(X @ K @ split.inverse) / 2
    np.testing.assert_allclose(split.change(K) + split.face(C), whole, atol=1e-8 * np.abs(whole).max())


@pytest.mark.parametrize("tiny", [1, 4])
def test_what_a_step_takes_from_x_is_its_part_of_the_face_and_a_remainder(tiny):
    X, _, split = block(tiny)
    core = split.P.T @ X @ split.P
    np.testing.assert_allclose(split.face(core) - X, split.negative, atol=1e-10)


def test_the_basis_is_orthonormal_and_spans_all_matrices():
    split = block(3)[2]
    basis = split.basis()
    rows = basis.reshape(9, 9)
    np.testing.assert_allclose(rows @ rows.T, np.eye(9), atol=1e-15)
    assert np.array_equal(basis[:6], basis[:6].swapaxes(1, 2))
    assert np.array_equal(basis[6:], -basis[6:].swapaxes(1, 2))


def test_costs_and_aims_are_forms_of_the_core_and_the_slack():
    X, _, split = block(3)
    basis, w = split.basis(), np.random.default_rng(2).standard_normal(9)
    C, core = np.tensordot(w, basis, 1), split.P.T @ X @ split.P
    form = np.trace(C.T @ np.linalg.solve(core, C) * split.slack)
    assert w @ split.costs(basis) @ w == pytest.approx(form)
    assert w @ split.aims(basis) == pytest.approx(np.trace(C * split.slack))


def test_a_face_has_a_limited_number_of_columns():
    assert len(block(MOST_COLUMNS + 3, 40)[2].slack) == MOST_COLUMNS
