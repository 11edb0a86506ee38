"""What a proof about products shows: its bounds, uniqueness and radius, in exact numbers."""

from fractions import Fraction
from functools import cached_property

import numpy as np

from tests.proofs.exact.elimination import (
    exact,
    identity,
    inverse,
    inverse_form,
    is_semidefinite,
    largest_eigenvalue_above,
    null_space,
    reduced,
    root_above,
    times,
)
from tests.proofs.exact.proof_file import Refused, array, number, real, require
from tests.proofs.exact.sensing import Cells

#: Bits to which irrational numbers are approximated.
BITS = 400


class Rectangular:
    """What a proof about products ``X = L Rᵀ`` shows."""

    factor = 4

    def __init__(self, proof, A, b):
        self.proof, self.A, self.b, self.model = proof, A, b, proof["model"]
        self.counts = A.size, *A.shape
        self.is_complex = self.model["complex"]
        self.L, self.C, self.R = self.factors()
        d1, d2 = A.shape
        require(self.L.shape[0] == d1 and self.R.shape[0] == d2, "factors of another shape")
        require(self.C.shape == (self.L.shape[1], self.R.shape[1]), "a core of another shape")
        self.X = times(self.L, self.C, self.R.T)
        self.residual = b - A.forward(self.X)

    def factors(self):
        point = self.proof["point"]
        return tuple(real(array(point[name]), self.is_complex) for name in ("L", "C", "R"))

    def dual(self, name):
        duals = self.proof["duals"]
        values = array(duals[name if name in duals else "value"])
        require(values.shape == self.b.shape and not np.iscomplexobj(values), "a dual of another length")
        return exact(values)

    def guess(self, name):
        """Return a constant of the proof; elimination decides whether it is right."""
        require(name in self.proof["constants"], f"{name} is missing")
        return Fraction(float.fromhex(self.proof["constants"][name]))

    @cached_property
    def alpha(self):
        value = Fraction(float.fromhex(self.model["alpha"]))
        require(value > 0, "alpha is not positive")
        return value

    # -- metric --

    @cached_property
    def true_metric(self):
        """G1 and G2 at metric_power 1."""
        (rows, cols), (d1, d2) = self.A.squares, self.A.shape
        return rows / Fraction(self.A.size * d2), cols / Fraction(self.A.size * d1)

    @cached_property
    def metric(self):
        if self.model["metric_power"] == 1:
            return self.true_metric
        return tuple(identity(len(G)) * (np.trace(G) / len(G)) for G in self.true_metric)

    @property
    def spread(self):
        """A bound on ``‖A(H)‖`` over the whitened nuclear norm of H."""
        (m, d1, d2), (g1, g2) = self.counts, self.floors
        if self.model["metric_power"] == 1:
            return root_above(min(m * d2 / g2, m * d1 / g1))
        tops = [largest_eigenvalue_above(G) for G in self.true_metric]
        return root_above(min(m * d2 * tops[0], m * d1 * tops[1]) / (g1 * g2))

    @cached_property
    def floors(self):
        """Positive numbers with ``G1 ⪰ g1`` and ``G2 ⪰ g2``."""
        floors = self.guess("g1"), self.guess("g2")
        for G, g in zip(self.metric, floors, strict=True):
            require(g > 0 and is_semidefinite(G - g * identity(len(G))), "the metric is smaller than claimed")
        return floors

    # -- value --

    def is_feasible(self, Lambda):
        G1, G2 = self.metric
        return is_semidefinite(np.block([[G1, -Lambda], [-Lambda.T, G2]]))

    @cached_property
    def lower(self):
        """The bound from below that the dual of the value proves."""
        dual = self.dual("value")
        require(self.is_feasible(self.A.adjoint(dual)), "the dual is not feasible")
        bound = self.factor * (self.b @ dual)
        if self.model["objective"] == "penalised":
            f = self.factor * self.alpha
            return self.alpha * bound - f * f * self.A.size * (dual @ dual) / 4
        return bound

    @cached_property
    def polar(self):
        """(X, M, gap): ``P M Qᵀ`` is the polar factor of ``D1 X̂ D2 = P C Qᵀ``, up to the Frobenius distance ``gap``.

        M = a⁻¹ C⁻ᵀ X, and X, the solution of ``X c X = Cᵀ a C``, is the geometric mean of c⁻¹ and Cᵀ a C.
        """
        G1, G2 = self.metric
        a, c = times(self.L.T, G1, self.L), times(self.R.T, G2, self.R)
        B = times(self.C.T, a, self.C)
        ready = len(a) == len(c) and inverse(c) is not None and inverse(B) is not None
        require(ready, "X̂ has a smaller rank than its factors, or the metric vanishes on them")
        X = geometric_mean(inverse(c), B)
        exact_M = times(inverse(a), inverse(self.C).T, X)
        M, miss = on_grid(exact_M), times(X, c, X) - B
        gap = root_above(np.trace(times(c, miss, c, miss))) * np.trace(times(inverse(B), inverse(c)))
        gap += root_above(np.trace(times(a, M - exact_M, c, (M - exact_M).T)))
        return a, c, B, X, M, gap

    @cached_property
    def norm_bounds(self):
        """Bounds from below and above on the nuclear norm of ``D1 X̂ D2``, equal to some hundred digits."""
        _, c, B, X, _, _ = self.polar
        stretch = 1 + Fraction(1, 1 << (BITS // 2))
        while not is_semidefinite(inverse(c) * stretch - symmetric(times(X, inverse(B), X))):
            stretch = 1 + 16 * (stretch - 1)
        half = np.trace(times(c, X)), np.trace(times(B, inverse(X)))
        return half[0] / stretch, (half[0] + half[1]) / 2

    @cached_property
    def norm_above(self):
        """A bound from above on the nuclear norm of ``D1 X̂ D2``, which also a singular core has."""
        try:
            return self.norm_bounds[1]
        except Refused:
            (G1, G2), left = self.metric, times(self.L, self.C)
            return (np.sum(left * times(G1, left)) + np.sum(self.R * times(G2, self.R))) / 2

    @cached_property
    def upper(self):
        """The bound from above on the flattest value of exact fits, or on the objective."""
        value = self.factor * self.norm_above
        if self.model["objective"] == "penalised":
            return self.alpha * value + (self.residual @ self.residual) / self.A.size
        return value + self.factor * self.correction

    @cached_property
    def correction(self):
        """A bound on the whitened nuclear norm of some E with ``A(E)`` equal to the residual."""
        if not self.residual.any():
            return Fraction(0)
        if isinstance(self.A, Cells):
            return self.cell_correction()
        squares = inverse_form(self.A.gram, self.residual)
        require(squares is not None, "no correction is known: the measurements are dependent")
        sizes = [max(sum(abs(x) for x in row) for row in G) for G in self.metric]
        return root_above(min(self.A.shape) * sizes[0] * sizes[1] * squares)

    def cell_correction(self):
        places = list(zip(self.A.rows, self.A.cols, strict=True))
        require(len(set(places)) == len(places), "a cell is observed twice")
        (G1, G2), E = self.metric, {}
        for (i, j), w, r in zip(places, self.A.weights, self.residual, strict=True):
            require(w or not r, "a cell of weight zero cannot be fitted")
            E[i, j] = (r / w) ** 2 * G1[i, i] * G2[j, j] if w else Fraction(0)
        return min(sum(map(root_above, E.values())), root_above(min(self.A.shape) * sum(E.values())))

    # -- uniqueness --

    @cached_property
    def seen(self):
        """The evidence within the seen rows and columns; matrices are assumed to vanish in others."""
        rows, cols = (np.array([bool(x) for x in np.diag(G)]) for G in self.true_metric)
        if rows.all() and cols.all():
            return self
        require(not self.L[~rows].any() and not self.R[~cols].any(), "X̂ does not vanish in unseen rows or columns")
        inside = object.__new__(type(self))
        inside.__dict__.update(self.__dict__, L=self.L[rows], R=self.R[cols], X=self.X[rows][:, cols])
        inside.A = self.A.within(rows, cols)
        if isinstance(self.A, Cells):
            inside.A, kept = inside.A
            inside.kept, inside.residual = kept, self.residual[kept]
            inside.b = self.b[kept]
            inside.dual = lambda name: self.dual(name)[kept]
            require(kept.all() or not self.residual[~kept].any(), "a cell of weight zero cannot be fitted")
        scaled = [G[np.ix_(s, s)] for G, s in zip(self.metric, (rows, cols), strict=True)]
        full = [G[np.ix_(s, s)] for G, s in zip(self.true_metric, (rows, cols), strict=True)]
        inside.__dict__.update(metric=tuple(scaled), true_metric=tuple(full))
        return inside

    @property
    def tangent(self):
        """Matrices that are a basis of the tangent space at X̂, shape (p, d1, d2)."""
        d1, d2 = self.A.shape
        pivots = reduced(self.L.T)[1]
        basis = [np.outer(x, e) for x in self.L.T for e in identity(d2)]
        basis += [np.outer(e, y) for y in self.R.T for i, e in enumerate(identity(d1)) if i not in pivots]
        return np.array(basis, object)

    @cached_property
    def jacobian(self):
        """The measurements of the tangent basis, shape (m, p)."""
        return np.array([self.sensed(T) for T in self.tangent], object).T

    def sensed(self, X):
        """Return the measurements whose injectivity on the tangent space makes X̂ unique."""
        return self.A.forward(X)

    @cached_property
    def pairing(self):
        """``⟨Y − UVᵀ, D1 T D2⟩`` for each T of the tangent basis, with the approximate polar factor."""
        (G1, G2), M = self.metric, self.polar[4]
        gap = self.A.adjoint(self.dual("uniqueness")) - times(G1, self.L, M, self.R.T, G2)
        return np.array([np.sum(gap * T) for T in self.tangent], object)

    @property
    def mass(self):
        """The whitened inner products of the tangent basis."""
        (G1, G2), basis = self.metric, self.tangent
        flat = basis.reshape(len(basis), -1)
        return times(np.array([times(G1, T, G2) for T in basis], object).reshape(len(basis), -1), flat.T) * self.A_half

    A_half = Fraction(1)

    @cached_property
    def sigma(self):
        """A number, rounded down, with ``‖A(H)‖ ≥ σ ‖H‖`` on the tangent space."""
        square, J = self.guess("sigma2"), self.jacobian
        require(square > 0 and is_semidefinite(times(J.T, J) - square * symmetric(self.mass)), "σ is too large")
        return square / root_above(square)

    @cached_property
    def kappa(self):
        """The least number with ``|⟨UVᵀ − Y, H⟩| ≤ κ ‖A(H)‖`` on the tangent space, rounded up."""
        square = inverse_form(times(self.jacobian.T, self.jacobian), self.pairing)
        require(square is not None, "the measurements are not injective on the tangent space")
        return root_above(square) + self.polar[5] / self.sigma

    @cached_property
    def delta(self):
        """The margin of the dual outside the tangent space."""
        (G1, G2), delta = self.metric, self.guess("delta")
        Lambda = self.A.adjoint(self.dual("uniqueness"))
        N1, N2 = null_space(times(self.L.T, G1)), null_space(times(self.R.T, G2))
        mixed = times(N1.T, -Lambda, N2) if N1.size and N2.size else exact(np.zeros((N1.shape[1], N2.shape[1]), int))
        outside = np.block(
            [
                [(1 - delta) * times(N1.T, G1, N1), mixed],
                [mixed.T, (1 - delta) * times(N2.T, G2, N2)],
            ]
        )
        require(is_semidefinite(outside), "the margin is smaller than claimed")
        return delta

    @cached_property
    def slack(self):
        """``δ − κ · spread``, positive if X̂ is unique for the data ``A(X̂)``."""
        slack = self.delta - self.kappa * self.spread
        require(slack > 0, "uniqueness is not proved")
        return slack

    def radius(self, statement):
        """Return a bound on the distance of exact fits as flat as ``upper``, ``0`` if none exists."""
        inside, upper = self.seen, number(statement["upper"])
        return inside.distance(upper)

    def distance(self, upper):
        size = root_above(self.residual @ self.residual)
        excess = upper / self.factor - self.norm_bounds[0] - self.dual("uniqueness") @ self.residual
        excess += self.kappa * size
        if excess < 0:
            return Fraction(0)
        h = excess / self.slack
        w = (size + self.spread * h) / self.sigma
        return root_above((w * w + h * h) / (self.floors[0] * self.floors[1]))

    def is_unique(self):
        return self.seen.slack > 0


def symmetric(M):
    return (M + M.T) / 2


def geometric_mean(A, B):
    """Return the geometric mean of two positive definite matrices, rounded, by the arithmetic-harmonic mean."""
    for _ in range(200):
        A, B = on_grid(symmetric(A + B) / 2), on_grid(symmetric(2 * inverse(inverse(A) + inverse(B))))
        if np.max(abs(A - B)) <= np.max(abs(A)) / (1 << (BITS - 20)):
            return A
    raise Refused("the metric at X̂ is too ill-conditioned")


def on_grid(M):
    """Return M rounded to multiples of ``2^-BITS`` of its largest entry."""
    largest = np.max(abs(M))
    scale = Fraction(2) ** (BITS + largest.denominator.bit_length() - largest.numerator.bit_length())
    return np.array([[Fraction(round(x * scale)) / scale for x in row] for row in M], object)
