"""Observations: the observed cells of a matrix with offsets, and the problems of all or some of them."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import shown
from flatmin.errors import InputError
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._completion.table import in_rows
from flatmin.measurements import Entries
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solvers.offsets.cell_features import CellTerm
from flatmin.solvers.offsets.features import LinearTerms
from flatmin.solvers.offsets.offset_model import OffsetModel
from flatmin.solvers.offsets.offsets import Offsets
from flatmin.solvers.offsets.row_slopes import SlopeTerm

__all__ = ["Observations", "Strengths"]


#: For each kind of offsets, whether it has a constant, offsets of rows, and offsets of columns.
KINDS = {
    "none": (False, False, False),
    "constant": (True, False, False),
    "rows": (True, True, False),
    "columns": (True, False, True),
    "both": (True, True, True),
}


@dataclass(frozen=True)
class Strengths:
    """Penalties on offsets, counted in observations of the value zero as in `OffsetModel`; None for no offsets.

    The terms are features of rows and columns, and slopes of each row, with the penalties on their slopes.
    """

    constant: bool = False
    rows: Any = None
    columns: Any = None
    row_terms: LinearTerms | None = None
    column_terms: LinearTerms | None = None
    slopes: SlopeTerm | None = None
    cells: CellTerm | None = None

    @classmethod
    def named(cls, offsets: Any, alpha: Any) -> Self:
        """Return the penalties for the parameters ``offsets`` and ``offset_alpha`` of a completion estimator."""
        if not isinstance(offsets, str) or offsets not in KINDS:
            raise InputError(f"offsets is {shown(offsets)}, expected one of {', '.join(map(repr, KINDS))}")
        if isinstance(alpha, str) and alpha != "auto":
            raise InputError(f"offset_alpha is {shown(alpha)}, expected a number, a pair of them or 'auto'")
        pair = tuple(alpha) if isinstance(alpha, list | tuple) else (alpha, alpha)
        constant, *sides = KINDS[offsets]
        if len(pair) != len(sides):
            raise InputError(
                f"offset_alpha is {shown(alpha)}, expected one number, or one for rows and one for columns"
            )
        rows, columns = (strength if side else None for strength, side in zip(pair, sides, strict=True))
        return cls(constant, rows, columns)

    @property
    def present(self) -> bool:
        """Whether the model has any offset."""
        return self.constant or self.rows is not None or self.columns is not None

    def over(self, weight: float) -> Self:
        """Return the penalties divided by ``weight``, for observations whose weights are divided by it too."""
        rows, columns = (k if k is None or isinstance(k, str) else k / weight for k in (self.rows, self.columns))
        terms: tuple[Any, ...] = tuple(
            t if t is None or isinstance(t.strength, str) else replace(t, strength=t.strength / weight)
            for t in (self.row_terms, self.column_terms, self.slopes, self.cells)
        )
        return type(self)(self.constant, rows, columns, *terms)


@dataclass(frozen=True, eq=False)
class Observations:
    """Values (m,) of some cells of a matrix with offsets.

    The weights of ``entries`` are the square roots of the weights of squared residuals. ``values`` are not multiplied
    by weights. Strengths of offsets that are "auto" are estimated from the values.
    """

    entries: Entries
    values: Array
    strengths: Strengths

    @classmethod
    def from_cells(cls, cells: Any, weights: Array | None, strengths: Strengths) -> Self:
        """Take the stored cells of a sparse CSR array, repeated ones included, with weights (nnz,) of mean 1."""
        rows = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
        roots = None if weights is None else np.sqrt(weights)
        return cls(Entries(rows, cells.indices, cells.shape, roots), cells.data, strengths)

    @cached_property
    def model(self) -> OffsetModel:
        """The model of the offsets for these cells."""
        return self.estimated(self.values)

    def estimated(self, values: Array, start: OffsetModel | None = None) -> OffsetModel:
        """Return the model of the offsets for other values of these cells, by `OffsetModel.estimated`."""
        return OffsetModel.estimated(self.entries, values, **vars(self.strengths), start=start)

    @cached_property
    def problem(self) -> Problem:
        """The problem whose penalised solution is the matrix of the joint fit."""
        if self.strengths.present:
            return self.model.problem(self.values)
        return Problem(self.entries, self.entries.norms() * self.values)

    @property
    def cells(self) -> Problem:
        """The problem without offsets or weights, by which the cells are dealt into folds."""
        return Problem(self.entries, self.values)

    def like(self, model: OffsetModel) -> Self:
        """Return the same observations with the strengths of a model, or with the model if it is of these entries."""
        other = replace(self, strengths=Strengths(**{f.name: getattr(model, f.name) for f in fields(Strengths)}))
        if model.entries is self.entries:
            other.__dict__["model"] = model
        return other

    def without(self, factors: Factors) -> Array:
        """Return the values minus the matrix of the factors."""
        plain = Entries(self.entries.rows, self.entries.cols, self.entries.shape)
        return np.asarray(np.asarray(self.values, dtype=float) - plain.forward_factors(*factors))

    def offsets(self, factors: Factors) -> Offsets:
        """Return the offsets that fit best for given factors of the matrix."""
        if not self.strengths.present:
            return Offsets(0.0, *(np.zeros(d) for d in self.entries.shape))
        return self.model.fit(self.without(factors))

    def drawn_rows(self, factors: Factors, offsets: Offsets) -> RowModel | None:
        """Return `RowModel.drawn` for a least-squares fit, or None if the fit leaves no residual degrees of freedom."""
        rank, shape = factors[0].shape[1], sum(int(np.count_nonzero(n)) for n in self.entries.gram_diagonals())
        free = self.entries.size - rank * (shape - rank) - self.model.freedom
        if free < 1:
            return None
        left = self.model.rest(self.values, offsets).residual(factors)
        return self.with_slopes(RowModel.drawn(self.entries, factors, float(left @ left) / free, self.model.rows))

    def with_slopes(self, rows: RowModel) -> RowModel:
        """Return the model of rows with the slopes that rows have, if any."""
        if self.strengths.slopes is None:
            return rows
        own = self.model.row_slopes
        return rows.with_slopes(own.term.features, own.ridges)

    def predicted(self, rows: RowModel, offsets: Offsets, others: Entries) -> Array:
        """Return predictions of other cells by a row model, which computes the rows from these observations."""
        left = self.values - offsets.expected(self.entries.rows, self.entries.cols)
        cells, order = in_rows(self.entries.rows, self.entries.cols, left, self.entries.shape)
        factors, own = rows.fit(cells, self.entries.norms()[order] ** 2)
        i, j = others.rows, others.cols
        matrix = np.einsum("nk,nk->n", factors[i], rows.columns[j])
        return np.asarray(matrix + own[i] + offsets.expected(i, j))

    def take(self, index: Array) -> Self:
        """Return a part of the observations."""
        return replace(self, entries=self.entries.take(index), values=self.values[index])

    def pair(self, training: Array, held_out: Array) -> tuple[Problem, Problem]:
        """Return the problem of the training observations, and the problem of predicting the held-out ones."""
        known, hidden = self.take(training), self.take(held_out)
        if not self.strengths.present:
            return known.problem, hidden.problem
        return known.problem, known.model.judge(known.values, hidden.entries, hidden.values)
