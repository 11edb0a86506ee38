"""The trace of the Hessian as a penalty, of constant or of falling strength."""

from dataclasses import dataclass

from torch import nn

from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.tasks import Objective

__all__ = ["COMPETITORS", "TracePenalty"]


@dataclass(frozen=True, kw_only=True)
class TracePenalty(Competitor):
    """Gradient descent on loss + alpha · trace with all data in each step.

    The strength is ``alpha · (trace at natural weights) / (loss of the zero prediction)``. On factored models the
    scaled trace has a closed form, whose gradient costs a product of small matrices and is not counted. On networks the
    trace is estimated by a pass that is counted. A constant penalty keeps the loss from zero. A falling one ends at a
    flat minimum in the limit of slow decay.

    Attributes
    ----------
    decades : float
        The strength decreases geometrically over the budget, by this power of 10 in total.
    """

    decades: float = 0.0

    def objective(self, model: nn.Module, loss: nn.Module, entry: Entry) -> Objective:
        """Return loss plus trace."""
        penalised = entry.task.penalised(model, loss, entry.seed)
        alpha = (entry.strength or 0.0) * entry.task.zero_loss / entry.task.natural_trace
        return lambda x, y, spent: penalised(x, y, alpha * 10.0 ** (-self.decades * spent))


COMPETITORS = [
    TracePenalty(
        name="trace-penalty",
        title="Trace penalty",
        claims="the trace of the Hessian, explicitly",
        source="the penalised form of flat minima",
        strength=0.15,
    ),
    TracePenalty(
        name="trace-penalty-decaying",
        title="Trace penalty, decaying",
        claims="the trace of the Hessian among solutions",
        source="the penalised form of flat minima",
        strength=3.0,
        decades=5.0,
    ),
]
