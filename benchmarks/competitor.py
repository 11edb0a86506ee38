"""The base class of all competitors: the number of runs, and a clock and a memory gauge that they cannot change.

A competitor is one file in ``solvers/`` of a benchmark with a ``Solver(Competitor)``. Its ``budgets`` are the stop
values that are tried in turn until the referee finds the target met; ``solve(budget)`` returns the answer as the
referee's arguments. benchopt measures the time, and the referee ignores what a competitor reports about the quality of
its answer. Three numbers come from the competitor and are marked as such: the number of sweeps of a budget, the time
that another process took to start, and flatmin's "seconds to fit", the time at which the answer was ready, before its
certificate.

Memory is the largest increase above the resident memory before the first solve. Imports, compiled loops and the data,
also in the form that the competitor takes, are resident before.
"""

from __future__ import annotations

import os
from typing import Any, ClassVar

from benchopt import BaseSolver
from benchopt.stopping_criterion import StoppingCriterion

from benchmarks.gauge import forget_peak, resident


def threads() -> int:
    """Return the number of threads of this process."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


class UntilTarget(StoppingCriterion):
    """Run a competitor at its budgets, one after the other, until the referee finds its target met."""

    def __init__(self, strategy: str | None = None, key_to_monitor: str | None = None, minimize: bool = True) -> None:
        super().__init__(strategy=strategy, key_to_monitor=None, minimize=minimize)

    def init_stop_val(self) -> Any:
        self.budgets = list(self.solver.budgets)
        return self.budgets.pop(0)

    def get_next_stop_val(self, stop_val: Any) -> Any:
        return self.budgets.pop(0)

    def check_convergence(self, curve: list[dict[str, Any]]) -> tuple[bool, float]:
        last = curve[-1]
        accuracy, target = last.get("objective_accuracy"), last.get("objective_target")
        met = accuracy is not None and target is not None and accuracy <= target
        return not self.budgets or met, 0.0


class Competitor(BaseSolver):
    """A solver whose answer the referee judges; subclasses have ``name``, ``solve`` and, if not one, ``budgets``."""

    sampling_strategy = "tolerance"
    stopping_criterion = UntilTarget()
    #: Tolerances (or iterations), loosest first.
    budgets: ClassVar[Any] = (None,)
    requirements: ClassVar[list[str]] = []
    #: Whether it computes in this process, so that its memory can be measured.
    here: ClassVar[bool] = True

    def set_objective(self, **problem: Any) -> None:
        for name, value in problem.items():
            setattr(self, name, value)
        self.prepare()
        self.added: float | None = None
        self.solved = False
        forget_peak()
        self.before = resident("VmRSS")

    def prepare(self) -> None:
        """Convert the data into the form that is needed; not timed, because a user's data already have it."""

    def solve(self, budget: Any) -> dict[str, Any]:
        """Return the referee's arguments, such as ``{"answer": matrix}``."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Run one sweep before anything is timed, so that only the cost of further sweeps is measured."""
        if self.sampling_strategy == "iteration":
            self.run_once(1)

    def run(self, stop_val: Any) -> None:
        self.found = self.solve(stop_val)
        if not self.solved:
            self.solved = True
            peak = resident() if self.here else None
            self.added = None if peak is None or self.before is None else max(0.0, peak - self.before)

    def get_result(self) -> dict[str, Any]:
        return {**self.found, "memory": self.added}
