"""race: train one task by many algorithms with equal budgets."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.lab.race import competitors as registry
from flatmin.lab.race.competitor import Competitor
from flatmin.lab.race.correlation import correlate
from flatmin.lab.race.field import Field, Lap
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import Run, blame
from flatmin.lab.race.result import COLUMNS, RaceResult
from flatmin.lab.race.store import Store
from flatmin.lab.race.tasks import FactoredTask, Task
from flatmin.lab.race.tuning import tune
from flatmin.problem import Problem

__all__ = ["race"]


def race(
    problem_or_task: Problem | Task,
    competitors: Iterable[str | Competitor] | None = None,
    budget: int | None = None,
    seeds: int | Iterable[int] = 5,
    callback: Callable[[dict[str, Any]], None] | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    truth: Any = None,
    rank: int | None = None,
    seed: int = 0,
    trials: int = 6,
) -> RaceResult:
    """Train one task by many algorithms, with equal budgets and one referee.

    Parameters
    ----------
    problem_or_task : Problem or Task
        A problem of any family, or a task such as `NetworkTask`.
    competitors : iterable of str or Competitor, optional
        Names, or objects of one's own; None for all that are known.
    budget : int, optional
        Gradients that each run may spend; None for the default of the task.
    seeds : int or iterable of int
        How many scored runs of each competitor, or their seeds.
    callback : callable, optional
        ``callback(dict)`` after each finished run: the fields of its row, ``phase`` ("tuning" or "race"), ``done`` and
        ``total``.
    store : path, optional
        A directory for finished runs. A race that was interrupted, even by force, goes on with the missing ones; a
        changed problem, setting or budget reuses nothing.
    jobs : int, optional
        Processes; None for one.
    truth, rank
        As in `FactoredTask`, for a problem.
    seed : int
        The first of the scored seeds.
    trials : int
        Step sizes tried for each competitor.

    Returns
    -------
    RaceResult
        Table, trajectories, the flattest value, and the correlation of flatness with error.

    Raises
    ------
    InputError
        If an argument is out of range, or no competitor can run on the task.
    CompetitorError
        If a competitor fails by an error of its own. What was finished before is in the store.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((5, 4), 1, 30)
    >>> result = fm.nn.race(
    ...     instance.problem, ["gradient-descent-small", "adam"], budget=100, seeds=1, truth=instance.truth
    ... )
    >>> [(row["competitor"], row["gradients"]) for row in result.table]
    [('gradient-descent-small', 100.0), ('adam', 100.0)]
    """
    task = _task(problem_or_task, truth, rank)
    protocol = Protocol(task.budget if budget is None else budget, _seeds(seeds, seed), trials)
    entered = {who.name: who for who in _competitors(competitors)}
    left_out = {name: reason for name, who in entered.items() if (reason := _objection(who, task)) is not None}
    running = {name: who for name, who in entered.items() if name not in left_out}
    if not running:
        raise InputError(f"no competitor can run on this task: {left_out}")
    total = len(running) * (protocol.trials + len(protocol.seeds))
    field = Field(task, running, protocol, Store(store), _count(jobs))
    tell = _teller(callback, total)
    try:
        best, tuning = tune(field, tell)
        laps = [
            Lap(name, s, best[name].step_size, best[name].strength, protocol.budget)
            for name in running
            for s in protocol.seeds
        ]
        runs: dict[Lap, Run] = {}
        for lap, run in field.all(laps):
            runs[lap] = run
            tell(run, "race")
    finally:
        field.close()
    flattest = getattr(task, "flattest", None)
    table = [{column: runs[lap].row[column] for column in COLUMNS} for lap in laps]
    return RaceResult(
        table=table,
        trajectories={(lap.name, lap.seed): _arrays(runs[lap].trajectory) for lap in laps},
        flattest=flattest,
        correlation=correlate(
            [row for row in table if row["loss"] <= task.fit_loss],
            "scaled_trace" if flattest is None else "flatness_gap",
        ),
        protocol=protocol.as_dict() | {"task": type(task).__name__, "fits": task.fit_loss, "digest": task.digest},
        tuning=tuning,
        competitors={name: who.description for name, who in running.items()},
        left_out=left_out,
    )


def _task(given: Problem | Task, truth: Any, rank: int | None) -> Task:
    if isinstance(given, Problem):
        return FactoredTask(given, truth, rank)
    if not isinstance(given, Task):
        raise InputError(f"the task is a {type(given).__name__}, expected a flatmin Problem or a Task")
    if truth is not None or rank is not None:
        raise InputError("a task was given with truth or rank, expected them in the task")
    return given


def _competitors(given: Iterable[str | Competitor] | None) -> list[Competitor]:
    """Return competitors as objects, of different names."""
    if given is None:
        given = registry.names()
    if isinstance(given, str | Competitor):
        given = [given]
    if not isinstance(given, Iterable):
        raise InputError(f"competitors is {given!r}, expected names or Competitors")
    out: dict[str, Competitor] = {}
    for item in given:
        if not isinstance(item, str | Competitor):
            raise InputError(f"a competitor is a {type(item).__name__}, expected a name or a Competitor")
        who = registry.find(item) if isinstance(item, str) else item
        if who.name in out:
            raise InputError(f"two competitors are called {who.name!r}, expected different names")
        out[who.name] = who
    return list(out.values())


def _objection(who: Competitor, task: Task) -> str | None:
    with blame(who):
        return who.objection(task)


def _seeds(seeds: int | Iterable[int], first: int) -> tuple[int, ...]:
    if isinstance(first, bool) or not isinstance(first, int | np.integer):
        raise InputError(f"seed is {first!r}, expected a whole number of at least 0")
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        return tuple(range(first, first + int(seeds)))
    if isinstance(seeds, bool | str) or not isinstance(seeds, Iterable):
        raise InputError(f"seeds is {seeds!r}, expected a number of runs or a list of seeds")
    return tuple(seeds)


def _count(jobs: int | None) -> int:
    if jobs is None:
        return 1
    if isinstance(jobs, bool) or not isinstance(jobs, int | np.integer) or jobs < 1:
        raise InputError(f"jobs is {jobs!r}, expected a positive whole number or None")
    return int(jobs)


def _teller(callback: Callable[[dict[str, Any]], None] | None, total: int) -> Callable[[Run, str], None]:
    """Return a function that counts finished runs and tells the user."""
    if callback is not None and not callable(callback):
        raise InputError(f"callback is {callback!r}, expected a function")
    done = 0

    def tell(run: Run, phase: str) -> None:
        nonlocal done
        done += 1
        if callback is not None:
            callback(dict(run.row) | {"phase": phase, "done": done, "total": total})

    return tell


def _arrays(trajectory: Mapping[str, list[float]]) -> dict[str, Any]:
    return {name: np.array(values, dtype=float) for name, values in trajectory.items()}
