"""Spending repetitions where success is uncertain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flatmin.errors import InputError
from flatmin.experiments.phase_map import Column, PhaseMap
from flatmin.experiments.recipe import Recipe, Trial, key_of
from flatmin.experiments.store import Result

__all__ = ["Adaptive"]


class Adaptive:
    """A plan that looks at a map's columns in rounds, and makes next what tells most about the boundary of each.

    A column is finished when its band is narrow, or when it has had its share of the trials that the full grid would
    take. The repetitions of a cell are those of the full grid, in their order: what an adaptive sweep made, a full one
    uses again, and the other way round. What is chosen depends on the results alone.

    Parameters
    ----------
    recipe : Recipe
        With a `Transition`.
    precision : float
        Half the band over the boundary at which a column is finished.
    share : float
        Of the trials of the full grid, the most that a column gets; at most 1.
    at_once : int
        Trials of a column in one round; more keep more processes busy, fewer are better chosen.

    Raises
    ------
    InputError
        If the recipe has no transition, or an argument is out of range.
    """

    def __init__(self, recipe: Recipe, *, precision: float = 0.01, share: float = 1 / 3, at_once: int = 3) -> None:
        if recipe.transition is None:
            raise InputError(f"the recipe {recipe.name} maps no transition from failure to success, expected it full")
        if not 0 < share <= 1 or not precision >= 0 or at_once < 1:
            raise InputError(f"share {share}, precision {precision}, at_once {at_once}: expected ≤ 1, ≥ 0, ≥ 1")
        self._recipe, self._precision, self._share, self._at_once = recipe, precision, share, at_once
        self._along = recipe.transition.along

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the trials of the next round; none when every column is finished."""
        made: dict[str, set[int]] = {}
        for result in results:
            made.setdefault(result.trial.key[0], set()).add(result.trial.repetition)
        chosen: list[Trial] = []
        for column in PhaseMap(self._recipe, results).columns:
            chosen += self._of_a_column(column, made)
        return chosen

    def total(self) -> int:
        """Return the most trials that there can be."""
        return sum(self._budget(column) for column in PhaseMap(self._recipe, []).columns)

    def _budget(self, column: Column) -> int:
        return int(self._share * self._recipe.repetitions * len(column.along))

    def _of_a_column(self, column: Column, made: dict[str, set[int]]) -> list[Trial]:
        cells = [{**column.parameters, self._along: value} for value in column.along]
        spent = [made.get(key_of(cell), set()) for cell in cells]
        room = min(self._at_once, self._budget(column) - sum(map(len, spent)))
        if room <= 0:
            return []
        open_ = [i for i, done in enumerate(spent) if len(done) < self._recipe.repetitions]
        if len(cells) < 2:
            return [self._recipe.trial(cells[0], len(spent[0]))]
        knowledge = column.knowledge
        found = knowledge.boundary()
        if found.inside and found.high - found.low <= 2 * self._precision * abs(found.value):
            return []
        order = np.argsort(-knowledge.information(column.points[open_]), kind="stable")
        return [
            self._recipe.trial(cells[i], min(set(range(self._recipe.repetitions)) - spent[i]))
            for i in (open_[j] for j in order[:room])
        ]
