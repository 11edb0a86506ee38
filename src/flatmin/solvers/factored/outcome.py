"""Outcome: the point, dual vector and history at the end of a convex solve."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Callback, Clock

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """The result of a convex solve: the best primal point, the best dual vector, its lower bound and the history."""

    U: Array
    s: Array
    V: Array
    y: Array
    bound: float
    converged: bool = False
    history: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def zero(cls, shape: tuple[int, int], b: Array) -> Outcome:
        """Return the zero matrix as an outcome, with the multiplier zero."""
        return cls(np.zeros((shape[0], 0)), np.zeros(0), np.zeros((shape[1], 0)), np.zeros_like(b), 0.0, True)

    def improve_bound(self, b: Array, y: Array, norm: float, penalty: float = np.inf) -> None:
        """Keep a multiplier whose dual matrix has this norm, if its bound is the best so far."""
        scaled = y / max(1.0, norm)
        bound = float(b @ scaled) - float(scaled @ scaled) / (2 * penalty)
        if bound > self.bound:
            self.bound, self.y = bound, y

    def gap(self, value: float) -> float:
        """Return the relative duality gap of a point whose objective has this value."""
        return (value - self.bound) / value if value else 0.0

    def record(
        self, point: tuple[Array, Array, Array], clock: Clock, callback: Callback | None = None, **progress: float
    ) -> None:
        """Move to a point and append a row to the history."""
        self.U, self.s, self.V = point
        clock.record(self.history, callback, **progress)
