"""Objective: the numbers that say which function a solution minimises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flatmin.errors import InputError
from flatmin.losses import Absolute
from flatmin.problem import Problem
from flatmin.proofs.certificate import check_alpha

__all__ = ["Objective"]


@dataclass(frozen=True)
class Objective:
    """The parameters of the function that a solution of a problem minimises.

    Attributes
    ----------
    alpha, metric_power : float
        The arguments of `flatmin.flat_minimum` with these names.
    weight, tau : float or None
        The parameters of the loss `Absolute`, with the default weight as a number; None for other losses.
    """

    alpha: float = 0.0
    metric_power: float = 1.0
    weight: float | None = None
    tau: float | None = None

    @classmethod
    def from_problem(cls, problem: Problem, alpha: float = 0.0, metric_power: float = 1.0) -> Objective:
        """Return the objective of a problem at alpha and metric_power, or raise `InputError` for unsuitable ones."""
        alpha, metric_power = check_alpha(alpha, metric_power)
        if metric_power != 1 and not problem.is_convex:
            raise InputError(f"metric_power is {metric_power!r}, expected its default 1.0 for {problem.model!r}")
        loss = problem.loss
        if not isinstance(loss, Absolute):
            return cls(alpha, metric_power)
        return cls(alpha, metric_power, loss.weight_for(problem.shape), loss.tau)

    @classmethod
    def stated(cls, settings: Mapping[str, Any], problem: Problem) -> Objective:
        """Return the objective that the settings of a solution file state, with defaults for missing ones.

        Raises
        ------
        InputError
            If a setting is not a number in its range; the sentence begins with its name.
        """
        loss = Absolute(settings.get("weight"), settings.get("tau"))
        alpha, metric_power = check_alpha(settings.get("alpha", 0.0), settings.get("metric_power", 1.0))
        weight = loss.weight_for(problem.shape) if problem.loss.has_gross_errors else loss.weight
        return cls(alpha, metric_power, weight, loss.tau)

    def differences(self, asked: Objective) -> dict[str, str]:
        """Return a phrase for each number that differs from the objective that was asked for, by name.

        Examples
        --------
        >>> Objective(alpha=0.5).differences(Objective())
        {'alpha': 'states alpha 0.5, but alpha 0.0 was asked for'}
        """
        pairs = {name: (mine, getattr(asked, name)) for name, mine in vars(self).items()}
        return {
            name: f"states {_named(name, mine)}, but {_named(name, other)} was asked for"
            for name, (mine, other) in pairs.items()
            if mine != other
        }


def _named(name: str, value: float | None) -> str:
    return f"no {name}" if value is None else f"{name} {value!r}"
