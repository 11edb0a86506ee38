"""Recipe: an experiment together with its claim, the observations that would refute the claim, and figures."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from flatmin._core.registry import Registry
from flatmin.errors import InputError
from flatmin.lab.claims import Claim
from flatmin.lab.displays import Display
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.experiment import Experiment

__all__ = ["RECIPES", "Recipe"]


def _none(evidence: Evidence) -> list[Any]:
    """Return no claims, or no figures."""
    return []


@dataclass(frozen=True)
class Recipe(Experiment):
    """An experiment with a claim and figures.

    The description ``about`` has a paragraph that begins with ``Claim:``, and one that begins with ``Refuted by:`` and
    names the observations that would refute the claim.

    Parameters
    ----------
    judge : callable
        ``judge(evidence)`` returns the claim as a list of `Claim`, each about one number and its interval. ``judge``
        accepts the evidence of any part of the grid; a claim that this part cannot decide is undecided.
    show : callable
        ``show(evidence)`` returns the figures as a list of displays (`flatmin.lab.displays`).

    Raises
    ------
    InputError
        If a paragraph is missing, or an argument of `Experiment` cannot be used.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3")
    >>> recipe.claim.startswith("Flat minima"), recipe.quickly().repetitions < recipe.repetitions
    (True, True)
    """

    judge: Callable[[Evidence], Sequence[Claim]] = _none
    show: Callable[[Evidence], Sequence[Display]] = _none

    def __post_init__(self) -> None:
        super().__post_init__()
        for heading in ("Claim", "Refuted by"):
            self._paragraph(heading)

    @property
    def claim(self) -> str:
        """The statement that the experiment tests."""
        return self._paragraph("Claim")

    @property
    def refuted_by(self) -> str:
        """The observation that would refute the claim."""
        return self._paragraph("Refuted by")

    def _paragraph(self, heading: str) -> str:
        found = re.search(rf"^\s*{heading}: *(.+?)(?:\n\s*\n|\Z)", self.about, re.MULTILINE | re.DOTALL)
        if found is None:
            raise InputError(f"the recipe {self.name} says nothing after {heading + ':'!r}, expected a paragraph")
        text = " ".join(found[1].split())
        return text[0].upper() + text[1:]


#: All recipes: those in `flatmin.lab.recipes`, registered ones, and entry points in the group "flatmin.recipes".
RECIPES: Registry[Recipe] = Registry(
    "recipe", Recipe, package="flatmin.lab.recipes", attribute="RECIPE", group="flatmin.recipes"
)
