"""Protocol: the rules of a race, in numbers and words."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import whole_number
from flatmin.errors import InputError

__all__ = ["Protocol"]

RULES = {
    "counting": (
        "A backward pass on a batch of any size, with its forward pass, is one gradient. A forward pass alone is half "
        "a gradient. A backward pass that is itself differentiated counts as two. The referee counts with hooks on the "
        "model."
    ),
    "tuning": (
        "Step sizes are equally spaced in logarithms, over a range in natural units that each competitor states. Each "
        "step size is tried with a seed that is not scored, on a share of the budget. The largest one that fits wins: "
        "its training loss is at most 1 % of that of the zero prediction. If none fits, the smallest loss wins. "
        "Strengths keep their stated defaults. On networks strengths are tuned together with step sizes, in the same "
        "number of trials. There the smallest error on validation data wins, and within 1 % of it the larger step."
    ),
    "judging": (
        "Only the referee evaluates models, at gradient counts that are the same for all. A run has diverged when its "
        "loss is not finite or exceeds a million times its initial value. It ends there."
    ),
}


@dataclass(frozen=True)
class Protocol:
    """The rules of a race, the same for all competitors."""

    #: Gradients that a scored run may spend.
    budget: int
    #: Seeds of the scored runs, one run of each competitor for each seed.
    seeds: tuple[int, ...]
    #: Step sizes tried for each competitor.
    trials: int = 6
    #: Share of the budget that a tuning run may spend.
    share: float = 0.25
    #: Seed of all tuning runs; no scored run may have it.
    tuning_seed: int = 1_000_000
    #: Approximate number of observations along a run.
    points: int = 60
    #: A run has diverged if its loss exceeds this multiple of its initial loss.
    blow_up: float = 1e6
    #: Version of these rules. Runs under another version are not reused.
    version: int = 3

    def __post_init__(self) -> None:
        for name, least in (("budget", 1), ("trials", 1), ("points", 2)):
            whole_number(getattr(self, name), name, least)
        if not self.seeds:
            raise InputError("no seeds were given, expected at least one")
        for seed in self.seeds:
            if self.seeds.count(whole_number(seed, "a seed", 0)) > 1:
                raise InputError(f"the seed {seed} was given twice, expected different ones")
        if self.tuning_seed in self.seeds:
            raise InputError(f"the seed {self.tuning_seed} is scored, expected one that is kept for tuning")

    @property
    def tuning_budget(self) -> int:
        """Number of gradients that a tuning run may spend."""
        return max(1, round(self.share * self.budget))

    def grid(self, budget: int) -> Array:
        """Return the gradient counts of all observations: 0, then equally spaced in logarithms up to the budget."""
        return np.unique(np.concatenate([[0], np.round(np.geomspace(1, budget, self.points))]).astype(int))

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers, and the rules in words."""
        return asdict(self) | {"tuning_budget": self.tuning_budget} | RULES
