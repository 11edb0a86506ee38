"""Offsets around linear functions of features, such as the genres of films: ``a = U β + deviation``.

The offsets a of rows with features U (d1, p) have the penalty ``κ ‖a − U β‖² + ρ ‖β‖²``, and β is fitted with them. So
an offset with few observations is pulled to the value that its features predict, instead of zero. The least penalty
over β is a quadratic form of a, which differs from ``κ ‖a‖²`` by a matrix of rank p:

    β = B⁻¹ κ Uᵀ a,   B = κ Uᵀ U + ρ I,   min_β = aᵀ (κ I − κ U B⁻¹ κ Uᵀ) a.

Let A be the matrix of the equations without features, and V the matrix whose columns are ``κ U`` in the part of the
offsets. By the Woodbury identity, the solution is ``A⁻¹ h + A⁻¹ V S⁻¹ Vᵀ A⁻¹ h`` with ``S = B − Vᵀ A⁻¹ V``. Columns are
treated in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.offsets.equations import OffsetEquations, Triple

__all__ = ["FeatureEquations", "LinearTerms"]

#: Eigenvalues of S below this share of its largest one count as zero: features that are linear functions of others.
ZERO_EIGENVALUE = 1e-11


@dataclass(frozen=True, eq=False)
class LinearTerms:
    """Linear terms of the offsets of rows or of columns.

    Attributes
    ----------
    features : ndarray, shape (d, p)
        The features U of every row (column). Features of mean 0 leave the constant as it is.
    strength : float or "auto"
        The ridge penalty ρ on the slopes β: 0 does not penalise, "auto" is estimated by `OffsetModel.estimated`.
    """

    features: Array
    strength: float | str = "auto"


@dataclass(frozen=True, eq=False)
class FeatureEquations(OffsetEquations):
    """The equations of penalised offsets whose means are linear in features; the terms are those of rows and columns.

    A kind of offsets that is absent or not penalised has no terms, because its features would change no prediction.
    """

    terms: tuple[LinearTerms | None, LinearTerms | None] = (None, None)

    def solve(self, h: Triple) -> Triple:
        """Return the solution z, which includes the parts that features predict."""
        z = super().solve(h)
        slopes = self._inverse_schur @ self._back_to_slopes(z)
        g, a, b = (np.asarray(part) + shift @ slopes for part, shift in zip(z, self._shifts, strict=True))
        return float(g), a, b

    def slopes(self, z: Triple) -> tuple[Array, Array]:
        """Return the slopes β of rows and of columns that fit given offsets best."""
        found = [np.zeros(0), np.zeros(0)]
        for k, kappa, U, rho in self._blocks:
            found[k] = _ridge(kappa * U.T @ U + rho * np.eye(U.shape[1])) @ (kappa * U.T @ z[1 + k])
        return found[0], found[1]

    def roots_of_penalty(self, z: Triple) -> Array:
        """Return ``K^½ z``: the penalised deviations of the offsets, and after them the penalised slopes."""
        slopes, deviations = self.slopes(z), list(z)
        for k, _, U, _ in self._blocks:
            deviations[1 + k] = z[1 + k] - U @ slopes[k]
        ridges = [np.sqrt(rho) * slopes[k] for k, _, _, rho in self._blocks]
        return np.concatenate([super().roots_of_penalty((0.0, deviations[1], deviations[2])), *ridges])  # type: ignore[arg-type]

    def back_from_penalty(self, s: Array) -> tuple[Array, Array]:
        """Return the transpose of `roots_of_penalty`, without the constant."""
        n = super().n_penalised
        sides = list(super().back_from_penalty(s[:n]))
        for k, kappa, U, rho in self._blocks:
            ridge, n = np.sqrt(rho) * s[n : n + U.shape[1]], n + U.shape[1]
            B = kappa * U.T @ U + rho * np.eye(U.shape[1])
            sides[k] = sides[k] + kappa * U @ (_ridge(B) @ (ridge - U.T @ sides[k]))
        return sides[0], sides[1]

    @property
    def n_penalised(self) -> int:
        """The number of penalised offsets and slopes, including slopes of penalty 0."""
        return int(super().n_penalised) + self._n_slopes

    @property
    def unknowns(self) -> int:
        """The number of offsets and slopes that the observations could determine if none was penalised."""
        return int(super().unknowns) + self._n_slopes

    @cached_property
    def pulled(self) -> tuple[float, float]:
        """The parts of ``tr(K G)`` of the deviations of rows and of columns."""
        parts = list(super().pulled)
        for k, strength in enumerate(self.strengths):
            shifts = -self._shifts[1 + k]
            for place, (j, _, U, _) in zip(self._places, self._blocks, strict=True):
                if j == k:
                    shifts[:, place] += U
            parts[k] += (strength or 0.0) * float(np.sum(shifts * (shifts @ self._inverse_schur)))
        return parts[0], parts[1]

    @cached_property
    def pulled_slopes(self) -> tuple[float, float]:
        """The parts of ``tr(K G)`` of the slopes of rows and of columns."""
        parts = [0.0, 0.0]
        for place, (k, _, _, rho) in zip(self._places, self._blocks, strict=True):
            parts[k] = rho * float(np.trace(self._inverse_schur[place, place]))
        return parts[0], parts[1]

    @cached_property
    def _blocks(self) -> list[tuple[int, float, Array, float]]:
        """For each kind that has terms: its place, κ, U and ρ."""
        both = enumerate(zip(self.strengths, self.terms, strict=True))
        return [(k, kappa, t.features, float(t.strength)) for k, (kappa, t) in both if kappa and t is not None]

    @cached_property
    def _places(self) -> list[slice]:
        """The places of the slopes of each block among all slopes."""
        ends = np.cumsum([0, *(U.shape[1] for _, _, U, _ in self._blocks)])
        return [slice(start, end) for start, end in pairwise(ends)]

    @property
    def _n_slopes(self) -> int:
        """The number of slopes."""
        return int(sum(U.shape[1] for _, _, U, _ in self._blocks))

    def _back_to_slopes(self, z: Triple) -> Array:
        """Return ``Vᵀ z``."""
        return np.concatenate([np.zeros(0), *(kappa * U.T @ z[1 + k] for k, kappa, U, _ in self._blocks)])

    @cached_property
    def _shifts(self) -> tuple[Array, Array, Array]:
        """``A⁻¹ V``: the constant (p,), rows (d1, p) and columns (d2, p)."""
        p, (d1, d2) = self._n_slopes, self.entries.shape
        found = np.zeros(p), np.zeros((d1, p)), np.zeros((d2, p))
        for place, (k, kappa, U, _) in zip(self._places, self._blocks, strict=True):
            for column, feature in zip(range(place.start, place.stop), U.T, strict=True):
                h = [np.zeros(d1), np.zeros(d2)]
                h[k] = kappa * feature
                found[0][column], found[1][:, column], found[2][:, column] = super().solve((0.0, h[0], h[1]))
        return found

    @cached_property
    def _inverse_schur(self) -> Array:
        """The inverse of S, or its pseudo-inverse if features are linear functions of others."""
        p = self._n_slopes
        S = np.zeros((p, p))
        for place, (_, kappa, U, rho) in zip(self._places, self._blocks, strict=True):
            S[place, place] = kappa * U.T @ U + rho * np.eye(U.shape[1])
        for row in range(p):
            S[:, row] -= self._back_to_slopes(tuple(shift[..., row] for shift in self._shifts))  # type: ignore[arg-type]
        return _ridge((S + S.T) / 2)


def _ridge(S: Array) -> Array:
    """Return the inverse of a positive semidefinite matrix on the span of its larger eigenvalues."""
    values, Q = np.linalg.eigh(S)
    kept = values > ZERO_EIGENVALUE * np.max(values, initial=0.0)
    return np.asarray((Q[:, kept] / values[kept]) @ Q[:, kept].T)
