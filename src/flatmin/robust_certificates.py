"""Proofs that a split into low rank and gross errors is best: lower bounds that hold for any dual matrix at all."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flatmin.certificates import LARGEST_GAP, LARGEST_RESIDUAL, Certificate, ratio
from flatmin.losses import Absolute
from flatmin.measurements import Entries
from flatmin.metric import Array, svd_of_product
from flatmin.operator_norm import EPS, TopSpectrum, top_spectrum
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.robust_uniqueness import AS_GOOD, Pair, Split, other_splits

__all__ = ["robust_certificate"]

#: Singular values of a dual matrix that reach this belong to its leading part.
LEADING = 1 - 1e-3
#: Rounding errors of objective and bound are no more than this share of the sums behind them.
ROUNDING = 10 * EPS


def robust_certificate(
    problem: Problem, factors: Factors, dual: Array, *, seed: int = 0, look_further: bool = True
) -> Certificate:
    """Return what a dual matrix W proves about a split ``Y = X + S`` with the loss `Absolute`.

    W has the entries ``dual`` on the observed cells and zeros elsewhere. Then no split has a smaller objective than

        ⟨W, Y⟩ / max(1, ‖W‖_op, ‖W‖_∞ / weight)        of  ‖X‖_* + weight · ‖Y − X‖_1,
        (⟨W, Y⟩ − τ ‖W‖_∞) / max(1, ‖W‖_op)             of  ‖X‖_*  with  ‖Y − X‖_1 ≤ τ.

    A split is exact, since S is whatever X leaves: the residual is zero, and with τ what ‖S‖_1 has above it, over
    ‖Y‖_1.

    Parameters
    ----------
    problem : Problem
        A problem whose loss is `Absolute`.
    factors : tuple of ndarray
        The factors (L, R) of X.
    dual : ndarray, shape (m,)
        Any vector.
    seed : int
        Starts the Lanczos iterations that choose a subspace, or bound one.
    look_further : bool
        Whether to look at other splits as well.
    """
    judged = _Judged.of(problem, factors, dual, seed)
    value, lower, total = judged.value, judged.lower_bound, float(np.abs(problem.data).sum())
    gap, residual = ratio(value - lower, value), ratio(judged.excess, total)
    holds = abs(gap) <= LARGEST_GAP and residual <= LARGEST_RESIDUAL and judged.spectrum.kind != "estimated"
    proof = Certificate(
        holds=bool(holds),
        objective="interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=residual,
        residual_reach=0.0,
        whitened_residual=0.0,
        dual=dual,
        dual_norm=judged.norm,
        bound_kind=judged.spectrum.kind,
    )
    if not (holds and look_further):
        return proof
    found, kind = other_splits(judged.split(), judged.is_matched_by, seed)
    proof = replace(
        proof,
        unique=found.unique,
        q=found.q,
        injectivity=found.injectivity,
        margin=found.margin,
        margin_kind=kind if kind == "probabilistic" else judged.spectrum.kind,
        stability=found.stability,
        radius=None if found.stability is None else found.stability.radius(),
    )
    if found.alternative is None:
        return proof
    alternative = judged.whole(found.alternative)
    confirmed = robust_certificate(problem, alternative, dual, seed=seed, look_further=False).holds
    return replace(proof, alternative=alternative) if confirmed else replace(proof, unique=None)


@dataclass(frozen=True, eq=False)
class _Judged:
    """A split and a dual matrix on the rows and columns that are seen at all."""

    problem: Problem
    rows: Array
    cols: Array
    positions: tuple[Array, Array]
    X: tuple[Array, Array, Array]
    residual: Array
    dual: Array
    spectrum: TopSpectrum

    @classmethod
    def of(cls, problem: Problem, factors: Factors, dual: Array, seed: int) -> _Judged:
        A = problem.measurement
        assert isinstance(A, Entries)
        rows, cols = (counts > 0 for counts in A.gram_diagonals())
        positions = (np.cumsum(rows) - 1)[A.rows], (np.cumsum(cols) - 1)[A.cols]
        U, s, V = problem.parametrization.singular(factors, problem.metric)
        W = np.zeros((np.count_nonzero(rows), np.count_nonzero(cols)))
        W[positions] = dual
        kept = s > 1e-13 * np.max(s, initial=0.0)
        spectrum = top_spectrum(W, U[rows][:, kept], V[cols][:, kept], unit=LEADING, seed=seed)
        return cls(problem, rows, cols, positions, (U, s, V), problem.residual(factors), dual, spectrum)

    @property
    def loss(self) -> Absolute:
        """How errors are counted."""
        assert isinstance(self.problem.loss, Absolute)
        return self.problem.loss

    @property
    def weight(self) -> float:
        """What a unit of error costs; with τ what the dual matrix makes of it."""
        given = self.loss.weight_for(self.problem.shape)
        return float(np.max(np.abs(self.dual))) / max(1.0, self.norm) if given is None else given

    @property
    def norm(self) -> float:
        """What the dual matrix is divided by, where it exceeds one."""
        given = self.loss.weight_for(self.problem.shape)
        return (
            self.spectrum.norm if given is None else max(self.spectrum.norm, float(np.max(np.abs(self.dual))) / given)
        )

    @property
    def value(self) -> float:
        """The objective."""
        return self._value(self.X[1], self.residual)

    @property
    def excess(self) -> float:
        """What the errors have above τ."""
        return self._excess(self.residual)

    @property
    def lower_bound(self) -> float:
        """No split has a smaller objective."""
        allowance = 0.0 if self.loss.tau is None else self.loss.tau * float(np.max(np.abs(self.dual)))
        return (float(self.problem.data @ self.dual) - allowance) / max(1.0, self.norm)

    def split(self) -> Split:
        """Return what other splits are judged by, with a dual matrix that is feasible."""
        U, s, V = self.X
        left, right = U[self.rows] * s, V[self.cols]
        shrunk = 1 / max(1.0, self.norm)
        seen, errors, W = (np.zeros((len(left), len(right))) for _ in range(3))
        seen[self.positions], errors[self.positions], W[self.positions] = 1.0, -self.residual, self.dual * shrunk
        size = self.value + self.excess
        rounding = ROUNDING * (size + self.weight * float(np.abs(self.problem.data).sum()))
        return Split(
            X=svd_of_product(left, right),
            errors=errors,
            seen=seen > 0,
            W=W,
            spectrum=self.spectrum.scaled(shrunk),
            weight=self.weight,
            gap=max(0.0, size - self.lower_bound) + rounding,
            size=size,
        )

    def is_matched_by(self, other: Pair) -> bool:
        """Return whether other factors make a split that is as good, up to rounding."""
        triplets, (left, right) = svd_of_product(*other), other
        rows, cols = self.positions
        residual = np.asarray(left @ right.T)[rows, cols] - self.problem.data
        fits = self._excess(residual) <= AS_GOOD * float(np.abs(self.problem.data).sum())
        return bool(fits and self._value(triplets[1], residual) <= self.value * (1 + AS_GOOD))

    def whole(self, pair: Pair) -> Factors:
        """Return the flattest factors of a matrix on the rows and columns seen, with zeros elsewhere."""
        L, R = np.zeros((len(self.rows), pair[0].shape[1])), np.zeros((len(self.cols), pair[1].shape[1]))
        L[self.rows], R[self.cols] = pair
        U, s, V = svd_of_product(L, R)
        kept = s > 1e-13 * np.max(s, initial=0.0)
        return self.problem.parametrization.flattest(U[:, kept], s[kept], V[:, kept], self.problem.metric)

    def _value(self, s: Array, residual: Array) -> float:
        given = self.loss.weight_for(self.problem.shape)
        return float(s.sum()) + (0.0 if given is None else given * float(np.abs(residual).sum()))

    def _excess(self, residual: Array) -> float:
        return 0.0 if self.loss.tau is None else max(0.0, float(np.abs(residual).sum()) - self.loss.tau)
