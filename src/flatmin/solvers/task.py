"""Task: one call of a solver with checked arguments, and the solution built from its result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatmin._core.limits import Clock, Limits
from flatmin.errors import InputError
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate, check_alpha
from flatmin.proofs.flatness import flatness
from flatmin.solution import Solution, Status

__all__ = ["Task", "status_of"]


@dataclass(frozen=True, eq=False)
class Task:
    """A problem and the checked arguments of `flat_minimum` or its relatives.

    ``alpha`` is 0 for an exact fit. It is also 0 if ``auto`` is true, in which case the solver finds alpha from the
    noise. The other fields are those of `flat_minimum`. Arguments out of range raise `InputError`.
    """

    problem: Problem
    alpha: float = 0.0
    metric_power: float = 1.0
    warm_start: Any = None
    limits: Limits = field(default_factory=Limits)
    auto: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.problem, Problem):
            raise InputError(f"problem is a {type(self.problem).__name__}, expected a flatmin Problem")
        alpha, metric_power = check_alpha(self.alpha, self.metric_power)
        object.__setattr__(self, "alpha", alpha)
        object.__setattr__(self, "metric_power", metric_power)

    @property
    def is_robust(self) -> bool:
        """Whether the loss allows for gross errors."""
        return self.problem.loss.has_gross_errors

    def has_model(self, kind: type) -> bool:
        """Return whether the parametrization is an instance of a class."""
        return isinstance(self.problem.parametrization, kind)

    @property
    def max_rank(self) -> int | None:
        """The largest rank allowed by the limits or, if they have none, by the model; None if any rank is allowed."""
        own: int | None = getattr(self.problem.parametrization, "rank", None)
        return own if self.limits.max_rank is None else self.limits.max_rank

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that repeat the solve, as plain numbers, including those of a loss `Absolute`."""
        loss = vars(self.problem.loss) if self.is_robust else {}
        names = ("max_rank", "tol", "max_iter", "time_limit", "seed", *(("stop",) if self.limits.stop != "gap" else ()))
        own = {"alpha": self.alpha, "metric_power": self.metric_power}
        return own | {name: getattr(self.limits, name) for name in names} | dict(loss)

    def expect_defaults(self, *names: str) -> None:
        """Raise `InputError` if one of these arguments is set, because the solver of this model does not use them."""
        for name in names:
            owner = self if name in type(self).__dataclass_fields__ else self.limits
            value, default = getattr(owner, name), type(owner).__dataclass_fields__[name].default
            if value is not default and value != default:
                shown = f"{name} was given" if name == "warm_start" else f"{name} is {value!r}"
                raise InputError(f"{shown}, expected its default {default!r} for {self.problem.model!r}")

    def solution(
        self,
        clock: Clock,
        factors: Factors,
        proof: Certificate,
        status: Status,
        history: Mapping[str, Any],
        **parts: Any,
    ) -> Solution:
        """Return a solution with these factors and this certificate."""
        D1, D2 = self.problem.metric
        return Solution(
            factors=factors,
            status=status,
            certificate=proof,
            flatness=flatness(self.problem, factors),
            history={name: np.array(values) for name, values in history.items()},
            seconds=clock.seconds,
            iterations=clock.iterations,
            undetermined=(D1.undetermined, D2.undetermined),
            parametrization=self.problem.parametrization,
            settings=self.settings,
            parts=parts,
        )


def status_of(
    proof: Certificate, clock: Clock, *, consistent: bool = True, converged: bool = True, capped: bool = False
) -> Status:
    """Return the status of a solve that ended with a certificate.

    ``capped`` says that the objective no longer falls at the largest rank allowed, and would at a higher one.
    """
    if not consistent:
        return Status.inconsistent_data
    proved = Status.proved(proof)
    if proved is not None:
        return proved
    if capped:
        return Status.rank_limit
    if not converged and clock.exhausted:
        return Status.time_limit if clock.out_of_time else Status.iteration_limit
    return Status.not_certified
