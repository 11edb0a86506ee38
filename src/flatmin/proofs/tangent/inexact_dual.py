"""The lemma of the inexact dual: uniqueness and a radius from a dual vector that is nearly a subgradient.

The norm grows away from a solution Z at least as ``‖Z'‖_* − ‖Z‖_* ≥ ⟨λ, B(H)⟩ − ε ‖H_T‖ + δ ‖H_⊥‖_*``, where
``H = Z' − Z``, T is the tangent space at Z, ε bounds the distance of ``P_T B*(λ)`` from ``U V*``, and ``1 − δ`` bounds
the norm of the part of ``B*(λ)`` outside T. If B is injective on T, this bounds H (docs/theory/uniqueness.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.decompositions import norm_bound
from flatmin.linalg.forward_error import gamma, inner_product, rounded_up
from flatmin.linalg.subspaces import DENSE, as_array
from flatmin.proofs.radius import Stability
from flatmin.proofs.rounding.stored_triplets import distance_from_triplets
from flatmin.proofs.tangent.tangent_map import TangentColumns, TangentMap, tangent_map
from flatmin.proofs.uniqueness_conditions import UniquenessConditions

__all__ = ["InexactDual", "nearest_others"]

#: A dual vector is corrected on the tangent space if its error there costs more than this share of the margin.
HARMLESS = 0.01


@dataclass(frozen=True, eq=False)
class InexactDual:
    """A dual vector for the lemma, at the matrix of the r leading singular triplets of a solution.

    Attributes
    ----------
    conditions : UniquenessConditions
        The solution and a dual matrix that proves it flattest.
    tangent : TangentMap
        B on the tangent space at its r leading singular vectors.
    dual : ndarray, shape (m,)
        The vector λ; for conditions with the dual matrix I − Y, the negative of their dual vector.
    margin, distance : float
        δ and ε, with rounding counted.
    """

    conditions: UniquenessConditions
    tangent: TangentMap
    rank: int
    dual: Array
    margin: float
    distance: float

    @classmethod
    def from_conditions(cls, conditions: UniquenessConditions, rank: int) -> InexactDual | None:
        """Return the dual vector of the conditions as it is, or None if the lemma does not apply."""
        (U, _, V), point = conditions.point.Z, conditions.point
        U, V = U[:, :rank], V[:, :rank]
        margin = conditions.margin_outside(U, V)
        if rank == 0 or margin <= 0:
            return None
        tangent = tangent_map(point, U, V)
        if tangent is None or tangent.injectivity == 0:
            return None
        dual = -conditions.dual if conditions.growth else conditions.dual
        return cls(
            conditions,
            tangent,
            rank,
            dual,
            margin - tangent.dual_error(dual),
            tangent.distance(dual, _sign(conditions)),
        )

    @property
    def share(self) -> float:
        """``ε / σ``: the error of the dual matrix on the tangent space, relative to the injectivity σ of B there."""
        return self.distance / self.tangent.injectivity

    @cached_property
    def surplus(self) -> float:
        """``δ' = δ − ε gain / σ``: if this is positive, Z is unique for its own measurements."""
        return self.margin - self.share * self.conditions.point.gain

    def changed(self) -> InexactDual:
        """Return this dual vector after the least change that removes its error on the tangent space."""
        sign = _sign(self.conditions)
        change = self.tangent.least_change(self.dual, sign)
        dual = self.dual + change
        added = _operator_norm(self.conditions.point.whitened.adjoint_operator(change))
        margin = self.margin + self.tangent.dual_error(self.dual) - added - 2 * self.tangent.dual_error(change)
        margin -= self.tangent.dual_error(dual)
        return InexactDual(self.conditions, self.tangent, self.rank, dual, margin, self.tangent.distance(dual, sign))

    def bounds(self) -> tuple[Stability, float]:
        """Return the constants for matrices that fit the data, and the radius of other flat minima."""
        conditions, point = self.conditions, self.conditions.point
        outside = distance_from_triplets(point, self.rank)
        misfit = point.misfit
        hidden = outside * (1 + self.share * point.gain)
        rounding = self._rounding()
        above = hidden if conditions.growth else hidden + outside + rounding * point.norm
        fitting = Stability(
            space="tangent",
            semidefinite=point.cone.is_semidefinite,
            gap=above + self._paired_residual() + self.share * misfit,
            size=point.norm,
            margin=self.surplus,
            injectivity=self.tangent.injectivity,
            gain=point.gain,
            dual_size=float(np.linalg.norm(self.dual)) + self.share,
            misfit=misfit,
            outside=outside,
            unwhiten=point.unwhiten,
        )
        if conditions.penalty == 0:
            return fitting, fitting.radius()
        above = hidden + outside + rounding * point.norm + conditions.hidden_loss
        return fitting, self._minimisers(fitting, above).radius()

    def _minimisers(self, fitting: Stability, above: float) -> Stability:
        """Return the constants for matrices whose penalised objective is at most that of Z.

        ``above`` bounds what rounding hides of the objective, in units of ``‖Z‖_*``.
        """
        m, penalty = len(self.dual), self.conditions.penalty
        unbalanced = 2 / m * self.conditions.point.residual + penalty * self.dual
        rounding = 2 / m * float(np.linalg.norm(self.conditions.point.residual_error))
        tilt = float(np.linalg.norm(unbalanced)) + penalty * self.share + rounding
        misfit = (m * tilt + np.sqrt((m * tilt) ** 2 + 4 * m * penalty * above)) / 2
        return replace(fitting, gap=above + m * tilt**2 / (4 * penalty), misfit=float(misfit))

    def _paired_residual(self) -> float:
        """Return an upper bound on ``⟨λ, A(X) − b⟩``."""
        point = self.conditions.point
        pairing, error = inner_product(self.dual, point.residual)
        return pairing + error + float(np.abs(self.dual) @ point.residual_error)

    def _rounding(self) -> float:
        """Return a bound on the relative error of ``‖Z‖_*`` as the sum of the singular values that are stored.

        It includes the error of the metric, since the flatness of other matrices is measured in the exact metric. For
        the polar factors of U and V, ``⟨Ũ Ṽ*, U s V*⟩`` is the trace of ``(U*U)^½ s (V*V)^½``. With ``U*U = I + D`` the
        root is ``I + D/2`` up to ``‖D‖²/4``, so that the trace differs from ``Σ s`` by halves of the diagonals of both
        defects, and by terms of second order, which the square of the sum of both norms bounds.
        """
        U, _, V = self.conditions.point.Z
        error, square = 0.0, 0.0
        for F in (U, V):
            defect = np.abs(F.conj().T @ F - np.eye(F.shape[1])) + 1.01 * gamma(len(F) + 2, np.iscomplexobj(F))
            error += float(np.max(np.diagonal(defect), initial=0.0)) / 2
            square += float(np.linalg.norm(defect))
        point = self.conditions.point
        known = float(error + square**2) + gamma(2 * U.shape[1] + 8)
        return rounded_up(known + point.norm / float(point.Z[1].sum()) - 1)


def nearest_others(conditions: UniquenessConditions, rank: int) -> tuple[Stability, float, Array | None] | None:
    """Return the constants and the radius that the lemma gives at the ``rank`` leading triplets, or None.

    The third result is the `Cone.derivative` there, if it was computed. The dual vector is corrected on the tangent
    space if that gives a smaller radius.
    """
    given = InexactDual.from_conditions(conditions, rank)
    if given is None:
        return None
    duals = [given]
    if conditions.penalty or given.margin - given.surplus > HARMLESS * given.margin:
        duals.append(given.changed())
    found = [dual.bounds() for dual in duals if dual.surplus > 0]
    best = min((bounds for bounds in found if np.isfinite(bounds[1])), key=lambda bounds: bounds[1], default=None)
    return best and (*best, given.tangent.sides if isinstance(given.tangent, TangentColumns) else None)


def _sign(conditions: UniquenessConditions) -> float:
    return 0.0 if conditions.growth else 1.0


def _operator_norm(S: Any) -> float:
    """Return an upper bound on the operator norm of an array, or on the Frobenius norm of a larger matrix."""
    if isinstance(S, np.ndarray) and min(S.shape) <= DENSE:
        return norm_bound(S, float(np.linalg.norm(S, 2)))
    if hasattr(S, "tocsr"):
        from scipy.sparse import csr_array

        cells = csr_array((S.data, S.indices, S.indptr), shape=S.shape, copy=True)
        cells.sum_duplicates()  # an entry that is observed twice is stored twice
        return float(np.linalg.norm(cells.data)) * (1 + gamma(cells.nnz + 2))
    return float(np.linalg.norm(as_array(S))) * (1 + gamma(S.shape[0] * S.shape[1] + 2, True))
