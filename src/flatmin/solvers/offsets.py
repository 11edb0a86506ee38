"""Completion with offsets: a constant and one number for every row and column, beside a matrix of low rank.

The model of an observed entry is ``v_ij = g + a_i + b_j + X_ij``. Its fit minimises, jointly and convexly,

    (1/m) Σ w_ij² (v_ij − g − a_i − b_j − X_ij)² + (1/m) (κ₁ ‖a‖² + κ₂ ‖b‖²) + alpha · str(X),

in which κ counts phantom observations of the value zero. With H the (weighted) matrix of the offsets z = (g, a, b), K
its penalty and ``G = (HᵀH + K)⁺``, the least value over z is a quadratic form of the rest ``y = w (v − X)``,

    min_z ‖y − H z‖² + zᵀ K z = yᵀ (I − H G Hᵀ) y = ‖M y‖²,    M = [I − H G Hᵀ; K^½ G Hᵀ].

So the joint fit is a completion problem measured by ``M A`` in place of A: any solver of the penalised problem solves
it, in one go, and any dual vector bounds the joint optimum from below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.measurements import Measurement
from flatmin.measurements.entries import Entries
from flatmin.metric import Array, Metric
from flatmin.problem import Problem

__all__ = ["OffsetFree", "OffsetModel", "Offsets"]

#: Phantom observations are none, or at least so many: fewer would drown in rounding.
FEWEST = 1e-6
#: Up to this many offsets of the smaller kind their equations are factorized, beyond that solved by iteration.
LARGEST_FACTORIZED = 4000
#: The iteration goes on to this relative residual, which takes some ten steps, or so many.
SOLVED, MOST_STEPS = 1e-14, 1000
#: Random vectors that measure degrees of freedom where nothing is factorized.
PROBES = 10


@dataclass(frozen=True, eq=False)
class Offsets:
    """A constant, and one number for every row and column, in the units of the values.

    Attributes
    ----------
    constant : float
        What is added to every entry.
    rows : ndarray, shape (d1,)
        What is added along each row; zero where a row has no observation.
    columns : ndarray, shape (d2,)
        The same for columns.

    Examples
    --------
    >>> Offsets(3.0, np.array([0.5, -0.5]), np.array([0.0, 1.0])).at([0, -1], [1, 1])
    array([4.5, 4. ])
    """

    constant: float
    rows: Array
    columns: Array

    def at(self, rows: Any, columns: Any) -> Array:
        """Return ``g + a_i + b_j``, shape (n,), for positions (n,); −1 stands for a row or column never seen."""
        i, j = np.asarray(rows), np.asarray(columns)
        return np.asarray(self.constant + np.where(i >= 0, self.rows[i], 0.0) + np.where(j >= 0, self.columns[j], 0.0))


@dataclass(frozen=True, eq=False)
class OffsetModel:
    """Which offsets observed entries have, and how strongly they are pulled to zero.

    Parameters
    ----------
    entries : Entries
        Where the observations are; their weights are the square roots of those of the squared residuals.
    constant : bool
        Whether there is a constant; it is not penalised.
    rows, columns : float or None
        The number κ of phantom observations of zero that each row (column) is given: an offset is
        ``(sum of its residuals) / (n + κ)``. With 0 it is not penalised; None stands for no such offsets.

    Raises
    ------
    InputError
        If a strength is negative, not finite, or positive and below 1e-6.

    References
    ----------
    Koren, "Factor in the neighbors", ACM Transactions on Knowledge Discovery from Data 4(1), 2010, section 2.1.

    Examples
    --------
    >>> model = OffsetModel(Entries([0, 0, 1], [0, 1, 1], (2, 2)), rows=0.0, columns=None)
    >>> model.fit([1.0, 3.0, 5.0]).rows
    array([-1.,  2.])
    """

    entries: Entries
    constant: bool = True
    rows: float | None = 10.0
    columns: float | None = 10.0

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            value = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
            if not number or not (value == 0 or FEWEST <= value < np.inf):
                raise InputError(
                    f"the strength of the offsets of {name} is {value!r}, expected 0, a finite number of at least "
                    f"{FEWEST:g}, or None for no such offsets"
                )
            object.__setattr__(self, name, float(value))

    def fit(self, values: Any) -> Offsets:
        """Return the offsets of values (m,) that no matrix explains, exactly: ``G Hᵀ w v``."""
        return self._shifted(self._equations.solve(*self._sums(_roots(self.entries) * self._checked(values))))

    def problem(self, values: Any) -> Problem:
        """Return the problem whose penalised solution is X of the joint fit of values (m,); see `OffsetFree`."""
        measurement = OffsetFree(self.entries, self)
        return Problem(measurement, measurement.reduce(_roots(self.entries) * self._checked(values)))

    def judge(self, values: Any, entries: Entries, others: Any) -> Problem:
        """Return the problem whose residual at X is the error of predictions of other entries.

        Predicted is X and the offsets that belong to it in the joint fit of ``values``, an affine function of X. For
        cross-validation of joint fits ``problem(values)`` and this are the pair of a fold.

        Parameters
        ----------
        values : array_like, shape (m,)
            The values that are fitted.
        entries : Entries
            Other entries of the same matrix.
        others : array_like, shape (n,)
            Their values.
        """
        if entries.shape != self.entries.shape:
            raise InputError(f"the other entries are of a matrix {entries.shape}, expected {self.entries.shape}")
        left = numeric(others, "the other values") - self.fit(values).at(entries.rows, entries.cols)
        return Problem(_Predicted(entries, self), _roots(entries) * left)

    @cached_property
    def freedom(self) -> float:
        """Degrees of freedom of the offsets, ``tr(H G Hᵀ)``: fewer than there are, if they are penalised.

        Where nothing is factorized they come from random vectors, whose squared norms differ little among so many.
        """
        if len(self._equations.small) <= LARGEST_FACTORIZED:
            return self._equations.freedom
        rng, total = np.random.default_rng(0), 0.0
        for _ in range(PROBES):
            h = self._sums(rng.choice([-1.0, 1.0], self.entries.size))
            z = self._equations.solve(*h)
            total += h[0] * z[0] + float(h[1] @ z[1] + h[2] @ z[2])
        return total / PROBES

    @property
    def kinds(self) -> tuple[bool, bool]:
        """Whether rows and columns have offsets."""
        return self.rows is not None, self.columns is not None

    def _checked(self, values: Any) -> Array:
        checked = numeric(values, "the values")
        if checked.shape != (self.entries.size,):
            raise InputError(f"the values have shape {checked.shape}, expected ({self.entries.size},): one an entry")
        return checked

    def _sums(self, y: Array) -> tuple[float, Array, Array]:
        """Return ``Hᵀ y``."""
        (d1, d2), y = self.entries.shape, _roots(self.entries) * y
        rows = np.bincount(self.entries.rows, y, d1) if self.rows is not None else np.zeros(d1)
        columns = np.bincount(self.entries.cols, y, d2) if self.columns is not None else np.zeros(d2)
        return float(y.sum()), rows, columns

    def _spread(self, z: tuple[float, Array, Array]) -> Array:
        """Return ``H z``."""
        at = z[0] + z[1][self.entries.rows] + z[2][self.entries.cols]
        return np.asarray(_roots(self.entries) * at)

    def _shifted(self, z: tuple[float, Array, Array]) -> Offsets:
        """Return the same offsets with what a free kind has in common moved to the constant."""
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
    def _equations(self) -> _Equations:
        return _Equations.of(self)


@dataclass(frozen=True, eq=False, repr=False)
class OffsetFree(Measurement):
    """Entries of a matrix, up to what offsets explain: ``√((m + n)/m) M A`` of the module's introduction.

    It has m + n measurements, n the number of penalised offsets, and its mean of squares is the least joint objective
    over all offsets. Its metric is that of the entries alone: the one of the Hessian in the factors, offsets held.

    Parameters
    ----------
    entries : Entries
        The map A, in which a change of coordinates may have changed the weights.
    model : OffsetModel
        The offsets that are eliminated.
    """

    entries: Entries
    model: OffsetModel
    dtype = np.dtype(float)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The shape of the unknown."""
        return self.entries.shape

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations and of penalised offsets."""
        return self.entries.size + sum(self._penalised)

    def reduce(self, y: Array) -> Array:
        """Return ``√((m + n)/m) M y``, shape (m + n,), for y (m,)."""
        g, a, b = self.model._equations.solve(*self.model._sums(y))
        n_rows, n_columns = self._penalised
        parts = [y - self.model._spread((g, a, b))]
        parts += [np.sqrt(self.model.rows or 0.0) * a[:n_rows], np.sqrt(self.model.columns or 0.0) * b[:n_columns]]
        return self._factor * np.concatenate(parts)

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,), for y (m + n,)."""
        m, (n_rows, n_columns) = self.entries.size, self._penalised
        u, s, t = np.split(y, [m, m + n_rows])
        g, a, b = self.model._sums(u)
        a[:n_rows] -= np.sqrt(self.model.rows or 0.0) * s
        b[:n_columns] -= np.sqrt(self.model.columns or 0.0) * t
        return self._factor * (u - self.model._spread(self.model._equations.solve(g, a, b)))

    def forward(self, X: Array) -> Array:
        """Return the entries of X, up to offsets."""
        return self.reduce(self.entries.forward(X))

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the entries of ``L Rᵀ``, up to offsets, without forming it."""
        return self.reduce(self.entries.forward_factors(L, R))

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        return self.entries.adjoint(self.expand(y))

    def adjoint_operator(self, y: Array) -> Any:
        """Return the adjoint of y as a sparse array."""
        return self.entries.adjoint_operator(self.expand(y))

    def metric(self) -> tuple[Metric, Metric]:
        """Return the metric of the entries."""
        return self.entries.metric()

    def norms(self) -> Array:
        """Return bounds on the norms of the sensing matrices: those of the entries; offsets count for nothing."""
        return self._factor * np.concatenate([self.entries.norms(), np.zeros(sum(self._penalised))])

    def curvature_blocks(self, L: Array, R: Array) -> Array:
        """Return those of the entries, which are nearly the same: one offset among many observations changes little."""
        return self._factor**2 * self.entries.curvature_blocks(L, R)

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map ``X ↦ M A(P1 X P2)``."""
        inner = self.entries.congruence(P1, P2)
        return OffsetFree(inner, self.model) if isinstance(inner, Entries) else super().congruence(P1, P2)

    @property
    def _penalised(self) -> tuple[int, int]:
        """The numbers of penalised offsets of rows and of columns."""
        return self.shape[0] if self.model.rows else 0, self.shape[1] if self.model.columns else 0

    @property
    def _factor(self) -> float:
        return float(np.sqrt(self.size / self.entries.size))


@dataclass(frozen=True, eq=False, repr=False)
class _Predicted(Measurement):
    """Other entries of X, and the offsets that X takes over: a map of the same matrices as the fit's."""

    entries: Entries
    model: OffsetModel
    dtype = np.dtype(float)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The shape of the unknown."""
        return self.entries.shape

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of other entries."""
        return self.entries.size

    def forward(self, X: Array) -> Array:
        """Return the predictions that X makes."""
        return self._without(self.entries.forward(X), self.model.entries.forward(X))

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the predictions that ``L Rᵀ`` makes."""
        return self._without(self.entries.forward_factors(L, R), self.model.entries.forward_factors(L, R))

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        others = replace(self.model, entries=self.entries)
        z = self.model._equations.solve(*others._sums(y))
        return self.entries.adjoint(y) - self.model.entries.adjoint(self.model._spread(z))

    def _without(self, others: Array, fitted: Array) -> Array:
        z = Offsets(*self.model._equations.solve(*self.model._sums(fitted)))
        return np.asarray(others - _roots(self.entries) * z.at(self.entries.rows, self.entries.cols))


@dataclass(frozen=True, eq=False)
class _Equations:
    """``(HᵀH + K) z = h``, by elimination of the kind that has more offsets, whose block is diagonal.

    What is left, for the other kind and the constant, is factorized if it is small. Directions that change nothing are
    taken out: the constant, where a free kind has it in its span, and where both kinds are free the exchange of a
    number between the rows and the columns of a connected component.

    Attributes
    ----------
    swapped : bool
        Whether columns are the kind that is eliminated.
    with_constant : bool
        Whether the constant is an unknown, the first of the small ones.
    strengths : tuple of (float or None)
        κ of the large and of the small kind.
    large, small : ndarray, shapes (e,) and (s,)
        The diagonals: weights of observations, and κ.
    coupling : sparse array, shape (e, s)
        The block between them.
    first : ndarray, shape (s,)
        The row of the constant among the small ones, without its diagonal.
    pins : sparse array or None, shape (s, components)
        Which component a small one belongs to, where both kinds are free.
    idle : int
        Free ones without observations; their diagonal is set to one.
    """

    swapped: bool
    with_constant: bool
    strengths: tuple[float | None, float | None]
    large: Array
    small: Array
    coupling: Any
    first: Array
    pins: Any
    idle: int

    @classmethod
    def of(cls, model: OffsetModel) -> _Equations:
        """Set the equations of a model up."""
        from scipy.sparse import csr_array, hstack

        (d1, d2), weights = model.entries.shape, model.entries.norms() ** 2
        swapped = model.rows is None or (model.columns is not None and d2 > d1)
        kinds = [(model.rows, model.entries.rows, d1), (model.columns, model.entries.cols, d2)]
        (kappa, i, n_large), (tau, j, n_small) = kinds[::-1] if swapped else kinds
        coupling = csr_array((weights, (i, j)), shape=(n_large, n_small))
        coupling = coupling[: 0 if kappa is None else None, : 0 if tau is None else None]
        large = np.bincount(i, weights, n_large)[: coupling.shape[0]]
        small = np.bincount(j, weights, n_small)[: coupling.shape[1]]
        with_constant = model.constant and 0.0 not in (kappa, tau)
        pins = _components(coupling) if kappa == tau == 0 else None
        first, diagonals = np.zeros(len(small)), [large + (kappa or 0.0), small + (tau or 0.0)]
        idle = sum(int(np.count_nonzero(diagonal == 0)) for diagonal in diagonals)
        if with_constant:
            first = np.concatenate([[0.0], small])
            coupling = hstack([csr_array(large[:, None]), coupling]).tocsr()
            diagonals[1] = np.concatenate([[float(weights.sum())], diagonals[1]])
        large, small = (np.where(diagonal > 0, diagonal, 1.0) for diagonal in diagonals)
        return cls(swapped, with_constant, (kappa, tau), large, small, coupling, first, pins, idle)

    def solve(self, g: float, a: Array, b: Array) -> tuple[float, Array, Array]:
        """Return the offsets (constant, rows, columns) for a right-hand side of the same kind; absent ones are zero."""
        left, right = (b, a) if self.swapped else (a, b)
        e, s = len(self.large), len(self.small) - self.with_constant
        h = np.concatenate([[g], right[:s]]) if self.with_constant else right[:s]
        y = self._reduced(h - self.coupling.T @ (left[:e] / self.large)) if len(h) else h
        x = (left[:e] - self.coupling @ y) / self.large
        left, right = np.zeros_like(left), np.zeros_like(right)
        left[:e], right[:s] = x, y[self.with_constant :]
        rows, columns = (right, left) if self.swapped else (left, right)
        return float(y[0]) if self.with_constant else 0.0, rows, columns

    @cached_property
    def freedom(self) -> float:
        """The trace of ``HᵀH (HᵀH + K)⁺``: the number of unknowns, less what is pinned, less ``tr(K (HᵀH + K)⁺)``."""
        inverse = self._reduced(np.eye(len(self.small)))
        scaled = self.coupling.multiply(1 / self.large[:, None]).tocsr()
        of_large = float(np.sum(1 / self.large)) + float(np.sum((scaled.T @ scaled).multiply(inverse)))
        of_small = float(np.trace(inverse[self.with_constant :, self.with_constant :]))
        kappa, tau = (strength or 0.0 for strength in self.strengths)
        pinned = self.idle + (0 if self.pins is None else self.pins.shape[1])
        return len(self.large) + len(self.small) - pinned - kappa * of_large - tau * of_small

    def _reduced(self, h: Array) -> Array:
        """Return the solution of the small system ``(small − couplingᵀ coupling / large) y = h``."""
        if len(self.small) <= LARGEST_FACTORIZED:
            from scipy.linalg import cho_solve

            return np.asarray(cho_solve(self._factor, h, check_finite=False))
        from scipy.sparse.linalg import LinearOperator, cg

        n = len(self.small)
        operator = LinearOperator((n, n), matvec=self._product, dtype=float)
        inverse = LinearOperator((n, n), matvec=lambda r: r / self.small, dtype=float)
        found, _ = cg(operator, h, rtol=SOLVED, maxiter=MOST_STEPS, M=inverse)
        return np.asarray(found)

    def _product(self, y: Array) -> Array:
        """Return the small matrix times y."""
        out = self.small * y + self.first * (y[0] if self.with_constant else 0.0)
        if self.with_constant:
            out[0] += self.first @ y
        out -= np.asarray(self.coupling.T @ ((self.coupling @ y) / self.large))
        return out if self.pins is None else np.asarray(out + self.pins @ (self.pins.T @ y))

    @cached_property
    def _factor(self) -> Any:
        """The Cholesky factor of the small matrix."""
        from scipy.linalg import cho_factor

        root = self.coupling.multiply(1 / np.sqrt(self.large)[:, None]).tocsr()
        T = np.diag(self.small) - (root.T @ root).toarray()
        if self.with_constant:
            T[0] += self.first
            T[:, 0] += self.first
        if self.pins is not None:
            T += (self.pins @ self.pins.T).toarray()
        return cho_factor(T, lower=True, overwrite_a=True, check_finite=False)


def _roots(entries: Entries) -> Array:
    """Return what values are multiplied by, like the entries: the roots of their weights, shape (m,)."""
    return np.ones(entries.size) if entries.weights is None else np.asarray(entries.weights)


def _components(coupling: Any) -> Any:
    """Return indicators (s, components) of the connected components that columns of a sparse array belong to."""
    from scipy.sparse import block_array, csr_array
    from scipy.sparse.csgraph import connected_components

    e, s = coupling.shape
    _, labels = connected_components(block_array([[None, coupling], [coupling.T, None]]), directed=False)
    seen = np.flatnonzero(coupling.sum(axis=0) > 0)
    _, component = np.unique(labels[e:][seen], return_inverse=True)
    return csr_array((np.ones(len(seen)), (seen, component)), shape=(s, int(component.max(initial=-1)) + 1))
