"""What a solver is asked to do, and how its answer is packed: the same for every solver."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.losses import Squared
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate, check_alpha
from flatmin.proofs.flatness import flatness
from flatmin.solution import Solution, Status
from flatmin.solvers.factored.newton import Budget

__all__ = ["Callback", "Task"]

Callback = Callable[[dict[str, float]], Any]


@dataclass(frozen=True, eq=False)
class Task:
    """A problem, the arguments of `flat_minimum` or its relatives, checked, and the limits while it is solved.

    Raises
    ------
    InputError
        If an argument is out of range.
    """

    problem: Problem
    alpha: float = 0.0
    metric_power: float = 1.0
    max_rank: int | None = None
    tol: float = 1e-8
    max_iter: int | None = None
    time_limit: float | None = None
    warm_start: Any = None
    seed: int = 0
    callback: Callback | None = None
    stop: str = "gap"
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem is a {type(self.problem).__name__}, expected a flatmin Problem")
        alpha, metric_power = check_alpha(self.alpha, self.metric_power)
        tol, limit = self.tol, self.time_limit
        if not isinstance(tol, int | float | np.number) or not 1e-14 <= tol <= 1:
            raise InputError(f"tol is {tol!r}, expected a number from 1e-14 to 1")
        if limit is not None and (not isinstance(limit, int | float | np.number) or not limit >= 0):
            raise InputError(f"time_limit is {limit!r}, expected a number of at least 0")
        for name, least in (("max_rank", 1), ("max_iter", 0), ("seed", 0)):
            count = getattr(self, name)
            if (count is None and name != "seed") or (isinstance(count, int | np.integer) and count >= least):
                continue
            raise InputError(f"{name} is {count!r}, expected a whole number of at least {least}")
        if self.stop not in ("gap", "objective"):
            raise InputError(f"stop is {self.stop!r}, expected 'gap' or 'objective'")
        for name, value in (("alpha", alpha), ("metric_power", metric_power), ("tol", float(tol))):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "budget", Budget(self.max_iter, limit))

    def at(self, alpha: float) -> Task:
        """Return the same task at another strength; its limits go on."""
        return self._with(alpha=alpha)

    def up_to(self, rank: int) -> Task:
        """Return the same task for matrices of at most this rank; its limits go on."""
        return self._with(max_rank=max(rank, 1))

    def starting(self, solution: Solution) -> Task:
        """Return the same task with a start; its limits go on."""
        return self._with(warm_start=solution)

    def within(self, budget: Budget) -> Task:
        """Return the same task with limits that go on from another one."""
        other = replace(self)
        object.__setattr__(other, "budget", budget)
        return other

    def _with(self, **changes: Any) -> Task:
        other = replace(self, **changes)
        object.__setattr__(other, "budget", self.budget)
        return other

    @property
    def widest(self) -> int | None:
        """The largest rank allowed, by the argument or by the model."""
        return getattr(self.problem.parametrization, "rank", None) if self.max_rank is None else int(self.max_rank)

    @property
    def settings(self) -> dict[str, Any]:
        """What is needed to repeat the solve, in plain numbers."""
        found = {
            "alpha": self.alpha,
            "metric_power": self.metric_power,
            "max_rank": None if self.max_rank is None else int(self.max_rank),
            "tol": self.tol,
            "max_iter": None if self.max_iter is None else int(self.max_iter),
            "time_limit": None if self.time_limit is None else float(self.time_limit),
            "seed": int(self.seed),
        }
        return found if self.stop == "gap" else found | {"stop": self.stop}

    def expect_defaults(self, *names: str) -> None:
        """Raise `InputError` if an argument is set that means nothing for the model's solver."""
        squared = isinstance(self.problem.loss, Squared)
        model = self.problem.parametrization if squared else self.problem.loss
        for name in names:
            value, default = getattr(self, name), type(self).__dataclass_fields__[name].default
            if value is not default and value != default:
                shown = f"{name} was given" if name == "warm_start" else f"{name} is {value!r}"
                raise InputError(f"{shown}, expected its default {default!r} for {model!r}")

    def solution(
        self,
        factors: Factors,
        proof: Certificate,
        status: Status,
        history: Mapping[str, Any],
        **parts: Any,
    ) -> Solution:
        """Return the solution that the factors make."""
        D1, D2 = self.problem.metric
        return Solution(
            factors=factors,
            status=status,
            certificate=proof,
            flatness=flatness(self.problem, factors),
            history={name: np.array(values) for name, values in history.items()},
            seconds=self.budget.seconds,
            iterations=self.budget.iterations,
            undetermined=(D1.undetermined, D2.undetermined),
            parametrization=self.problem.parametrization,
            settings=self.settings,
            parts=parts,
        )

    def status(self, proof: Certificate, *, consistent: bool = True, converged: bool = True) -> Status:
        """Return how a solve ended whose certificate this is."""
        if not consistent:
            return Status.inconsistent_data
        if proof.holds and proof.objective == "penalised":
            return Status.regularized_minimum
        if proof.holds:
            return Status.unique_flat_minimum if proof.unique else Status.flat_minimum
        if not converged and self.budget.exhausted:
            return Status.time_limit if self.budget.out_of_time else Status.iteration_limit
        return Status.not_certified
