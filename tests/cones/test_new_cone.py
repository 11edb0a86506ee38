"""A fourth cone, written here alone: diagonal matrices, whose flat minima are those of sparse regression.

`Hadamard` with two factors has the same loss and trace, a solver of its own and certificates of its own.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import flatmin as fm
from flatmin.cones import Cone, Rectangular
from flatmin.cones.rectangular import StackedProduct
from flatmin.linalg.metric import Metric
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.proofs.cone_certificate import certificate_of


@dataclass(frozen=True, eq=False)
class StackedDiagonal(StackedProduct):
    """``x = [u; v]`` for each column, ``Z = diag(Σ_c u_c ∘ v_c)``."""

    is_product: ClassVar[bool] = False

    def _diagonal(self, u, v):
        return np.diag(np.sum(u * v, axis=1)), np.eye(len(u))

    def value(self, x):
        return self.scale * self.whitened.forward_factors(*self._diagonal(*self.split(x)))

    def bilinear(self, x, z):
        (u, v), (p, q) = self.split(x), self.split(z)
        return self.scale * self.whitened.forward_factors(np.diag(np.sum(u * q + p * v, axis=1)), np.eye(len(u)))

    def apply(self, S, x):
        u, v = self.split(x)
        diagonal = np.diag(np.asarray(S))[:, None]
        return np.concatenate([diagonal * v, diagonal * u])

    def jacobian(self, x):
        return None

    def canonical(self, x):
        u, v = self.split(x)
        return DIAGONAL.decompose(*self._diagonal(u, v))

    def leading(self, S, count, seed, tol=1e-2, below=0.0):
        U, s, V = DIAGONAL.decompose(np.diag(np.diag(S @ np.eye(S.shape[1]))), np.eye(S.shape[0]))
        return U[:, :count], s[:count], V[:, :count]

    def curvature(self, S):
        return super().curvature(np.diag(np.diag(S)))

    def resolvent(self, S, shift):
        return super().resolvent(np.diag(np.diag(S)), shift)

    def blocks(self, x):
        return np.broadcast_to(x.T @ x, (len(x), x.shape[1], x.shape[1])).copy()


@dataclass(frozen=True)
class Diagonal(Cone):
    """Diagonal matrices: the sum of the sizes of the entries, and the largest size as its dual norm."""

    is_hermitian: ClassVar[bool] = True

    def decompose(self, P, Q):
        d = np.einsum("ij,ij->i", P, Q)
        order = np.argsort(-np.abs(d), kind="stable")
        U = np.eye(len(d))[:, order]
        return U, np.abs(d)[order], U * np.where(d[order] < 0, -1.0, 1.0)

    def degrees_of_freedom(self, shape, rank, is_complex=False):
        return rank

    def spectrum(self, S, U, V, *, unit, seed=0, randomized=True):
        U, s, V = self.decompose(np.asarray(S), np.eye(len(S)))
        return TopSpectrum(U, s, V, float(s[0]) * (1 + 1e-15), 0.0, "dense")

    def largest_value(self, S, seed=0):
        return float(np.max(np.abs(np.diag(S))))

    def rough_largest_value(self, S):
        return self.largest_value(S)

    def core_pairs(self, U, V):
        return [(i, i) for i in range(U.shape[1])]

    def derivative(self, whitened, U, V, unseen=(0, 0)):
        return None

    def tangent_columns(self, sides, U, V, blind=None):
        raise AssertionError("there is no derivative")

    def quadratic_map(self, whitened, scale=1.0, units=None):
        return StackedDiagonal(whitened, scale, units)


DIAGONAL = Diagonal()


@dataclass(frozen=True)
class DiagonalModel(fm.Product):
    """``X = diag(u ∘ v)`` with u and v of shape (n, 1), kept as diagonal factors."""

    cone: ClassVar[Cone] = DIAGONAL

    def metric(self, measurement):
        squares = np.diag(np.mean(measurement.matrices() ** 2, axis=0))
        root = Metric.root(squares)
        return root, root

    def random(self, shape, width, rng):
        return np.diag(rng.standard_normal(shape[0])), np.diag(rng.standard_normal(shape[0]))


@pytest.fixture
def problems():
    """Return the same sparse regression as diagonal matrices and as a product of two vectors."""
    rng = np.random.default_rng(0)
    A, x = rng.standard_normal((14, 20)), np.zeros(20)
    x[[2, 7, 11]] = 1.0, -2.0, 0.5
    diagonal = fm.measurements.Dense(np.stack([np.diag(a) for a in A]))
    return fm.Problem(diagonal, A @ x, DiagonalModel()), fm.Problem(
        fm.measurements.Dense(A[:, :, None]), A @ x, fm.Hadamard(2)
    )


def _factors(problem, x):
    model, (D1, D2) = problem.parametrization, problem.metric
    return model.flattest(*model.cone.decompose(D1 @ np.diag(x), D2 @ np.eye(len(x))), (D1, D2))


def test_a_dual_vector_proves_the_same_of_a_new_cone(problems):
    new, old = problems
    solved = fm.flat_minimum(old)
    x, dual = solved.matrix[:, 0], solved.certificate.dual
    proof = certificate_of(new, _factors(new, x), dual)
    assert proof.holds
    assert proof.value == pytest.approx(solved.certificate.value, rel=1e-9)
    assert proof.lower_bound == pytest.approx(solved.certificate.lower_bound, rel=1e-9)
    assert proof.dual_norm == pytest.approx(solved.certificate.dual_norm, rel=1e-12)
    assert proof.unique is solved.certificate.unique is True
    assert proof.q == solved.certificate.q
    assert proof.radius <= 1e-2 * np.linalg.norm(x)
    assert not certificate_of(new, _factors(new, x + 1e-3 * np.eye(20)[0]), dual).holds
    assert not certificate_of(new, _factors(new, x), 0.9 * dual).holds


def test_the_solver_of_convex_programmes_finds_its_flat_minima(problems):
    new, old = problems
    found, solved = fm.flat_minimum(new), fm.flat_minimum(old)
    assert found.status is fm.Status.unique_flat_minimum
    np.testing.assert_allclose(np.diag(found.matrix), solved.matrix[:, 0], atol=1e-6)
    np.testing.assert_array_equal(found.matrix, np.diag(np.diag(found.matrix)))


def test_among_all_matrices_another_one_is_flattest(problems):
    """A negative control: the cone decides what is proved."""
    new, _ = problems
    free = fm.Problem(new.measurement, new.data, fm.Product())
    assert isinstance(free.parametrization.cone, Rectangular)
    assert fm.flat_minimum(free).certificate.value < fm.flat_minimum(new).certificate.value * (1 - 1e-6)
