"""Recovery of random instances: draw an instance of a family, solve it, and compare with the truth."""

from typing import Any

from flatmin import families
from flatmin.families.base import Family, Instance
from flatmin.lab.runs.experiment import Metrics
from flatmin.solution import Solution
from flatmin.solvers.choose import flat_minimum

__all__ = ["CERTIFIED", "RECOVERED", "degrees", "metrics_of_recovery", "metrics_of_solution"]

#: A relative error below this counts as exact recovery.
RECOVERED = 1e-6
#: Names of the statuses whose solutions are certified flat.
CERTIFIED = ("unique_flat_minimum", "flat_minimum")
#: Models whose unknown matrix is symmetric or Hermitian.
HERMITIAN = ("covariance", "phase-retrieval", "quadratic-network")


def metrics_of_recovery(name: str, shape: Any, rank: int, size: int | None, seed: int, **settings: Any) -> Metrics:
    """Return the recovery of the truth of a random instance of a family by its flat minimum.

    The setting ``sample`` has further arguments of `Family.sample`; all other settings go to `flat_minimum`. The error
    ignores the family's symmetry, such as the sign of a signal. ``solved`` is the name of the status.
    """
    family = families.find(name)
    instance = family.sample(shape, rank, size, seed=seed, **settings.pop("sample", {}))
    return metrics_of_solution(family, instance, flat_minimum(instance.problem, seed=seed, **settings))


def metrics_of_solution(family: Family, instance: Instance, solution: Solution) -> Metrics:
    """Return the same metrics for a given instance with a truth, and its solution."""
    assert instance.truth is not None
    error = family.relative_error(instance.problem, solution, instance.truth)
    return {
        "error": float(error),
        "success": bool(error < RECOVERED),
        "rank_found": solution.rank,
        "solved": solution.status.name,
        "gap": float(solution.checked_certificate.relative_gap),
        "unique": solution.checked_certificate.unique,
        "iterations": solution.iterations,
    }


def degrees(name: str, d: int, rank: int) -> float:
    """Return the unit in which thresholds are stated: ``r (d1 + d2)``, or ``r d`` for symmetric matrices.

    Examples
    --------
    >>> degrees("matrix-sensing", 10, 2), degrees("covariance", 10, 2)
    (40.0, 20.0)
    """
    return float(rank * d if name in HERMITIAN else 2 * rank * d)
