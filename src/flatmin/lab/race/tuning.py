"""How step sizes are chosen: one protocol for all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flatmin.lab.race.field import Field, Lap
from flatmin.lab.race.referee import Run, blame

__all__ = ["chosen", "tune"]

#: Scores within this share of the best are as good, and the largest step size among them is taken.
AS_GOOD = 0.01


def tune(field: Field, tell: Callable[[Run, str], None]) -> tuple[dict[str, Lap], list[dict[str, Any]]]:
    """Return the best trial of each competitor, and one row a trial.

    Parameters
    ----------
    field : Field
        Who is tuned; its protocol says how.
    tell : callable
        Called with each finished run and the word "tuning".
    """
    protocol = field.protocol
    laps = []
    for name, competitor in field.competitors.items():
        with blame(competitor):
            trials = competitor.tuning_grid(field.task, protocol.trials)
        laps += [Lap(name, protocol.tuning_seed, size, strength, protocol.tuning_budget) for size, strength in trials]
    runs: dict[Lap, Run] = {}
    for lap, run in field.all(laps):
        runs[lap] = run
        tell(run, "tuning")
    enough = field.task.good_score
    best = {name: chosen({lap: runs[lap] for lap in laps if lap.name == name}, enough) for name in field.competitors}
    return best, [_row(lap, runs[lap], lap == best[lap.name]) for lap in laps]


def chosen(runs: dict[Lap, Run], enough: float = 0.0) -> Lap:
    """Return the trial with the largest step whose score is good enough, or as good as the smallest.

    If all have diverged, the one with the smallest step.
    """
    best = min(run.score for run in runs.values())
    if best == float("inf"):
        return min(runs, key=lambda lap: lap.step_size)
    good = [lap for lap, run in runs.items() if run.score <= max(enough, best * (1 + AS_GOOD))]
    return max(good, key=lambda lap: lap.step_size)


def _row(lap: Lap, run: Run, is_chosen: bool) -> dict[str, Any]:
    columns = ("diverged", "loss", "relative_error", "gradients", "seconds")
    setting = {"competitor": lap.name, "step_size": lap.step_size, "strength": lap.strength}
    return setting | {column: run.row[column] for column in columns} | {"score": run.score, "chosen": is_chosen}
