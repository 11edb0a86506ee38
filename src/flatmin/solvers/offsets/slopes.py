"""Slopes: linear terms of observed entries that are fitted together with offsets and a low-rank matrix.

The slopes B have the ridge penalty ``ρ ‖B‖²``. Let F be the matrix from B to observed entries, and ``P = I − H G Hᵀ``
that of the fit of offsets alone, so that ``yᵀ P y`` is the least objective over the offsets. Then the least objective
over offsets and slopes is again a quadratic form of y,

    min_B (y − F B)ᵀ P (y − F B) + ρ ‖B‖² = yᵀ (P − P F S⁻¹ Fᵀ P) y,   B = S⁻¹ Fᵀ P y,   S = Fᵀ P F + ρ I,

and a low-rank matrix is fitted jointly with both. `flatmin.solvers.offsets.feature_products` and
`flatmin.solvers.offsets.cell_features` have the maps F.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.solvers.offsets.equations import OffsetEquations
from flatmin.solvers.offsets.offset_free import OffsetFree, OtherEntries

__all__ = ["OtherSlopes", "SlopeEquations", "SlopeFree"]

#: The range of estimated penalties, in shares of the number of observations.
RIDGES = 1e-9, 1e3


@dataclass(frozen=True, eq=False)
class SlopeEquations(ABC):
    """The equations ``S B = Fᵀ P y`` of slopes B, after the elimination of offsets.

    ``term`` describes F, and has the penalty ρ as ``strength``.
    """

    equations: OffsetEquations
    term: Any

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of B."""

    @abstractmethod
    def spread(self, B: Array, entries: Entries | None = None) -> Array:
        """Return ``F B``, or the term at other entries."""

    @abstractmethod
    def sums(self, y: Array, entries: Entries | None = None) -> Array:
        """Return the transpose of `spread`, in the shape of B."""

    @abstractmethod
    def described(self, B: Array) -> dict[str, Array]:
        """Return the fields of `flatmin.solvers.offsets.offsets.Offsets` that hold slopes."""

    @cached_property
    @abstractmethod
    def spectrum(self) -> tuple[Array, Array]:
        """The eigenvalues, ascending, and the eigenvectors of ``Fᵀ P F``."""

    @cached_property
    @abstractmethod
    def twice(self) -> Array:
        """The diagonal of ``Fᵀ P² F`` in the eigenvectors of `spectrum`."""

    @property
    def size(self) -> int:
        """The number of slopes."""
        return int(np.prod(self.shape))

    @property
    def root(self) -> float:
        """The root of the penalty ρ."""
        return float(np.sqrt(float(self.term.strength)))

    def fit(self, y: Array) -> Array:
        """Return the slopes ``S⁻¹ Fᵀ P y`` for weighted values y (m,)."""
        return self.solve(self.sums(self.without_offsets(y)))

    def without_offsets(self, y: Array) -> Array:
        """Return ``P y``."""
        return np.asarray(y - self.equations.spread(self.equations.solve(self.equations.sums(y))))

    def solve(self, h: Array) -> Array:
        """Return ``S⁻¹ h`` for h in the shape of B, or with ρ = 0 the solution of least norm."""
        values, Q = self.spectrum
        damped = values + float(self.term.strength)
        kept = damped > len(values) * np.finfo(float).eps * damped[-1]
        return np.asarray((Q[:, kept] @ ((Q[:, kept].T @ h.ravel()) / damped[kept])).reshape(h.shape))

    @property
    def freedom(self) -> float:
        """The degrees of freedom that slopes add, ``tr(P F S⁻¹ Fᵀ P)``, less than one for each."""
        values, rho = self.spectrum[0], float(self.term.strength)
        used = values > len(values) * np.finfo(float).eps * values[-1]
        return float(np.sum(self.twice[used] / (values[used] + rho)))

    def with_strength(self, strength: float) -> SlopeEquations:
        """Return the equations at another penalty, which share the eigenvalues."""
        other = replace(self, term=replace(self.term, strength=strength))
        other.__dict__["spectrum"] = self.spectrum
        return other

    def likeliest(self, y: Array) -> float:
        """Return the penalty ρ of largest restricted likelihood for weighted values y (m,) at given offset penalties.

        With slopes of variance σ²/ρ, and H and F as random and fixed effects, the restricted likelihood is, up to
        constants, ``−½ (n log(yᵀ P y − Σ h_k²/(λ_k + ρ)) + Σ log(1 + λ_k/ρ))``, where λ are the eigenvalues of FᵀPF,
        h is FᵀPy in their eigenvectors, and n is m minus the number of unpenalised offsets.
        """
        from scipy.optimize import minimize_scalar

        (values, Q), left = self.spectrum, self.without_offsets(y)
        h, total = (Q.T @ self.sums(left).ravel()) ** 2, float(y @ left)
        n = max(len(y) - (self.equations.unknowns - self.equations.n_penalised), 1)

        def unlikelihood(log_ridge: float) -> float:
            ridge = float(np.exp(log_ridge))
            rest = max(total - float(np.sum(h / (values + ridge))), float(np.finfo(float).tiny))
            return float(n * np.log(rest) + np.sum(np.log1p(values / ridge)))

        bounds = np.log(np.multiply(RIDGES, len(y)))
        return float(np.exp(minimize_scalar(unlikelihood, bounds=bounds, method="bounded").x))


@dataclass(frozen=True, eq=False, repr=False)
class SlopeFree(OffsetFree):
    """Observed entries after offsets and the slopes are eliminated; a measurement more for each slope."""

    terms: SlopeEquations

    @property
    def size(self) -> int:  # type: ignore[override]
        """The number of observations, of penalised offsets and of slopes."""
        return int(super().size) + self.terms.size

    def reduce(self, y: Array) -> Array:
        """Return the residual of y (m,), with the penalised offsets and slopes."""
        B = self.terms.fit(y)
        slopes = self._factor * self.terms.root * B.ravel()
        return np.concatenate([super().reduce(y - self.terms.spread(B)), slopes])

    def expand(self, y: Array) -> Array:
        """Return the transpose of `reduce`, shape (m,)."""
        rest, slopes = np.split(y, [self.size - self.terms.size])
        out, terms = super().expand(rest), self.terms
        h = terms.sums(out) - self._factor * terms.root * slopes.reshape(terms.shape)
        return np.asarray(out - terms.without_offsets(terms.spread(terms.solve(h))))

    def norms(self) -> Array:
        """Return bounds on the norms of the sensing matrices: those of the entries, and zeros."""
        return np.concatenate([super().norms(), np.zeros(self.terms.size)])


@dataclass(frozen=True, eq=False, repr=False)
class OtherSlopes(OtherEntries):
    """The linear part of predictions of other entries, after offsets and slopes are fitted to entries."""

    terms: SlopeEquations

    def adjoint(self, y: Array) -> Array:
        """Return the adjoint of y as an array."""
        terms, equations = self.terms, self.equations
        fitted = equations.spread(equations.solve(equations.sums(y, self.entries)))
        B = terms.solve(terms.sums(y, self.entries) - terms.sums(fitted))
        fitted = fitted + terms.without_offsets(terms.spread(B))
        return np.asarray(self.entries.adjoint(y) - equations.entries.adjoint(fitted))

    def _without(self, others: Array, fitted: Array) -> Array:
        B = self.terms.fit(fitted)
        left = super()._without(others, fitted - self.terms.spread(B))
        return np.asarray(left - self.terms.spread(B, self.entries))
