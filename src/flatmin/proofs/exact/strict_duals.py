"""Strict duals: dual vectors whose matrix has a norm below one outside the tangent space, as uniqueness proofs need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import as_array
from flatmin.proofs.exact.tangent_equations import TangentEquations

__all__ = ["Outside", "outside_norm"]

#: Exponents of the Schatten norms that are minimised one after the other; with growing exponents they approach the
#: operator norm.
EXPONENTS = (4, 8, 16, 32, 64)
#: Conjugate gradient steps for each exponent.
STEPS = 12
#: The descent ends once the norm outside is below this number: a larger margin makes no proof better.
SMALL = 0.9
#: Largest number of halvings of a step, and the share of the expected decrease that a step must reach.
HALVINGS, SHARE = 30, 1e-4


@dataclass(frozen=True, eq=False)
class Outside:
    """The part ``(I − P P*) B*(λ) (I − Q Q*)`` of a dual matrix, outside the tangent space at ``P C Q*``."""

    tangent: TangentEquations
    P: Array
    Q: Array

    def part(self, dual: Array) -> Array:
        """Return the part of the dual matrix outside."""
        return _outside(self.tangent.measurement.adjoint_operator(dual), self.P, self.Q)

    def norm(self, dual: Array) -> float:
        """Return the operator norm of the part outside."""
        return outside_norm(self.tangent.measurement.adjoint_operator(dual), self.P, self.Q)

    def strict(self, dual: Array) -> Array:
        """Return a dual vector equal to the given one on the tangent space and, if possible, smaller outside.

        Schatten norms with growing exponents are minimised by conjugate gradients (Polak, Ribière).
        """
        best, smallest = dual, self.norm(dual)
        for exponent in EXPONENTS:
            if smallest <= SMALL:
                break
            moved = self._descended(best, exponent)
            if (size := self.norm(moved)) < smallest:
                best, smallest = moved, size
        return best

    def _descended(self, dual: Array, exponent: int) -> Array:
        """Return the dual vector after some steps that make a Schatten norm of the part outside smaller."""
        step, former, direction = 0.0, None, np.zeros_like(dual)
        for _ in range(STEPS):
            value, gradient = self._gradient(dual, exponent)
            if former is not None:
                direction *= max(0.0, float(gradient @ (gradient - former)) / float(former @ former))
            direction = direction - gradient
            if former is None or gradient @ direction >= 0:
                direction = -gradient
            slope = float(gradient @ direction)
            if slope == 0 or not np.isfinite(slope):
                break
            step, former = 2 * step or value / abs(slope), gradient
            for _ in range(HALVINGS):
                if self._schatten(dual + step * direction, exponent) <= value + SHARE * step * slope:
                    break
                step /= 2
            else:
                break
            dual = dual + step * direction
        return dual

    def _schatten(self, dual: Array, exponent: int) -> float:
        return _vector_norm(np.linalg.svd(self.part(dual), compute_uv=False), exponent)

    def _gradient(self, dual: Array, exponent: int) -> tuple[float, Array]:
        """Return the Schatten norm, and its gradient among changes of λ that vanish on the tangent space."""
        U, s, Vh = np.linalg.svd(self.part(dual), full_matrices=False)
        value = _vector_norm(s, exponent)
        if value == 0:
            return 0.0, np.zeros_like(dual)
        gradient = self.tangent.measurement.forward((U * (s / value) ** (exponent - 1)) @ Vh)
        return value, gradient - self.tangent.dual_step(self.tangent.adjoint(gradient))


def _vector_norm(s: Array, exponent: int) -> float:
    """Return the norm with this exponent of nonnegative numbers in descending order, without overflow."""
    return float(s[0] * np.linalg.norm(s / s[0], exponent)) if s[0] > 0 else 0.0


def outside_norm(Y: Any, P: Array, Q: Array) -> float:
    """Return the operator norm of ``(I − P P*) Y (I − Q Q*)``."""
    return float(np.linalg.norm(_outside(Y, P, Q), 2))


def _outside(Y: Any, P: Array, Q: Array) -> Array:
    Y = as_array(Y)
    Y = Y - P @ (P.conj().T @ Y)
    return np.asarray(Y - (Y @ Q) @ Q.conj().T)
