"""Adaptive sweeps: trials are spent where they are most informative about the boundary of success."""

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
    """A plan in rounds, each with the most informative trials about the boundary of each column.

    A column is finished once its band is narrow, or its share of the full grid's trials is spent. A cell uses the full
    grid's repetitions in order, so adaptive and full sweeps reuse each other's results. The choice does not depend on
    interruptions: each call replays the rounds and asks for the missing trials of the first incomplete one.

    Parameters
    ----------
    experiment : Experiment
        An experiment with a `Transition`; any other raises `InputError`.
    precision : float
        A column is finished if half the width of its band divided by the boundary is at most this.
    share : float
        The largest share of the full grid's trials that a column gets; at most 1.
    at_once : int
        Number of trials of a column per round. Large rounds keep more processes busy; small ones are chosen better.
    """

    def __init__(
        self, experiment: Experiment, *, precision: float = 0.01, share: float = 1 / 3, at_once: int = 3
    ) -> None:
        if experiment.transition is None:
            raise InputError(f"the recipe {experiment.name} has no transition, expected one for an adaptive sweep")
        if not 0 < share <= 1 or not precision >= 0 or at_once < 1:
            raise InputError(f"share {share}, precision {precision}, at_once {at_once}: expected ≤ 1, ≥ 0, ≥ 1")
        self._experiment, self._precision, self._share, self._at_once = experiment, precision, share, at_once
        self._along, self._success = experiment.transition.along, experiment.transition.success
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
        """Return the largest number of trials."""
        return sum(map(self._budget, self._columns))

    def _budget(self, column: Column) -> int:
        return int(self._share * self._experiment.repetitions * len(column.along))

    def _replayed(self, index: int, there: Mapping[tuple[str, int], Result]) -> tuple[list[Trial], int]:
        """Return the missing trials of a column's first incomplete round, and the number of trials up to there."""
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
        """Return the trials of the round after these observations of a column."""
        if (index, seen) not in self._rounds:
            cells = self._chosen(self._columns[index], seen)
            self._rounds[index, seen] = [
                self._experiment.trial({**self._columns[index].parameters, self._along: along}, repetition)
                for along, repetition in cells
            ]
        return self._rounds[index, seen]

    def _chosen(self, column: Column, seen: _Seen) -> list[tuple[float, int]]:
        """Return the most informative cells of a column, and the next repetition of each."""
        room = min(self._at_once, self._budget(column) - sum(seen.spent))
        if room <= 0:
            return []
        if len(column.along) < 2:
            return [(column.along[0], seen.spent[0])]
        posterior = replace(column, successes=seen.successes, trials=seen.trials).posterior
        found = posterior.boundary()
        if found.inside and found.high - found.low <= 2 * self._precision * abs(found.value):
            return []
        unfinished = [i for i, spent in enumerate(seen.spent) if spent < self._experiment.repetitions]
        order = np.argsort(-posterior.information(column.points[unfinished]), kind="stable")
        return [(column.along[i], seen.spent[i]) for i in (unfinished[j] for j in order[:room])]


@dataclass(frozen=True)
class _Seen:
    """The observations of a column: for each cell the successes, the trials that did not fail, and all trials."""

    successes: tuple[int, ...]
    trials: tuple[int, ...]
    spent: tuple[int, ...]

    def after(self, cell: int, success: bool | None) -> _Seen:
        """Return the observations after one more trial; ``success`` is None if the trial failed."""
        more = (bool(success), success is not None, 1)
        counts = zip((self.successes, self.trials, self.spent), more, strict=True)
        return _Seen(*((*old[:cell], old[cell] + new, *old[cell + 1 :]) for old, new in counts))
