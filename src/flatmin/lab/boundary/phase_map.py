"""Successes of a sweep by cell and column, and where they set in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.boundary.posterior import Boundary, Posterior, pooled_boundary
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.experiment import Experiment, key_of
from flatmin.lab.runs.store import Result

__all__ = ["Column", "PhaseMap", "columns_of"]


@dataclass(frozen=True)
class Column:
    """One column of a map: the cells that differ only in the parameter along which success sets in.

    Attributes
    ----------
    parameters : dict
        What they have in common.
    scale : float
        The number that the boundary is expected to be a multiple of.
    along : tuple of float
        The parameter's values, ascending.
    successes, trials : tuple of int
        Counts of each.
    falling : bool
        Whether success ends along it.
    """

    parameters: Mapping[str, Any]
    scale: float
    along: tuple[float, ...]
    successes: tuple[int, ...]
    trials: tuple[int, ...]
    falling: bool = False

    @property
    def points(self) -> Array:
        """The positions x of the cells."""
        return np.array(self.along, float) / self.scale

    @property
    def knowledge(self) -> Posterior:
        """What the trials tell about the boundary."""
        return Posterior(**self.counts)

    @property
    def counts(self) -> dict[str, Any]:
        """The arguments of `Posterior`."""
        return {
            "points": self.points,
            "successes": self.successes,
            "trials": self.trials,
            "falling": self.falling,
        }


class PhaseMap:
    """Successes of a recipe that has a transition, column by column.

    Parameters
    ----------
    recipe : Experiment
        With a `Transition`.
    results : iterable of Result
        Those that failed or lack the metric count for nothing.

    Raises
    ------
    InputError
        If the recipe has no transition.
    """

    def __init__(self, recipe: Experiment, results: Iterable[Result]) -> None:
        if recipe.transition is None:
            raise InputError(f"the recipe {recipe.name} has no transition, expected one that maps success")
        about = recipe.transition
        counts: dict[str, list[int]] = {key_of(cell): [0, 0] for cell in recipe.cells}
        for result in results:
            outcome, count = result.metrics.get(about.success), counts.get(result.trial.key[0])
            if count is not None and outcome is not None:
                count[0] += bool(outcome)
                count[1] += 1
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for cell in recipe.cells:
            rest = {name: value for name, value in cell.items() if name != about.along}
            groups.setdefault(key_of(rest), []).append(cell)
        self.columns: list[Column] = []
        for cells in groups.values():
            cells = sorted(cells, key=lambda cell: cell[about.along])
            common = {name: value for name, value in cells[0].items() if name != about.along}
            tally = [counts[key_of(cell)] for cell in cells]
            along = tuple(cell[about.along] for cell in cells)
            s, n = tuple(c[0] for c in tally), tuple(c[1] for c in tally)
            self.columns.append(Column(common, about.scale(common), along, s, n, about.falling))

    def select(self, **parameters: Any) -> list[Column]:
        """Return the columns with these parameters."""
        wanted = parameters.items()
        return [column for column in self.columns if all(column.parameters.get(n) == v for n, v in wanted)]

    def constant(self, level: float = 0.95, **parameters: Any) -> Boundary:
        """Return the one c of ``m* = c · scale`` for all columns with these parameters; each keeps a width of its own.

        Its band is what chance leaves open *if* there is one constant; compare it with the columns' own bands.

        Raises
        ------
        InputError
            If there is no such column.
        """
        chosen = self.select(**parameters)
        if not chosen:
            raise InputError("no column of the map has these parameters, expected at least one")
        return pooled_boundary([column.counts for column in chosen], level)


def columns_of(evidence: Evidence, **parameters: Any) -> list[Column]:
    """Return the columns of the evidence's phase map with these parameters; none where it has no results."""
    return PhaseMap(evidence.experiment, evidence.results).select(**parameters) if len(evidence) else []
