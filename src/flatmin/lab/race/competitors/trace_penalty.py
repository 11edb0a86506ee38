"""The trace of the Hessian as a penalty, of constant strength."""

from __future__ import annotations

from torch import nn

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.task import Objective

__all__ = ["TracePenalty"]


class TracePenalty(Competitor):
    """Gradient descent on loss + μ · trace, on all data.

    The strength s is ``μ · (trace of natural weights) / (loss of a model that answers nothing)``. On factored models
    the scaled trace has a closed form, whose gradient costs a product of small matrices and is not counted; elsewhere
    the trace is estimated by a pass that is. A constant penalty keeps the loss from zero: it minimises the sum.
    """

    name = "trace-penalty"
    title = "Trace penalty"
    claims = "the trace of the Hessian, explicitly"
    source = "the penalised form of flat minima"
    strength = 0.15

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return loss plus trace."""
        penalised = entry.task.penalised(model, loss, entry.seed)
        strength = (entry.strength or 0.0) * entry.task.height / entry.task.natural_trace
        return lambda x, y, spent: penalised(x, y, strength * self.share(spent))

    def share(self, spent: float) -> float:
        """Return the part of the strength that holds when a share of the budget is spent: all of it."""
        return 1.0
