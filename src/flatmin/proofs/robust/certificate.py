"""Certificates of robust PCA: lower bounds, valid for any dual matrix, on the objective of a split ``Y = X + S``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from flatmin._core.arrays import Array, in_row_major_order
from flatmin.linalg.forward_error import UNIT, gamma, inner_product, rounded_up, spread
from flatmin.linalg.metric import svd_of_product
from flatmin.linalg.nuclear_bound import nuclear_bound
from flatmin.linalg.operator_norm import TopSpectrum, top_spectrum
from flatmin.losses import Absolute, clip_level
from flatmin.measurements import Entries, Identity, Mask
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Bound, Certificate, Fit, check_alpha, ratio
from flatmin.proofs.radius import Stability
from flatmin.proofs.robust.hidden_cells import HIDDEN_FAILURE
from flatmin.proofs.robust.uniqueness import AS_GOOD, Pair, Split, other_splits

__all__ = ["Grid", "dense_part", "gross_errors", "misfit", "robust_certificate"]

#: Singular values of the dual matrix above this number belong to its leading part.
LEADING = 1 - 1e-3
#: Gross errors below this share of the largest datum count as rounding and are set to zero.
NEGLIGIBLE = 1e-10
#: Length of the pieces in which long vectors are summed.
PIECE = 1 << 12


@dataclass(frozen=True, eq=False)
class Grid:
    """The positions of the data in the submatrix of observed rows and columns.

    The masks ``rows`` (d1,) and ``cols`` (d2,) are true where there are data. ``seen`` is the mask of the submatrix,
    None if all of its cells are observed. ``positions`` holds the row and the column of each datum in the submatrix,
    None if the data are in row-major order.
    """

    rows: Array
    cols: Array
    seen: Array | None
    positions: tuple[Array, Array] | None

    @classmethod
    def from_entries(cls, A: Entries) -> Grid:
        """Return the grid of observed entries."""
        rows, cols = (counts > 0 for counts in A.gram_diagonals())
        if isinstance(A, Identity):
            return cls(rows, cols, None, None)
        if isinstance(A, Mask):
            seen = A.seen if rows.all() and cols.all() else A.seen[np.ix_(rows, cols)]
            return cls(rows, cols, None if A.size == seen.size else seen, None)
        places: tuple[Array, Array] = A.rows, A.cols
        if not (rows.all() and cols.all()):
            places = (np.cumsum(rows) - 1)[A.rows], (np.cumsum(cols) - 1)[A.cols]
        seen = np.zeros((int(rows.sum()), int(cols.sum())), bool)
        seen[places] = True
        return cls(
            rows, cols, None if A.size == seen.size else seen, None if in_row_major_order(A.rows, A.cols) else places
        )

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of observed rows and columns."""
        return int(np.count_nonzero(self.rows)), int(np.count_nonzero(self.cols))

    def matrix(self, values: Array) -> Array:
        """Return the matrix of these values, zero in unobserved cells; a view if all are observed."""
        if self.positions is None and self.seen is None:
            return values.reshape(self.shape)
        M = np.zeros(self.shape)
        M[self.seen if self.positions is None else self.positions] = values
        return M

    def values(self, M: Array) -> Array:
        """Return the observed entries of a matrix; a view if all are observed."""
        if self.positions is not None:
            return np.asarray(M[self.positions])
        return M.reshape(-1) if self.seen is None else np.asarray(M[self.seen])


def dense_part(problem: Problem, left: Array, alpha: float) -> Array:
    """Return the dense noise in the residual ``left = Y − X`` of the observed cells; the remainder are gross errors.

    It is the residual clipped to ``± 2 alpha m · weight`` or, with τ, to the level at which ``‖S‖_1 = τ``. This
    division of the residual costs least (docs/theory/robust_noise.md).
    """
    assert isinstance(problem.loss, Absolute)
    if problem.loss.tau is None:
        level = 2 * alpha * left.size * float(problem.loss.weight_for(problem.shape) or 0.0)
    else:
        level = clip_level(np.abs(left), problem.loss.tau)
    return np.clip(left, -level, level)


def gross_errors(problem: Problem, factors: Factors, alpha: float) -> Array:
    """Return the gross errors S (d1, d2): ``Y − X`` on the observed cells, without dense noise and rounding."""
    assert isinstance(problem.measurement, Entries)
    grid = Grid.from_entries(problem.measurement)
    errors = misfit(problem, grid, factors)
    if alpha > 0:
        errors -= dense_part(problem, errors, alpha)
    rounding = NEGLIGIBLE * float(max(problem.data.max(), -problem.data.min()))
    errors[(errors <= rounding) & (errors >= -rounding)] = 0.0
    if grid.shape == problem.shape:
        return grid.matrix(errors)
    sparse = np.zeros(problem.shape)
    sparse[np.ix_(grid.rows, grid.cols)] = grid.matrix(errors)
    return sparse


def robust_certificate(
    problem: Problem,
    factors: Factors,
    dual: Array,
    *,
    alpha: float = 0.0,
    seed: int = 0,
    look_further: bool = True,
) -> Certificate:
    """Return the certificate that a dual matrix W gives a split ``Y = X + S`` with the loss `Absolute`.

    W has the entries ``dual`` on the observed cells and zeros elsewhere. Then no split has a smaller objective than

        ⟨W, Y⟩ / max(1, ‖W‖_op, ‖W‖_∞ / weight)        of  ‖X‖_* + weight · ‖Y − X‖_1,
        (⟨W, Y⟩ − τ ‖W‖_∞) / max(1, ‖W‖_op)             of  ‖X‖_*  with  ‖Y − X‖_1 ≤ τ.

    A split fits the data exactly, since ``S = Y − X``. With τ, the relative residual in the certificate is the excess
    of ‖S‖_1 over τ, divided by ‖Y‖_1. With alpha > 0 there is dense noise as well, see docs/theory/robust_noise.md.
    ``look_further`` asks for a verdict on uniqueness.
    """
    alpha, _ = check_alpha(alpha)
    judged = _Judged.from_factors(problem, factors, dual, seed, alpha)
    value, lower, total = judged.value, judged.lower_bound, _sum(problem.data)
    if alpha > 0:
        value, lower = 4 * alpha * value, 4 * alpha * lower
    fit = Fit(misfit=ratio(judged.excess, total))
    norm, spectrum = judged.norm, judged.spectrum
    bound = Bound(value, lower, norm, spectrum.kind, spectrum.failure, is_penalised=alpha > 0)
    proof = bound.certificate(fit, dual, must_fit=True)
    if not (proof.holds and look_further):
        return proof
    found, kind = other_splits(judged.split(), judged.is_matched_by, seed)
    random = kind == "probabilistic"
    proof = proof.with_uniqueness(found, kind if random else spectrum.kind, HIDDEN_FAILURE if random else None)
    return replace(proof, stability=judged.fitting(found.stability)).confirmed(
        None if found.alternative is None else judged.whole(found.alternative),
        lambda other: robust_certificate(problem, other, dual, alpha=alpha, seed=seed, look_further=False),
    )


@dataclass(frozen=True, eq=False)
class _Judged:
    """A split and a dual matrix on the observed rows and columns, in units in which noise N costs ``‖N‖² / 2μ``."""

    problem: Problem
    grid: Grid
    pair: Pair
    X: tuple[Array, Array, Array]
    errors: Array
    noise: Array | None
    dual: Array
    spectrum: TopSpectrum
    alpha: float

    @classmethod
    def from_factors(cls, problem: Problem, factors: Factors, dual: Array, seed: int, alpha: float) -> _Judged:
        assert isinstance(problem.measurement, Entries)
        grid = Grid.from_entries(problem.measurement)
        U, s, V = problem.parametrization.singular(factors, problem.metric)
        kept = s > 1e-13 * np.max(s, initial=0.0)
        W = grid.matrix(dual)
        spectrum = top_spectrum(W, U[grid.rows][:, kept], V[grid.cols][:, kept], unit=LEADING, seed=seed)
        del W
        left = misfit(problem, grid, factors)
        noise = dense_part(problem, left, alpha) if alpha > 0 else None
        pair = problem.parametrization.pair(factors)
        return cls(
            problem, grid, pair, (U, s, V), left if noise is None else left - noise, noise, dual, spectrum, alpha
        )

    @property
    def loss(self) -> Absolute:
        assert isinstance(self.problem.loss, Absolute)
        return self.problem.loss

    @property
    def weight(self) -> float:
        """The cost of a unit of error; with τ, the one that the dual matrix implies."""
        given = self.loss.weight_for(self.problem.shape)
        return _largest(self.dual) / max(1.0, self.norm) if given is None else given

    @property
    def norm(self) -> float:
        """The number by which the dual matrix must be divided to be feasible, if it exceeds one."""
        given = self.loss.weight_for(self.problem.shape)
        if given is None:
            return self.spectrum.norm
        return max(self.spectrum.norm, rounded_up(_largest(self.dual) / given, 1))

    @property
    def penalty(self) -> float:
        return 2 * self.alpha * len(self.dual)

    @cached_property
    def value(self) -> float:
        """An upper bound on the objective, rounding counted."""
        given = self.loss.weight_for(self.problem.shape)
        gross = 0.0 if given is None else given * (self._gross + self._rounding)
        dense = 0.0 if self.noise is None else _square(self.noise) / (2 * self.penalty)
        return rounded_up(nuclear_bound(self.problem.metric, self.pair, self.X) + gross + dense)

    @property
    def excess(self) -> float:
        """An upper bound on the excess of the errors over their limit, rounding counted."""
        return 0.0 if self.loss.tau is None else max(0.0, self._gross + self._rounding - self.loss.tau)

    @cached_property
    def _gross(self) -> float:
        return _sum(self.errors) * (1 + gamma(2 * PIECE + len(self.errors) / PIECE))

    @property
    def _rounding(self) -> float:
        """A bound on the sum of the rounding errors of all gross errors."""
        sums = [float(np.linalg.norm(F, axis=1).sum()) for F in self.pair]
        size = sums[0] * sums[1] + _sum(self.problem.data)
        return 1.01 * gamma(self.pair[0].shape[1] + 8) * size

    @property
    def _cell_rounding(self) -> float:
        """A bound on the Frobenius norm of the rounding errors of all gross errors."""
        size = float(np.prod([np.linalg.norm(F) for F in self.pair])) + float(np.linalg.norm(self.problem.data))
        return 1.01 * gamma(self.pair[0].shape[1] + 8) * size

    @cached_property
    def lower_bound(self) -> float:
        """A lower bound on the objective of every split, rounding counted."""
        allowance = 0.0 if self.loss.tau is None else self.loss.tau * _largest(self.dual)
        pairing, error = inner_product(self.problem.data, self.dual)
        scale = 1 / max(1.0, self.norm)
        gained, lost = scale * (pairing - allowance), scale * error + scale**2 * self._squares / 2
        return gained - lost - 8 * UNIT * (scale * (abs(pairing) + allowance) + lost)

    def split(self) -> Split:
        """Return the split with a feasible dual matrix and a bound on other noise (docs/theory/robust_noise.md)."""
        U, s, V = self.X
        shrunk = 1 / max(1.0, self.norm)
        dual = self.dual if shrunk == 1 else self.dual * shrunk
        size = self.value + self.excess
        gap = rounded_up(max(0.0, size - self.lower_bound))
        noise, (L, R) = 0.0, self.pair
        if self.noise is not None:
            unbalanced = float(np.linalg.norm(self.noise - self.penalty * dual))
            unbalanced += 4 * UNIT * (float(np.linalg.norm(self.noise)) + self.penalty * float(np.linalg.norm(dual)))
            noise = (unbalanced + float(np.sqrt(2 * self.penalty * gap))) * (1 + gamma(dual.size + 8))
        return Split(
            X=svd_of_product(U[self.grid.rows] * s, V[self.grid.cols]),
            pair=(L[self.grid.rows], R[self.grid.cols]),
            errors=self.grid.matrix(self.errors),
            seen=np.ones(self.grid.shape, bool) if self.grid.seen is None else self.grid.seen,
            W=self.grid.matrix(dual),
            spectrum=self.spectrum.scaled(shrunk),
            weight=self.weight,
            gap=gap,
            size=size,
            rounding=self._cell_rounding,
            noise=noise,
        )

    def fitting(self, found: Stability | None) -> Stability | None:
        """Return the constants for splits that fit the data, from those for minimisers of a penalised problem."""
        if found is None or self.noise is None:
            return found
        split = self.split()
        size = split.size - float(self.noise @ self.noise) / (2 * self.penalty)
        dual, data = self.grid.values(split.W), self.problem.data
        pairing, error = inner_product(dual, data)
        error += 2 * UNIT * spread(dual * data) + 8 * UNIT * split.size  # of the scaled dual matrix, and of this sum
        gap = found.gap - split.gap + size - pairing + error
        misfit = found.misfit - split.noise + float(np.linalg.norm(self.noise)) * (1 + gamma(data.size + 8))
        return replace(found, gap=gap, size=size, misfit=misfit)

    def is_matched_by(self, other: Pair) -> bool:
        """Return whether other factors make a split that is as good, up to rounding."""
        triplets, (left, right) = svd_of_product(*other), other
        errors = self.problem.data - self.grid.values(np.asarray(left @ right.T))
        noise = dense_part(self.problem, errors, self.alpha) if self.alpha > 0 else None
        if noise is not None:
            errors -= noise
        fits = self._excess(errors) <= AS_GOOD * _sum(self.problem.data)
        return bool(fits and self._value(triplets[1], errors, noise) <= self.value * (1 + AS_GOOD))

    def whole(self, pair: Pair) -> Factors:
        """Return the flattest factors of the matrix ``L Rᵀ`` of a pair, zero outside the observed rows and columns."""
        rows, cols = self.grid.rows, self.grid.cols
        L, R = np.zeros((len(rows), pair[0].shape[1])), np.zeros((len(cols), pair[1].shape[1]))
        L[rows], R[cols] = pair
        U, s, V = svd_of_product(L, R)
        kept = s > 1e-13 * np.max(s, initial=0.0)
        return self.problem.parametrization.flattest(U[:, kept], s[kept], V[:, kept], self.problem.metric)

    @property
    def _squares(self) -> float:
        return self.penalty * _square(self.dual) if self.alpha > 0 else 0.0

    def _value(self, s: Array, errors: Array, noise: Array | None) -> float:
        given = self.loss.weight_for(self.problem.shape)
        gross = 0.0 if given is None else given * _sum(errors)
        dense = 0.0 if noise is None else float(noise @ noise) / (2 * self.penalty)
        return float(s.sum()) + gross + dense

    def _excess(self, errors: Array) -> float:
        return 0.0 if self.loss.tau is None else max(0.0, _sum(errors) - self.loss.tau)


def misfit(problem: Problem, grid: Grid, factors: Factors) -> Array:
    """Return ``Y − X`` on the observed cells."""
    L, R = problem.parametrization.pair(factors)
    left = grid.values(L[grid.rows] @ R[grid.cols].T)
    return np.asarray(np.subtract(problem.data, left, out=left))


def _largest(values: Array) -> float:
    """Return the largest absolute entry of a vector, without a copy."""
    return float(max(values.max(), -values.min()))


def _square(values: Array) -> float:
    """Return an upper bound on the squared norm of a vector."""
    found, error = inner_product(values, values)
    return found + error


def _sum(values: Array) -> float:
    """Return the sum of the absolute entries of a vector, piece by piece."""
    pieces = np.array_split(values, 1 + len(values) // PIECE)
    return float(np.sum([np.abs(piece).sum() for piece in pieces]))
