"""Observed cells with a penalty on factors: ``Φ(L, R) = Σ (w ⟨l, r⟩ − value)² + Σ a |l|² + Σ c |r|²``.

With ``A = diag(a)^½`` and ``C = diag(c)^½``, the minimum of Φ over all factors of a matrix X is
``Σ (w x − value)² + 2 ‖A X C‖_*``. The dual matrix of errors ``e = value − w x`` is ``S = A⁻¹ (w e) C⁻¹``. At the
minimum its norm is at most one, and the columns of the factors are singular vectors of S with the singular value one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import blas

from flatmin._core.arrays import Array
from flatmin.linalg.block_krylov import block_triplets
from flatmin.linalg.metric import svd_of_product
from flatmin.linalg.subspaces import deflate, leading_triplets
from flatmin.measurements import Entries
from flatmin.solvers.task import Task

if TYPE_CHECKING:
    from flatmin.linalg.kernels import CellMatrix, Cells

__all__ = ["MAX_SINGLE", "RegularisedCells", "Side", "relative_alpha"]

#: Accuracy of new columns that are wanted roughly.
ROUGH = 0.2
#: Largest entry that single precision may have to hold: it cannot hold the squares of larger ones.
MAX_SINGLE = 1e18


def relative_alpha(task: Task) -> float:
    """Return alpha divided by a bound on the smallest alpha at which the solution is zero, for `Entries`.

    The bound uses the Frobenius norm of the dual matrix of the data, with average penalties in every row and column.
    """
    problem = task.problem
    assert isinstance(problem.measurement, Entries)
    weights = problem.measurement.weights
    heavy = 1.0 if weights is None else _size(weights)
    a, c = (float(np.mean(D)) for D in _squares(task))
    return 2 * task.alpha / _size(problem.data) / heavy * float(np.sqrt(problem.measurement.size * a * c))


def _squares(task: Task) -> tuple[Array, Array]:
    """Return the squares of the two diagonals of the metric."""
    D1, D2 = (D.tempered(task.metric_power).values ** 2 for D in task.problem.metric)
    return D1, D2


def _size(numbers: Array) -> float:
    """Return the power of two nearest to the root mean square, or one for zeros, without overflow."""
    norm = float(blas.dnrm2(np.ascontiguousarray(numbers, float))) / np.sqrt(len(numbers))
    return float(2.0 ** np.round(np.log2(norm))) if 0 < norm < np.inf else 1.0


@dataclass(frozen=True, eq=False)
class Side:
    """The data of one factor: cells sorted by its rows, their values and weights in this order, and its penalties."""

    cells: Cells
    values: Array
    weights: Array | None
    penalties: Array

    def turned(self, penalties: Array) -> Side:
        """Return the data of the other factor, whose penalties are given."""
        across = self.cells.transposed
        weights = None if self.weights is None else across.arranged(self.weights)
        values = across.arranged(self.values) if len(self.values) else self.values
        return Side(across, values, weights, penalties)

    def bare(self) -> Side:
        """Return the same data without the values."""
        return replace(self, values=self.values[:0])

    def single(self) -> Side:
        """Return the same data in single precision."""
        weights = None if self.weights is None else self.weights.astype(np.float32)
        return replace(self, values=self.values.astype(np.float32), weights=weights)

    def half(self, F: Array) -> tuple[Array, float]:
        """Return the best factor for a given other factor F, and how much lower Φ is than with a factor of zeros."""
        least = np.finfo(F.dtype).tiny  # so that small penalties stay positive
        penalties = np.where(self.penalties > 0, np.maximum(self.penalties, least), 1.0)
        found: tuple[Array, float] = self.cells.ridge(self.values, F, penalties, self.weights)
        return found


@dataclass(frozen=True, eq=False)
class RegularisedCells:
    """A penalised completion problem over factors; values and errors are in the order of the cells.

    Values and weights are of size one on average, so that single precision can hold any data. The data are ``scale``
    times the values, and the matrix of the task is ``unit`` times that of the factors. ``columns``, shape (d2,), are
    the penalties c.
    """

    rows: Side
    columns: Array
    scale: float = 1.0
    unit: float = 1.0

    @classmethod
    def from_task(cls, task: Task) -> RegularisedCells:
        """Return the problem of a task whose measurement is `Entries`, for ``alpha > 0``.

        The objective Φ is the objective of the task times m over ``scale²``. Let ``s = scale`` and ``u = scale /
        unit``. Values are ``b / s``, weights ``w / u``, and the matrix is ``(u / s) X``, so penalties are divided by
        ``s u``.
        """
        problem, entries = task.problem, task.problem.measurement
        assert isinstance(entries, Entries)
        cells, scale, heavy = entries.cells, _size(problem.data), 1.0
        weights = None
        if entries.weights is not None:
            heavy = _size(entries.weights)
            weights = cells.arranged(entries.weights) / heavy
        a, c = (2 * task.alpha / scale / heavy * entries.size * D for D in _squares(task))
        values = cells.arranged(problem.data)
        values = values / scale if cells.order is None else np.divide(values, scale, out=values)
        return cls(Side(cells, values, weights, a), c, scale, scale / heavy)

    def stronger(self, factor: float) -> RegularisedCells:
        """Return the problem with the penalties of both factors multiplied by a number."""
        rows = replace(self.rows, penalties=factor * self.rows.penalties)
        return replace(self, rows=rows, columns=factor * self.columns)

    @cached_property
    def total(self) -> float:
        """The sum of squared values."""
        return float(self.rows.values @ self.rows.values)

    @cached_property
    def roots(self) -> tuple[Array, Array]:
        """The diagonals of A and C."""
        return np.sqrt(self.rows.penalties)[:, None], np.sqrt(self.columns)[:, None]

    @cached_property
    def inverse_roots(self) -> tuple[Array, Array]:
        """The diagonals of the pseudo-inverses of A and C."""
        found = [np.divide(1.0, root, out=np.zeros_like(root), where=root > 0) for root in self.roots]
        return found[0], found[1]

    def errors(self, L: Array, R: Array) -> Array:
        """Return ``value − w x`` at every cell."""
        fitted: Array = self.rows.cells.sampled(L, R)
        if self.rows.weights is not None:
            fitted *= self.rows.weights
        return np.subtract(self.rows.values, fitted, out=fitted)

    def pulled(self, errors: Array) -> Array:
        """Return ``w e``, the errors times the weights."""
        return errors if self.rows.weights is None else errors * self.rows.weights

    def objective(self, L: Array, R: Array) -> float:
        """Return the objective Φ."""
        errors = self.errors(L, R)
        return float(errors @ errors) + self.size(L, R)

    def size(self, L: Array, R: Array) -> float:
        """Return ``Σ a |l|² + Σ c |r|²``."""
        return float(np.sum((self.roots[0] * L) ** 2) + np.sum((self.roots[1] * R) ** 2))

    def canonical(self, L: Array, R: Array) -> tuple[Array, Array, Array]:
        """Return the singular value decomposition ``U, s, V`` of ``A L Rᵀ C``."""
        return svd_of_product(self.roots[0] * L, self.roots[1] * R)

    def factors(self, U: Array, s: Array, V: Array) -> tuple[Array, Array]:
        """Return the balanced factors with ``A L Rᵀ C = U s Vᵀ``."""
        root = np.sqrt(s)
        return self.inverse_roots[0] * (U * root), self.inverse_roots[1] * (V * root)

    def dual_matrix(self, errors: Array) -> CellMatrix:
        """Return the dual matrix S of errors."""
        from flatmin.linalg.kernels import CellMatrix

        cells = self.rows.cells
        values = np.array(self.pulled(errors))
        starts, (left, right) = cells.pointers, self.inverse_roots
        step = max(1, len(left) // 64)
        for i in range(0, len(left), step):  # in pieces, to save memory
            rows = slice(i, i + step)
            piece = slice(starts[i], starts[min(i + step, len(left))])
            values[piece] *= np.repeat(left[rows, 0], np.diff(starts[i : i + step + 1]))
            values[piece] *= right[cells.indices[piece], 0]
        return CellMatrix.from_values(values, cells)

    def escapes(
        self, S: Any, U: Array, V: Array, count: int, seed: int, rough: bool = False
    ) -> tuple[Array, Array, Array]:
        """Return at most ``count`` leading triplets of ``(I − U Uᵀ) S (I − V Vᵀ)``.

        If ``rough``, they come from a short block Krylov iteration.
        """
        count = min(count, min(S.shape) - U.shape[1])
        if count < 1:
            return U[:, :0], np.zeros(0), V[:, :0]
        if not rough:
            return leading_triplets(deflate(S, U, V), count, seed=seed)
        if np.abs(S.data).max(initial=0.0) < MAX_SINGLE:
            S, U, V = (part.astype(np.float32) for part in (S, U, V))
        u, s, v = block_triplets(deflate(S, U, V), count, ROUGH, seed)
        return u.astype(float), s.astype(float), v.astype(float)

    def added(self, L: Array, R: Array, errors: Array, new: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        """Return the factors with new columns for triplets of S above one: the best step along ``U (s − 1) Vᵀ``."""
        U, s, V = new
        P, Q = self.inverse_roots[0] * U, self.inverse_roots[1] * V
        seen = self.pulled(self.rows.cells.sampled(P * (s - 1), Q))
        square = float(seen @ seen)
        root = np.sqrt((s - 1) * (float(np.sum((s - 1) ** 2)) / square))
        return np.hstack([L, P * root]), np.hstack([R, Q * root])
