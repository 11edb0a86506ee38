"""Spending repetitions where success is uncertain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flatmin.errors import InputError
from flatmin.lab.boundary.phase_map import Column, PhaseMap
from flatmin.lab.runs.experiment import Experiment, Trial
from flatmin.lab.runs.store import Result

__all__ = ["Adaptive"]


class Adaptive:
    """A plan that looks at a map's columns in rounds, and makes next what tells most about the boundary of each.

    A column is finished when its band is narrow, or when it has had its share of the trials that the full grid would
    take. The repetitions of a cell are those of the full grid, in their order: what an adaptive sweep made, a full one
    uses again, and the other way round.

    Which trials there are depends on the recipe and on what came of them, not on when the sweep was interrupted, nor on
    what else is in the store: each call goes through the rounds from the first one, and asks for what is missing of the
    first that is not complete.

    Parameters
    ----------
    recipe : Experiment
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

    def __init__(self, recipe: Experiment, *, precision: float = 0.01, share: float = 1 / 3, at_once: int = 3) -> None:
        if recipe.transition is None:
            raise InputError(f"the recipe {recipe.name} maps no transition from failure to success, expected it full")
        if not 0 < share <= 1 or not precision >= 0 or at_once < 1:
            raise InputError(f"share {share}, precision {precision}, at_once {at_once}: expected ≤ 1, ≥ 0, ≥ 1")
        self._recipe, self._precision, self._share, self._at_once = recipe, precision, share, at_once
        self._along, self._success = recipe.transition.along, recipe.transition.success
        self._columns = PhaseMap(recipe, []).columns
        self._rounds: dict[tuple[int, _Seen], Sequence[Trial]] = {}

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the trials of the next round; none when every column is finished."""
        there = {result.trial.key: result for result in results}
        return [trial for index in range(len(self._columns)) for trial in self._replayed(index, there)[0]]

    def done(self, results: Sequence[Result]) -> int:
        """Return how many of these results the plan asked for."""
        there = {result.trial.key: result for result in results}
        return sum(self._replayed(index, there)[1] for index in range(len(self._columns)))

    def total(self) -> int:
        """Return the most trials that there can be."""
        return sum(map(self._budget, self._columns))

    def _budget(self, column: Column) -> int:
        return int(self._share * self._recipe.repetitions * len(column.along))

    def _replayed(self, index: int, there: Mapping[tuple[str, int], Result]) -> tuple[list[Trial], int]:
        """Go through the rounds of a column; return what is missing of the first incomplete one, and what is there."""
        seen = _Seen(*[(0,) * len(self._columns[index].along)] * 3)
        while chosen := self._round(index, seen):
            missing = [trial for trial in chosen if trial.key not in there]
            if missing:
                return missing, sum(seen.spent) + len(chosen) - len(missing)
            for trial in chosen:
                place = self._columns[index].along.index(trial.parameters[self._along])
                seen = seen.after(place, there[trial.key].metrics.get(self._success))
        return [], sum(seen.spent)

    def _round(self, index: int, seen: _Seen) -> Sequence[Trial]:
        """Return the trials that follow on what was seen of a column."""
        if (index, seen) not in self._rounds:
            cells = self._chosen(self._columns[index], seen)
            self._rounds[index, seen] = [
                self._recipe.trial({**self._columns[index].parameters, self._along: along}, repetition)
                for along, repetition in cells
            ]
        return self._rounds[index, seen]

    def _chosen(self, column: Column, seen: _Seen) -> list[tuple[float, int]]:
        """Return the cells of a column that tell most, and the repetition of each that comes next."""
        room = min(self._at_once, self._budget(column) - sum(seen.spent))
        if room <= 0:
            return []
        if len(column.along) < 2:
            return [(column.along[0], seen.spent[0])]
        knowledge = replace(column, successes=seen.successes, trials=seen.trials).knowledge
        found = knowledge.boundary()
        if found.inside and found.high - found.low <= 2 * self._precision * abs(found.value):
            return []
        unfinished = [i for i, spent in enumerate(seen.spent) if spent < self._recipe.repetitions]
        order = np.argsort(-knowledge.information(column.points[unfinished]), kind="stable")
        return [(column.along[i], seen.spent[i]) for i in (unfinished[j] for j in order[:room])]


@dataclass(frozen=True)
class _Seen:
    """What a plan has seen of a column: by cell, successes, trials that told of success or failure, and all trials."""

    successes: tuple[int, ...]
    trials: tuple[int, ...]
    spent: tuple[int, ...]

    def after(self, cell: int, success: bool | None) -> _Seen:
        """Return what is seen after one more trial; None is for one that tells nothing, as it failed."""
        more = [(bool(success), success is not None, True) if i == cell else (0, 0, 0) for i in range(len(self.spent))]
        together = zip(self.successes, self.trials, self.spent, more, strict=True)
        counts = [(s + a, n + b, k + c) for s, n, k, (a, b, c) in together]
        return _Seen(*(tuple(column) for column in zip(*counts, strict=True)))
