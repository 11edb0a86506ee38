"""Completion with offsets: a constant and one number for every row and column, added to a matrix of low rank.

The model of an observed entry is ``v_ij = g + a_i + b_j + X_ij``. Its fit minimises, jointly and convexly,

    (1/m) Σ w_ij² (v_ij − g − a_i − b_j − X_ij)² + (1/m) (κ₁ ‖a‖² + κ₂ ‖b‖²) + alpha · str(X),

in which κ is a number of phantom observations of the value zero. Let H be the weighted matrix of the offsets z = (g, a,
b), K their penalty, and ``G = (HᵀH + K)⁺``. The least value over z is a quadratic form of ``y = w (v − X)``,

    min_z ‖y − H z‖² + zᵀ K z = yᵀ (I − H G Hᵀ) y = ‖M y‖²,    M = [I − H G Hᵀ; K^½ G Hᵀ].

The joint fit is therefore a completion problem measured by ``M A`` in place of A. Any solver of the penalised problem
finds offsets and matrix at once, and any dual vector bounds the joint optimum from below.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric, real_number, shown
from flatmin.errors import InputError
from flatmin.measurements.entries import Entries
from flatmin.problem import LARGEST, Problem
from flatmin.solvers.offsets.cell_features import CellFree, CellSlopes, CellTerm
from flatmin.solvers.offsets.equations import OffsetEquations, Triple, roots
from flatmin.solvers.offsets.features import FeatureEquations, LinearTerms
from flatmin.solvers.offsets.offset_free import OffsetFree
from flatmin.solvers.offsets.offsets import Offsets
from flatmin.solvers.offsets.row_slopes import RowSlopes, SlopeEquations, SlopeFree, SlopeTerm

__all__ = ["OffsetModel"]

EPS = float(np.finfo(float).eps)

#: Smallest positive number of phantom observations. Smaller ones would be lost in rounding.
MIN_PHANTOMS = 1e-6
#: Largest number of phantom observations. Squares of larger ones would overflow.
MAX_PHANTOMS = 1e150
#: Residuals count as zero if they are at most this many machine epsilons times the largest value.
ROUNDING_EPSILONS = 40
#: Relative accuracy of estimated strengths.
ACCURACY = 1e-3
#: Largest number of rounds of the estimation of strengths.
MAX_ROUNDS = 50
#: Relative accuracy of estimated strengths with slopes of rows, and the largest number of rounds. Predictions change
#: little with the strengths of slopes, and a round takes longer.
SLOPE_ACCURACY, MAX_SLOPE_ROUNDS = 0.05, 8
#: Strength of slopes of rows on standardised features at which its estimation starts.
FIRST_RIDGE = 100.0


@dataclass(frozen=True, eq=False)
class OffsetModel:
    """The kinds of offsets that observed entries have, and how strongly offsets are pulled to zero.

    Parameters
    ----------
    entries : Entries
        The observed positions. Their weights are the square roots of the weights of squared residuals.
    constant : bool
        Whether there is a constant; it is not penalised.
    rows, columns : float or None
        The number κ of phantom observations of zero in each row (column): an offset with n observations is ``(sum of
        its residuals) / (n + κ)``. With 0 offsets are not penalised; with None there are no offsets of rows (columns).
    row_terms, column_terms : LinearTerms or None
        Features of rows (columns), which predict the values to which penalised offsets are pulled.
    slopes : SlopeTerm or None
        Features of columns on which every row has its own slopes. Offsets of columns are penalised then.
    cells : CellTerm or None
        Features of cells, which are not combined with slopes of rows.

    Raises
    ------
    InputError
        If a strength is negative, not finite, or positive and below 1e-6.

    References
    ----------
    Koren, "Factor in the neighbors", ACM Transactions on Knowledge Discovery from Data 4(1), 2010, section 2.1.
    """

    entries: Entries
    constant: bool = True
    rows: float | None = 10.0
    columns: float | None = 10.0
    row_terms: LinearTerms | None = None
    column_terms: LinearTerms | None = None
    slopes: SlopeTerm | None = None
    cells: CellTerm | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if value is None:
                continue
            number = real_number(value)
            if not (number == 0 or MIN_PHANTOMS <= number <= MAX_PHANTOMS):
                raise InputError(
                    f"the strength of the offsets of {name} is {shown(value)}, expected 0, a number from "
                    f"{MIN_PHANTOMS:g} to {MAX_PHANTOMS:g}, or None for no such offsets"
                )
            object.__setattr__(self, name, number)

    @classmethod
    def estimated(
        cls,
        entries: Entries,
        values: Any,
        *,
        constant: bool = True,
        rows: Any = "auto",
        columns: Any = "auto",
        row_terms: LinearTerms | None = None,
        column_terms: LinearTerms | None = None,
        slopes: SlopeTerm | None = None,
        cells: CellTerm | None = None,
        start: OffsetModel | None = None,
    ) -> OffsetModel:
        """Return the model whose strengths "auto" are those of restricted maximum likelihood.

        If the offsets of a kind are normal with variance τ² and residuals with variance σ², then κ = σ²/τ² gives each
        offset its conditional mean. Both variances are estimated from the fit, each with its degrees of freedom, and
        the fit is repeated. The low-rank matrix X is treated as noise here, so the strengths are slightly too large if
        X is large. Slopes of rows come last; then all strengths are estimated again. These rounds can begin at the
        strengths of a model of similar values, ``start``.

        References
        ----------
        Patterson, Thompson, "Recovery of inter-block information when block sizes are unequal", Biometrika 58(3), 1971.
        MacKay, "Bayesian interpolation", Neural Computation 4(3), 1992 (the iteration).
        """
        ridges = [None if terms is None else terms.strength for terms in (row_terms, column_terms)]
        wanted = [rows, columns, *ridges]
        sought = [isinstance(kappa, str) and kappa == "auto" for kappa in wanted]
        given = [1.0 if auto else kappa for auto, kappa in zip(sought, wanted, strict=True)]
        model = cls(entries, constant, rows=given[0], columns=given[1], row_terms=row_terms, column_terms=column_terms)
        model = model._at(given)
        if slopes is None:
            model = model._settled(values, sought, MAX_ROUNDS, ACCURACY)
            return model if cells is None else replace(model, cells=cells)
        sought.append(isinstance(slopes.strength, str))
        if start is None:
            if sought[-1]:
                slopes = replace(slopes, strength=np.full(slopes.features.shape[1], FIRST_RIDGE))
            start = replace(model._settled(values, sought[:-1], MAX_ROUNDS, ACCURACY), slopes=slopes)
        return start._settled(values, sought, MAX_SLOPE_ROUNDS, SLOPE_ACCURACY)

    def _settled(self, values: Any, sought: list[bool], rounds: int, accuracy: float) -> OffsetModel:
        """Return the model with other strengths where they are sought."""
        model, given = self, self._strengths
        for _ in range(rounds if any(sought) else 0):
            likelier = model._likelier(values)
            given = [k if auto else fixed for auto, k, fixed in zip(sought, likelier, given, strict=True)]
            before, model = model, model._at(given)
            old, new = (np.hstack([0.0 if k is None else k for k in tried._strengths]) for tried in (before, model))
            if np.allclose(old, new, rtol=accuracy, atol=0):
                break
        return model

    def fit(self, values: Any) -> Offsets:
        """Return the offsets ``G Hᵀ w v`` of values v (m,) if the matrix X is zero."""
        z, further = self.free.best(roots(self.entries) * self._checked(values))
        found = replace(self._shifted(z), **further)
        slopes = self.equations.slopes((found.constant, found.rows, found.columns))
        means = [
            terms.features @ beta if terms is not None and len(beta) else np.zeros(())
            for terms, beta in zip((self.row_terms, self.column_terms), slopes, strict=True)
        ]
        return replace(found, row_slopes=slopes[0], column_slopes=slopes[1], row_means=means[0], column_means=means[1])

    def problem(self, values: Any) -> Problem:
        """Return the problem whose penalised solution is the X of the joint fit of values (m,); see `OffsetFree`."""
        y = roots(self.entries) * self._checked(values)
        return Problem(self.free, _unless_rounding(self.free.reduce(y), y))

    def rest(self, values: Any, offsets: Offsets) -> Problem:
        """Return the problem of fitting only a matrix to values (m,) minus given offsets."""
        checked, w = self._checked(values), roots(self.entries)
        left = w * (checked - offsets.at(self.entries.rows, self.entries.cols))
        return Problem(self.entries, _unless_rounding(left, w * checked))

    def judge(self, values: Any, entries: Entries, others: Any) -> Problem:
        """Return the problem whose residual at X is the error of predictions for other entries.

        The values of the other entries are ``others``. Their prediction is X plus the offsets that the joint fit of
        ``values`` gives for X, an affine function of X. In cross-validation, a fold consists of ``problem(values)`` and
        this problem.
        """
        if entries.shape != self.entries.shape:
            raise InputError(f"the other entries are of a matrix {entries.shape}, expected {self.entries.shape}")
        left = numeric(others, "the other values") - self.fit(values).at(entries.rows, entries.cols)
        return Problem(self.free.others(entries), roots(entries) * left)

    @property
    def freedom(self) -> float:
        """The degrees of freedom of offsets and slopes."""
        return self.free.freedom

    def _at(self, strengths: list[Any]) -> OffsetModel:
        """Return the model with other strengths of offsets and of slopes, which reuses its equations."""
        rows, columns, *ridges = strengths
        kinds: Any = "row_terms", "column_terms", "slopes"
        terms = {
            kind: replace(getattr(self, kind), strength=ridge)
            for kind, ridge in zip(kinds, ridges, strict=False)
            if ridge is not None
        }
        other = replace(self, rows=rows, columns=columns, **terms)
        if self.slopes is not None:
            other.__dict__["row_slopes"] = self.row_slopes.with_ridges(ridges[2])
            return other
        if 0.0 in (rows, columns) or 0.0 in (self.rows, self.columns):  # which unknowns there are may change
            return other
        other.__dict__["equations"] = other._with_terms(self.equations.with_strengths(rows, columns))
        return other

    @property
    def _strengths(self) -> list[Any]:
        """The strengths of offsets and of slopes, of rows and of columns; None for those that the model has not.

        With slopes of rows, their strengths (s,) are a fifth item.
        """
        ridges = [None if t is None else float(t.strength) for t in (self.row_terms, self.column_terms)]
        return [self.rows, self.columns, *ridges, *([] if self.slopes is None else [self.row_slopes.ridges])]

    def _likelier(self, values: Any) -> list[Any]:
        """Return the strengths ``σ²/τ²`` of rows and columns, with variances from the fit at the present strengths."""
        z, equations, m = self.fit(values), self.equations, self.entries.size
        checked, w = self._checked(values), roots(self.entries)
        left, rounding = (
            w * (checked - z.at(self.entries.rows, self.entries.cols)),
            ROUNDING_EPSILONS * EPS * w * checked,
        )
        level = max(float(left @ left) / max(m - self.freedom, 1.0), float(rounding @ rounding) / m)
        own = z.rows - z.row_means, z.columns - z.column_means, z.row_slopes, z.column_slopes
        found: list[Any] = []
        for kappa, pulled, numbers in zip(
            self._strengths, (*equations.pulled, *equations.pulled_slopes), own, strict=False
        ):
            likelier = kappa
            if kappa and len(numbers):
                likelier = _ratio(level, float(numbers @ numbers) / max(len(numbers) - pulled, EPS), m)
            found.append(likelier)
        if isinstance(equations, SlopeEquations):
            squares = np.sum(z.own_slopes**2, axis=0) / np.maximum(len(z.own_slopes) - equations.pulled_own, EPS)
            found.append(np.array([_ratio(level, variance, m) for variance in squares]))
        return found

    def _checked(self, values: Any) -> Array:
        checked = numeric(values, "the values")
        if checked.shape != (self.entries.size,):
            raise InputError(
                f"the values have shape {checked.shape}, expected ({self.entries.size},): one for each entry"
            )
        largest = float(np.max(np.abs(checked)))
        if largest > LARGEST:
            raise InputError(f"the largest value is {largest:.1g}, expected at most {LARGEST:g}; scale them")
        return checked

    def _shifted(self, z: Triple) -> Offsets:
        """Return the same offsets with the mean of each free kind moved to the constant."""
        g, a, b = z
        if self.constant:
            (n_rows, n_columns), total = self.entries.gram_diagonals(), float(np.sum(self.entries.norms() ** 2))
            if self.rows == 0 and total:
                g, a = g + float(n_rows @ a) / total, np.where(n_rows > 0, a - float(n_rows @ a) / total, 0.0)
            if self.columns == 0 and total:
                shift = float(n_columns @ b) / total
                g, b = g + shift, np.where(n_columns > 0, b - shift, 0.0)
        return Offsets(float(g), a, b)

    @cached_property
    def free(self) -> OffsetFree:
        """The measurement of the entries after offsets, and slopes if there are any, are eliminated."""
        if isinstance(self.equations, SlopeEquations):
            return SlopeFree(self.entries, self.equations)
        if self.cells is not None:
            return CellFree(self.entries, self.equations, CellSlopes(self.equations, self.cells))
        return OffsetFree(self.entries, self.equations)

    @cached_property
    def row_slopes(self) -> RowSlopes:
        """The slopes of rows for given offsets."""
        assert self.slopes is not None
        return RowSlopes(self.entries, self.slopes)

    @cached_property
    def equations(self) -> OffsetEquations:
        """The equations that the offsets solve."""
        if self.slopes is not None:
            assert self.columns is not None
            terms = self.row_terms, self.column_terms
            return SlopeEquations.from_slopes(self.row_slopes, self.constant, self.rows, self.columns, terms)
        return self._with_terms(OffsetEquations.from_entries(self.entries, self.constant, self.rows, self.columns))

    def _with_terms(self, equations: OffsetEquations) -> OffsetEquations:
        """Return the equations with the linear terms of this model, if it has any."""
        terms = self.row_terms, self.column_terms
        if terms == (None, None):
            return equations
        own = {f.name: getattr(equations, f.name) for f in fields(OffsetEquations)}
        return FeatureEquations(**own, terms=terms)


def _ratio(level: float, variance: float, m: int) -> float:
    """Return the strength for a level of noise and a variance; m if the variance is so small that it could be 0."""
    ratio = level / variance if variance * m > level else float(m)
    return ratio if ratio >= MIN_PHANTOMS else 0.0


def _unless_rounding(left: Array, values: Array) -> Array:
    """Return the residuals of values, or zeros if the residuals are only rounding errors."""
    size = float(np.max(np.abs(values), initial=0.0))
    return np.zeros_like(left) if np.max(np.abs(left), initial=0.0) <= ROUNDING_EPSILONS * EPS * size else left
