"""Adaptive sweeps: trials are run where they are most informative about the boundary between failure and success."""

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
    """A plan in rounds: each round has those trials that say most about the boundary of every `Column`.

    A column is finished once the 95 % band of its boundary is narrow, or its share of the full grid's trials is spent.
    The repetitions of a cell are those of the full grid, in order, so adaptive and full sweeps reuse each other's
    results. Interruptions do not change the plan: each call of `next` repeats the choices of all former rounds from the
    stored results, and returns the missing trials of the first incomplete round.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a `Transition`; any other raises `InputError`.
    precision : float
        A column is finished if half the width of its band, divided by its boundary, is at most this number.
    share : float
        The largest share of the full grid's trials that a column gets; at most 1.
    at_once : int
        Number of trials of a column in a round. Large rounds keep more processes busy, but their later trials are
        chosen without the results of the earlier ones.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> plan = Adaptive(recipe, share=0.25)
    >>> plan.total() <= 0.25 * len(list(recipe.trials())) + 1
    True
    """

    def __init__(
        self, experiment: Experiment, *, precision: float = 0.01, share: float = 1 / 3, at_once: int = 3
    ) -> None:
        if experiment.transition is None:
            raise InputError(f"the recipe {experiment.name} has no transition, expected one for an adaptive sweep")
        if not 0 < share <= 1 or not precision >= 0 or at_once < 1:
            raise InputError(f"share {share}, precision {precision}, at_once {at_once}: expected ≤ 1, ≥ 0, ≥ 1")
        self._experiment, self._precision, self._share, self._at_once = experiment, precision, share, at_once
        self._parameter, self._success = experiment.transition.parameter, experiment.transition.success
        self._columns = PhaseMap(experiment, []).columns
        self._rounds: dict[tuple[int, _Seen], Sequence[Trial]] = {}

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the missing trials of the current round; none when every column is finished."""
        there = {result.trial.key: result for result in results}
        return [trial for index in range(len(self._columns)) for trial in self._replayed(index, there)[0]]

    def done(self, results: Sequence[Result]) -> int:
        """Return how many of these results belong to the plan."""
        there = {result.trial.key: result for result in results}
        return sum(self._replayed(index, there)[1] for index in range(len(self._columns)))

    def total(self) -> int:
        """Return the largest number of trials that the plan may run."""
        return sum(map(self._budget, self._columns))

    def _budget(self, column: Column) -> int:
        return int(self._share * self._experiment.repetitions * len(column.values))

    def _replayed(self, index: int, there: Mapping[tuple[str, int], Result]) -> tuple[list[Trial], int]:
        """Return the missing trials of a column's first incomplete round, and the number of its stored trials."""
        seen = _Seen(*[(0,) * len(self._columns[index].values)] * 3)
        while chosen := self._round(index, seen):
            missing = [trial for trial in chosen if trial.key not in there]
            if missing:
                return missing, sum(seen.spent) + len(chosen) - len(missing)
            for trial in chosen:
                place = self._columns[index].values.index(trial.parameters[self._parameter])
                seen = seen.after(place, there[trial.key].metrics.get(self._success))
        return [], sum(seen.spent)

    def _round(self, index: int, seen: _Seen) -> Sequence[Trial]:
        """Return the trials of the round that follows these observations of a column."""
        if (index, seen) not in self._rounds:
            cells = self._chosen(self._columns[index], seen)
            self._rounds[index, seen] = [
                self._experiment.trial({**self._columns[index].parameters, self._parameter: value}, repetition)
                for value, repetition in cells
            ]
        return self._rounds[index, seen]

    def _chosen(self, column: Column, seen: _Seen) -> list[tuple[float, int]]:
        """Return the most informative trials: the value of the transition's parameter, and the repetition."""
        room = min(self._at_once, self._budget(column) - sum(seen.spent))
        if room <= 0:
            return []
        if len(column.values) < 2:
            return [(column.values[0], seen.spent[0])]
        posterior = replace(column, successes=seen.successes, trials=seen.trials).posterior
        found = posterior.boundary()
        if found.inside and found.high - found.low <= 2 * self._precision * abs(found.value):
            return []
        unfinished = [i for i, spent in enumerate(seen.spent) if spent < self._experiment.repetitions]
        order = np.argsort(-posterior.information(column.points[unfinished]), kind="stable")
        return [(column.values[i], seen.spent[i]) for i in (unfinished[j] for j in order[:room])]


@dataclass(frozen=True)
class _Seen:
    """Counts for each cell of a column: successes, trials that ran without an error, and all trials."""

    successes: tuple[int, ...]
    trials: tuple[int, ...]
    spent: tuple[int, ...]

    def after(self, cell: int, success: bool | None) -> _Seen:
        """Return the counts after one more trial; ``success`` is None if the trial ended with an error."""
        more = (bool(success), success is not None, 1)
        counts = zip((self.successes, self.trials, self.spent), more, strict=True)
        return _Seen(*((*old[:cell], old[cell] + new, *old[cell + 1 :]) for old, new in counts))
