"""The objective shared by the benchmarks of flat minima: the data that it hands out, and the referee's verdict."""

from __future__ import annotations

from typing import Any, ClassVar

from benchopt import BaseObjective

import flatmin as fm
from benchmarks.competitor import UntilTarget
from benchmarks.referee import verdict


class Judged(BaseObjective):
    """Flat minima, judged: ``accuracy`` is the fit's residual and the gap, or the distance to the truth if smaller."""

    name = "flat minimum"
    requirements: ClassVar[list[str]] = ["pip::flatmin"]
    min_benchopt_version = "1.10"
    stopping_criterion = UntilTarget()
    parameters: ClassVar[dict[str, list[Any]]] = {"target": [1e-7]}

    def set_data(self, problem: fm.Problem, truth: Any, rank: int | None = None) -> None:
        self.problem, self.truth, self.rank = problem, truth, rank

    def get_objective(self) -> dict[str, Any]:
        return {"problem": self.problem, "rank": self.rank}

    def evaluate_result(self, answer: Any, memory: float | None = None, fitted: float | None = None) -> dict[str, Any]:
        judged = verdict(self.problem, self.truth, answer)
        accuracy = max(judged["residual"], min(judged["gap size"], judged["error"]))
        more = {"target": self.target, "memory": memory, "seconds to fit": fitted}
        return {**judged, "accuracy": accuracy, **more}

    def get_one_result(self) -> dict[str, Any]:
        return {"answer": self.truth}
