"""OffsetFree: the measurement of observed entries after the elimination of offsets."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.metric import Metric
from flatmin.measurements import Measurement
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations, Triple, roots

__all__ = ["OffsetFree", "OtherEntries"]

#: Right-hand sides of the equations of offsets count as zero below this share of their largest possible size.
VANISHING = 64 * float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False, repr=False)
class OffsetFree(Measurement):
    """Observed entries after offsets are eliminated: ``√((m + n)/m) M A`` of `flatmin.solvers.offsets.offset_model`.

    It has m + n measurements, where n is the number of penalised offsets. The mean of squares of a residual is the
    least joint objective over all offsets. The metric is that of the entries A: the Hessian in the factors is taken at
    fixed offsets.
    """

    entries: Entries
    equations: OffsetEquations
    dtype = np.dtype(float)

    @property
    def shape(self) -> tuple[int, int]:  # type: ignore[override]
        """The shape of the unknown."""
        return self.entries.shape

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations and of penalised offsets."""
        return self.entries.size + self.equations.n_penalised

    @property
    def freedom(self) -> float:
        """The degrees of freedom ``tr(H G Hᵀ)`` of what is eliminated. A penalised offset has less than one."""
        return self.equations.unknowns - sum(self.equations.pulled) - sum(self.equations.pulled_slopes)

    def best(self, y: Array) -> tuple[Triple, dict[str, Any]]:
        """Return the offsets that fit weighted values y (m,) best, and further fields of `Offsets`, here none."""
        return self.equations.solve(self.equations.sums(y)), {}

    def others(self, entries: Entries) -> Measurement:
        """Return the linear part of predictions of other entries."""
        return OtherEntries(entries, self.equations)

    def reduce(self, y: Array) -> Array:
        """Return ``√((m + n)/m) M y``, shape (m + n,), for y (m,)."""
        z = self.equations.solve(self.equations.sums(y))
        return self._factor * np.concatenate([y - self.equations.spread(z), self.equations.roots_of_penalty(z)])

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,), for y (m + n,)."""
        u, s = np.split(y, [self.entries.size])
        fitted = self._fitted(u, s, float(np.linalg.norm(y)))
        return np.asarray(self._factor * (u if fitted is None else u - fitted))

    def _fitted(self, u: Array, s: Array, length: float) -> Array | None:
        """Return ``H G (Hᵀ u − K^½ s)``, or None if it vanishes, as for the residual of a fit of this ``length``."""
        g, a, b = self.equations.sums(u)
        for side, back in zip((a, b), self.equations.back_from_penalty(s), strict=True):
            side -= back
        if float(np.sqrt(g**2 + a @ a + b @ b)) <= VANISHING * self._largest * length:
            return None
        return self.equations.spread(self.equations.solve((g, a, b)))

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
        """Return bounds on the norms of the sensing matrices: those of the entries, and zeros for penalised offsets."""
        return self._factor * np.concatenate([self.entries.norms(), np.zeros(self.equations.n_penalised)])

    def curvature_blocks(self, L: Array, R: Array) -> Array:
        """Return the blocks of the entries, nearly exact since offsets with many observations change little."""
        return self._factor**2 * self.entries.curvature_blocks(L, R)

    def congruence(self, P1: Metric, P2: Metric) -> Measurement:
        """Return the map ``X ↦ M A(P1 X P2)``."""
        inner = self.entries.congruence(P1, P2)
        return replace(self, entries=inner) if isinstance(inner, Entries) else super().congruence(P1, P2)

    @cached_property
    def _largest(self) -> float:
        """A bound on the norm of ``[H; K^½]``."""
        rows, columns = (float(n.max(initial=0.0)) for n in self.equations.entries.gram_diagonals())
        total = float(np.sum(self.equations.entries.norms() ** 2))
        penalty = sum(kappa or 0.0 for kappa in self.equations.strengths)
        return float(np.sqrt((total if self.equations.with_constant else 0.0) + rows + columns + penalty))

    @property
    def _factor(self) -> float:
        return float(np.sqrt(self.size / self.entries.size))


@dataclass(frozen=True, eq=False, repr=False)
class OtherEntries(Measurement):
    """The linear part ``A' − H' G Hᵀ A`` of predictions of other entries A', after offsets are fitted to entries A.

    The offsets for a matrix X are ``G Hᵀ w (v − X)``, so predictions of other entries are affine functions of X.
    """

    entries: Entries
    equations: OffsetEquations
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
        """Return the contribution of X to predictions."""
        return self._without(self.entries.forward(X), self.equations.entries.forward(X))

    def forward_factors(self, L: Array, R: Array) -> Array:
        """Return the contribution of ``L Rᵀ`` to predictions, without forming it."""
        return self._without(self.entries.forward_factors(L, R), self.equations.entries.forward_factors(L, R))

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        z = self.equations.solve(self.equations.sums(y, self.entries))
        return self.entries.adjoint(y) - self.equations.entries.adjoint(self.equations.spread(z))

    def _without(self, others: Array, fitted: Array) -> Array:
        g, a, b = self.equations.solve(self.equations.sums(fitted))
        return np.asarray(others - roots(self.entries) * (g + a[self.entries.rows] + b[self.entries.cols]))
