"""race: train one task by many algorithms with equal budgets and one referee."""

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from flatmin._core.validation import whole_number
from flatmin.errors import InputError
from flatmin.lab.race import competitors as registry
from flatmin.lab.race.competitor import Competitor
from flatmin.lab.race.correlation import correlate
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.race_experiment import RaceExperiment, RacePlan, run_of
from flatmin.lab.race.referee import CompetitorError, Run, blame
from flatmin.lab.race.result import COLUMNS, RaceResult
from flatmin.lab.race.tasks import FactoredTask, Task
from flatmin.lab.runs.executors import Executor, Processes, Serial
from flatmin.lab.runs.store import Store
from flatmin.lab.runs.sweep import sweep
from flatmin.problem import Problem

__all__ = ["race"]

Callback = Callable[[dict[str, Any]], None]


def race(
    problem_or_task: Problem | Task,
    competitors: Iterable[str | Competitor] | None = None,
    budget: int | None = None,
    seeds: int | Iterable[int] = 5,
    callback: Callback | None = None,
    *,
    store: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
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
        Names, or objects of your own. None for all known ones.
    budget : int, optional
        Gradients that each run may spend. None for the default of the task.
    seeds : int or iterable of int
        The number of scored runs of each competitor, or their seeds.
    callback : callable, optional
        ``callback(dict)`` after each run with the fields of its row, ``phase`` ("tuning" or "race"), ``done`` and
        ``total``. The callback is not called for runs that were in the store.
    store : path, optional
        The file of finished runs. An interrupted race, even one that was killed, goes on with the missing runs. After
        a change of problem, setting or budget nothing is reused.
    jobs : int, optional
        The number of processes. None for one.
    executor : Executor, optional
        Where runs are computed, for instance `flatmin.lab.DaskCluster`, in place of ``jobs``.
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
        If a competitor fails by an error of its own. The runs that were finished before are in the store.

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
    if callback is not None and not callable(callback):
        raise InputError(f"callback is {callback!r}, expected a function")
    task = _task(problem_or_task, truth, rank)
    protocol = Protocol(task.budget if budget is None else budget, _seeds(seeds, seed), trials)
    entered = {competitor.name: competitor for competitor in _competitors(competitors)}
    objections = {name: _objection(competitor, task) for name, competitor in entered.items()}
    left_out = {name: reason for name, reason in objections.items() if reason is not None}
    running = {name: competitor for name, competitor in entered.items() if name not in left_out}
    if not running:
        raise InputError(f"no competitor can run on this task: {left_out}")
    experiment = RaceExperiment.from_task(task, running, protocol)
    executor = _executor(jobs, executor, experiment)
    with Store(None if store is None else os.fspath(store)) as kept:
        runs = _runs(experiment, kept, executor, callback)
    return _result(experiment, runs, left_out)


def _runs(
    experiment: RaceExperiment, store: Store, executor: Executor, callback: Callback | None
) -> dict[tuple[str, int], Run]:
    """Return all runs by the keys of their trials. Stop at the first failure."""
    stop = threading.Event()

    def report(state: dict[str, Any]) -> None:
        if "result" not in state:
            return
        result = state["result"]
        if result.reason is not None:
            stop.set()
        elif callback is not None:
            tuned = result.trial.seed == experiment.cell.protocol.tuning_seed
            counts = {"done": state["done"], "total": state["total"]}
            callback(dict(run_of(result).row) | {"phase": "tuning" if tuned else "race"} | counts)

    found = sweep(
        experiment, store, executor=executor, plan=RacePlan(experiment), retry=True, stop=stop, callback=report
    )
    if found.failed:
        raise CompetitorError(str(found.failed[0].reason).removeprefix("CompetitorError: "))
    return {result.trial.key: run_of(result) for result in found.results}


def _result(experiment: RaceExperiment, runs: Mapping[tuple[str, int], Run], left_out: Mapping[str, str]) -> RaceResult:
    """Return the result of a race whose runs are all done."""
    task, protocol, competitors = experiment.cell.task, experiment.cell.protocol, experiment.cell.competitors
    best = experiment.best({key: run.score for key, run in runs.items()})
    scored = [runs[trial.key] for chosen in best.values() for trial in experiment.scored(chosen)]
    table = [{column: run.row[column] for column in COLUMNS} for run in scored]
    flattest = getattr(task, "flattest", None)
    return RaceResult(
        table=table,
        trajectories={
            (run.row["competitor"], run.row["seed"]): {n: np.array(v, float) for n, v in run.trajectory.items()}
            for run in scored
        },
        flattest=flattest,
        correlation=correlate(
            [row for row in table if row["loss"] <= task.fit_loss],
            "scaled_trace" if flattest is None else "flatness_gap",
        ),
        protocol=protocol.as_dict() | {"task": type(task).__name__, "fits": task.fit_loss, "digest": task.digest},
        tuning=[
            _tuning_row(runs[trial.key], trial == best[name])
            for name, trials in experiment.tuning.items()
            for trial in trials
        ],
        competitors={name: competitor.description for name, competitor in competitors.items()},
        left_out=left_out,
        flattest_error=task.flattest_error if isinstance(task, FactoredTask) else None,
        slices={
            (run.row["competitor"], run.row["seed"]): {n: np.array(v, float) for n, v in run.slices.items()}
            for run in scored
            if run.slices
        },
    )


def _tuning_row(run: Run, chosen: bool) -> dict[str, Any]:
    columns = ("competitor", "step_size", "strength", "diverged", "loss", "relative_error", "gradients", "seconds")
    return {column: run.row[column] for column in columns} | {"score": run.score, "chosen": chosen}


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
    found: dict[str, Competitor] = {}
    for item in given:
        if not isinstance(item, str | Competitor):
            raise InputError(f"a competitor is a {type(item).__name__}, expected a name or a Competitor")
        competitor = registry.find(item) if isinstance(item, str) else item
        if competitor.name in found:
            raise InputError(f"two competitors are called {competitor.name!r}, expected different names")
        found[competitor.name] = competitor
    return list(found.values())


def _objection(competitor: Competitor, task: Task) -> str | None:
    with blame(competitor):
        return competitor.objection(task)


def _seeds(seeds: int | Iterable[int], first: int) -> tuple[int, ...]:
    first = whole_number(first, "seed", 0)
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        return tuple(range(first, first + int(seeds)))
    if isinstance(seeds, bool | str) or not isinstance(seeds, Iterable):
        raise InputError(f"seeds is {seeds!r}, expected a number of runs or a list of seeds")
    return tuple(seeds)


def _executor(jobs: int | None, executor: Executor | None, experiment: RaceExperiment) -> Executor:
    """Return the executor of the runs, after a check that task and competitors can be sent to it."""
    if executor is not None and jobs is not None:
        raise InputError(f"jobs={jobs} was given together with an executor, expected one of them")
    count = 1 if jobs is None else whole_number(jobs, "jobs", 1)
    if executor is None and count == 1:
        return Serial()
    from joblib.externals.loky.backend.reduction import dumps

    try:
        dumps(experiment.cell)
    except Exception as error:  # the objects of a competitor may raise anything
        raise InputError(
            f"the task or a competitor cannot be sent to other processes ({error}), expected objects that can be "
            "pickled; or use jobs=1"
        ) from error
    return executor or Processes(count)
