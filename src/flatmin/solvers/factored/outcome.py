"""What solvers of convex programmes are told beside the problem, and how their work ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.factored.newton import Budget

__all__ = ["Options", "Outcome"]


@dataclass(frozen=True)
class Options:
    """What a user may set."""

    tol: float = 1e-8
    max_rank: int | None = None
    seed: int = 0
    callback: Callable[[dict[str, float]], Any] | None = None


@dataclass
class Outcome:
    """The end of a solve: the best primal point, the best dual vector, and the way there."""

    U: Array
    s: Array
    V: Array
    y: Array
    bound: float
    converged: bool = False
    history: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def zero(cls, shape: tuple[int, int], b: Array) -> Outcome:
        """Return the zero matrix, which solves a problem without data."""
        return cls(np.zeros((shape[0], 0)), np.zeros(0), np.zeros((shape[1], 0)), np.zeros_like(b), 0.0, True)

    def offer(self, b: Array, y: Array, norm: float, penalty: float = np.inf) -> None:
        """Keep a multiplier whose dual matrix has this norm, if its bound is the best so far."""
        scaled = y / max(1.0, norm)
        bound = float(b @ scaled) - float(scaled @ scaled) / (2 * penalty)
        if bound > self.bound:
            self.bound, self.y = bound, y

    def gap(self, value: float) -> float:
        """Return the relative duality gap of a point whose objective has this value."""
        return (value - self.bound) / value if value else 0.0

    def arrive(self, point: tuple[Array, Array, Array], budget: Budget, options: Options, **progress: float) -> None:
        """Move to a point, append a row to the history and hand it to the callback."""
        self.U, self.s, self.V = point
        row = {"iteration": budget.iterations, "seconds": budget.seconds, **progress}
        for name, number in row.items():
            self.history.setdefault(name, []).append(float(number))
        if options.callback is not None:
            options.callback(row)
