"""What a proof about symmetric or positive semidefinite matrices shows, in exact numbers."""

from fractions import Fraction
from functools import cached_property

import numpy as np

from tests.proofs.exact.elimination import (
    exact,
    identity,
    inverse_form,
    is_semidefinite,
    largest_eigenvalue_above,
    null_space,
    reduced,
    root_above,
    times,
)
from tests.proofs.exact.products import Rectangular
from tests.proofs.exact.proof_file import array, number, real, require
from tests.proofs.exact.sensing import Vectors, require_hermitian


class Symmetric(Rectangular):
    """What a proof about symmetric matrices ``X = U C Uᵀ`` shows."""

    factor = 8

    def factors(self):
        U, C = (real(array(self.proof["point"][name]), False) for name in ("U", "C"))
        require(np.array_equal(C, C.T), "the core is not symmetric")
        return U, C, U

    def __init__(self, proof, A, b):
        super().__init__(proof, A, b)
        require_hermitian(A)

    @cached_property
    def true_metric(self):
        G = self.A.squares[0] / Fraction(self.A.size)
        return G, G

    @property
    def spread(self):
        (g, _), (m, _, _) = self.floors, self.counts
        if self.model["metric_power"] == 1:
            return root_above(m / g)
        return root_above(m * largest_eigenvalue_above(self.true_metric[0])) / g

    @cached_property
    def floors(self):
        G, g = self.metric[0], self.guess("g1")
        require(g > 0 and is_semidefinite(G - g * identity(len(G))), "the metric is smaller than claimed")
        return g, g

    @property
    def tangent(self):
        return hermitian_tangent(self.L, False)


class Semidefinite(Symmetric):
    """What a proof about positive semidefinite matrices ``X = U C U*`` shows."""

    def factors(self):
        point = self.proof["point"]
        U = real(array(point["U"]), self.is_complex)
        C = real(array(point["C"]), self.is_complex) if "C" in point else identity(U.shape[1])
        require(np.array_equal(C, C.T) and is_semidefinite(C), "the core is not positive semidefinite")
        return U, C, U

    @property
    def A_half(self):
        return self.A.half if self.is_complex else Fraction(1)

    @property
    def is_determined(self):
        """Whether all exact fits have the same trace."""
        return isinstance(self.A, Vectors) and self.model["metric_power"] == 1

    def dual(self, name):
        if self.is_determined and name == "value" and name not in self.proof["duals"]:
            return self.A.lengths[0] / Fraction(self.A.size)
        return super().dual(name)

    def is_feasible(self, Lambda):
        return is_semidefinite(self.metric[0] - Lambda)

    @cached_property
    def lower(self):
        if self.is_determined and self.model["objective"] == "interpolating":
            return 8 * (self.A.lengths[0] @ self.b) / self.A.size
        return super().lower

    @cached_property
    def upper(self):
        value = 8 * np.sum(self.X * self.metric[0]) * self.A_half
        if self.model["objective"] == "penalised":
            return self.alpha * value + (self.residual @ self.residual) / self.A.size
        require(not self.residual.any(), "X̂ does not fit exactly")
        return value

    @cached_property
    def W(self):
        Lambda = self.A.adjoint(self.dual("uniqueness"))
        return Lambda if self.is_determined else self.metric[0] - Lambda

    @property
    def seen(self):
        return self

    @property
    def tangent(self):
        return hermitian_tangent(self.L, self.is_complex)

    @property
    def mass(self):
        flat = self.tangent.reshape(len(self.tangent), -1)
        return times(flat, flat.T) * self.A_half

    @property
    def spread(self):
        return root_above(self.A.size * largest_eigenvalue_above(self.true_metric[0]))

    @cached_property
    def kappa(self):
        g = np.array([np.sum(self.W * T) for T in self.tangent], object) * self.A_half
        square = inverse_form(times(self.jacobian.T, self.jacobian), g)
        require(square is not None, "the measurements are not injective on the tangent space")
        return root_above(square)

    @cached_property
    def delta(self):
        t, N = self.guess("t"), null_space(self.L.T)
        if N.size:
            require(is_semidefinite(times(N.T, self.W, N) - t * times(N.T, N)), "the margin is smaller than claimed")
        return t

    def radius(self, statement):
        size = root_above(self.residual @ self.residual)
        dual = self.dual("uniqueness")
        if "noise" in statement:
            require(self.is_determined, "a radius with noise needs vectors and metric_power 1")
            noise = number(statement["noise"])
            require(noise >= 0, "negative noise")
            size += noise
            excess = root_above(dual @ dual) * size
        else:
            excess = number(statement["upper"]) / 8 - np.sum(self.X * self.metric[0]) * self.A_half
            excess -= dual @ self.residual
        h = (excess + self.kappa * size) / self.slack
        if h < 0:
            return Fraction(0)
        w = (size + self.spread * h) / self.sigma
        return root_above(w * w + h * h)


def hermitian_tangent(U, is_complex):
    """Return a basis of the matrices ``U E* + E U*`` in real form: ``U K U*``, K Hermitian, and E off pivot rows."""
    step = 2 if is_complex else 1
    d, r = U.shape[0] // step, U.shape[1] // step
    top = U[:d] if is_complex else U
    pivots = complex_pivots(U, d, r) if is_complex else reduced(top.T)[1]
    require(len(pivots) == r, "the columns of U are dependent")
    basis = [times(U, K, U.T) for K in hermitian_units(r, is_complex)]
    for i in range(d):
        for k in range(r):
            if i not in pivots:
                for phase in range(step):
                    E = unit((d, r), i, k, phase, is_complex)
                    basis.append(times(U, E.T) + times(E, U.T))
    return np.array(basis, object)


def unit(shape, i, k, phase, is_complex):
    """Return the real form of the matrix with the entry 1, or i for phase 1, at one place."""
    E = np.zeros(shape, complex)
    E[i, k] = 1j if phase else 1
    return real(E, True) if is_complex else exact(E.real.astype(int))


def hermitian_units(r, is_complex):
    """Return a basis of the Hermitian matrices of order r."""
    for i in range(r):
        yield unit((r, r), i, i, 0, is_complex)
        for j in range(i):
            for phase in range(2 if is_complex else 1):
                E = unit((r, r), i, j, phase, is_complex)
                yield E + E.T


def complex_pivots(U, d, r):
    """Return rows of a complex U, given in real form (2d, 2r), that make an invertible matrix."""
    chosen = []
    for i in range(d):
        rows = [*chosen, i]
        block = U[[*rows, *(d + k for k in rows)]]
        if len(reduced(block)[1]) == 2 * len(rows):
            chosen = rows
    return chosen
