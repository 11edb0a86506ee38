"""Recovery from signed sums.

Claim: matrices of rank one are recovered from signed sums in more than half of the draws.

Refuted by: recovery in at most half of them.
"""

from flatmin import families, flat_minimum
from flatmin.lab.claims import Claim
from flatmin.lab.recipe import Recipe

__all__ = ["RECIPE", "judge", "recover"]


def recover(parameters, seed):
    """Return whether one draw is recovered."""
    family = families.find("signed-sums")
    instance = family.sample((parameters["d"], parameters["d"]), 1, parameters["m"], seed=seed)
    error = family.relative_error(instance.problem, flat_minimum(instance.problem), instance.truth)
    return {"error": error, "success": bool(error < 1e-6)}


def judge(evidence):
    """Return the claim about the share of draws that are recovered."""
    recovered = [result.metrics["success"] for result in evidence.results]
    return [Claim.from_share("The share of draws recovered", recovered, above=0.5)]


RECIPE = Recipe(
    "signed-sums",
    __doc__,
    recover,
    grid=[{"d": (5,), "m": (24,)}],
    repetitions=8,
    quick={"repetitions": 2},
    judge=judge,
)
