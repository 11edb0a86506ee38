"""Log-det reweighting: one round in closed form, and isotropic measurements."""

import numpy as np
import pytest

import flatmin as fm
from flatmin._core.limits import Clock
from flatmin.cones.rectangular import StackedProduct
from flatmin.solvers.factored.tangent import TangentSpace, Weights
from flatmin.solvers.lowest_rank.log_det import Isotropic


def sample(name, shape, rank, m, **kwargs):
    return fm.families.find(name).sample(shape, rank, m, **kwargs)


def test_a_round_minimises_the_quadratic_form():
    """With orthonormal sensing matrices, a tangent solve and the back-projected residual solve the weighted problem."""
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.standard_normal((30, 14)))[0].T
    model = StackedProduct(fm.measurements.Dense(rows.reshape(-1, 6, 5)))
    U, V = (np.linalg.qr(rng.standard_normal((d, d)))[0] for d in (6, 5))
    s, smoothing, b = np.array([3.0, 1.5]), 0.4, rng.standard_normal(14)
    space = TangentSpace(model, U[:, :2], V[:, :2])
    d = space.solve(b, space.diagonal(s), Weights.log_det(s, smoothing), 1e-13, 1000, Clock())
    M1, M2 = space.split(d)
    found = space.U @ M2.T + M1 @ space.V.T + model.dual_matrix(b - space.forward(d))
    left, right = (np.concatenate([s, np.full(n - 2, smoothing)]) for n in (6, 5))
    inverse = np.kron(U, V) * np.outer(left, right).ravel() @ np.kron(U, V).T  # of the form's matrix, row-major
    exact = inverse @ rows.T @ np.linalg.solve(rows @ inverse @ rows.T, b)
    np.testing.assert_allclose(found.ravel(), exact, atol=1e-9)


class TestIsotropic:
    def test_dense_matrices_become_orthonormal_and_keep_their_solutions(self):
        problem = sample("bilinear-sensing", (9, 8), 2, 40, seed=0).problem
        even = Isotropic.from_model(StackedProduct(problem.measurement, 0.3), problem.data)
        rows = even.model.whitened.matrices().reshape(40, -1)
        np.testing.assert_allclose(rows @ rows.T, 72 / 40 * np.eye(40), atol=1e-12)
        Z = np.random.default_rng(0).standard_normal((9, 8))
        exact = Isotropic.from_model(StackedProduct(problem.measurement, 0.3), 0.3 * problem.measurement.forward(Z))
        np.testing.assert_allclose(exact.model.whitened.forward(Z), exact.b, atol=1e-10)
        assert exact.outside < 1e-12

    def test_cells_get_equal_weights(self):
        A = fm.measurements.Entries([0, 1, 2], [0, 1, 1], (4, 3), weights=[1.0, 2.0, 5.0])
        even = Isotropic.from_model(StackedProduct(A, 2.0), 2.0 * A.forward(np.ones((4, 3))))
        np.testing.assert_allclose(even.model.whitened.norms(), 1)
        np.testing.assert_allclose(even.b, even.model.scale)
        assert even.model.scale**2 * 3 == pytest.approx(12)

    def test_dependent_matrices_are_dropped_and_contradictions_measured(self):
        T = np.random.default_rng(0).standard_normal((5, 3, 3))
        T[4] = T[0]
        A = fm.measurements.Dense(T)
        b = A.forward(np.ones((3, 3)))
        assert Isotropic.from_model(StackedProduct(A), b).outside < 1e-12
        b[4] += 1
        even = Isotropic.from_model(StackedProduct(A), b)
        assert len(even.b) == 4
        assert even.outside == pytest.approx(np.sqrt(0.5) / np.linalg.norm(b))
