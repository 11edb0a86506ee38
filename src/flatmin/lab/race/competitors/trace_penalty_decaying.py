"""The trace of the Hessian as a penalty whose strength goes to zero."""

from __future__ import annotations

from flatmin.lab.race.competitors.trace_penalty import TracePenalty

__all__ = ["TracePenaltyDecaying"]


class TracePenaltyDecaying(TracePenalty):
    """Gradient descent on loss + μ · trace, with μ falling geometrically by a factor of 10⁵ over the budget.

    The unit of the strength is that of `TracePenalty`. In the limit of slow decay it ends at a flat minimum.
    """

    name = "trace-penalty-decaying"
    title = "Trace penalty, decaying"
    claims = "the trace of the Hessian among solutions"
    strength = 3.0

    def share(self, spent: float) -> float:
        """Return 10 to the power of −5 times what is spent."""
        return float(10.0 ** (-5 * spent))
