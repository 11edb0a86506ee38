"""Sweep: the function that runs all trials of an experiment that are not in the store yet."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Protocol

from flatmin.errors import InputError
from flatmin.lab.runs.executors import Executor, Serial
from flatmin.lab.runs.experiment import Experiment, Trial
from flatmin.lab.runs.store import Result, Store
from flatmin.lab.runs.worker import Worker

__all__ = ["FullGrid", "Plan", "SweepResult", "sweep"]

#: Time between checks for the results of other processes, in seconds.
POLL_STORE = 0.3
#: Time between checks whether the executor can compute, in seconds.
POLL_EXECUTOR = 1.0


class Plan(Protocol):
    """The choice of trials to run."""

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the trials to run next, given all results so far; an empty list if the sweep is complete."""
        ...

    def done(self, results: Sequence[Result]) -> int:
        """Return how many of the results belong to the plan."""
        ...

    def total(self) -> int:
        """Return the largest number of trials that the plan may ask for."""
        ...


class FullGrid:
    """The plan to run every repetition of every cell.

    It raises `InputError` if a module that the cell needs is not installed, because every trial would fail.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> plan = FullGrid(recipe)
    >>> plan.total() == len(plan.next([]))
    True
    """

    def __init__(self, experiment: Experiment) -> None:
        if experiment.needs is not None and find_spec(experiment.needs) is None:
            needs = experiment.needs
            raise InputError(f"{experiment.name} needs {needs}, which is not installed: pip install 'flatmin[{needs}]'")
        self._trials = tuple(experiment.trials())

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return the missing trials."""
        there = {result.trial.key for result in results}
        return [trial for trial in self._trials if trial.key not in there]

    def done(self, results: Sequence[Result]) -> int:
        """Return the number of results, all of which belong to the plan."""
        return len(results)

    def total(self) -> int:
        """Return the number of trials of the grid."""
        return len(self._trials)


@dataclass(frozen=True)
class SweepResult:
    """The state of a sweep when it ended: all stored results of its trials, and whether no trial is missing.

    Examples
    --------
    >>> SweepResult([], complete=True).failed
    []
    """

    results: list[Result]
    complete: bool

    @property
    def failed(self) -> list[Result]:
        """The trials that failed."""
        return [result for result in self.results if result.reason is not None]


def sweep(
    experiment: Experiment,
    store: Store,
    *,
    executor: Executor | None = None,
    plan: Plan | None = None,
    retry: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> SweepResult:
    """Run all trials of an experiment that are not in the store yet, and keep each result as it comes.

    Parameters
    ----------
    experiment : Experiment
        The experiment, most often a recipe.
    store : Store
        The file that keeps the results. Several processes may run the same experiment with the same store at the same
        time. Each trial is then computed by one of them, and each process waits until all results are there.
    executor : Executor, optional
        The executor that computes cells; by default in this process.
    plan : Plan, optional
        The choice of trials; by default the full grid.
    retry : bool
        Whether failed trials are run again.
    stop : Event, optional
        Once it is set, no further trial begins; results of running trials are still kept.
    callback : callable, optional
        ``callback(dict)`` is called after each result of this process, with the numbers of trials that are ``done``,
        in ``total``, ``computed`` in this process and ``failed``, the ``seconds`` of the cell and its ``result``. While
        other processes compute the last trials, it is called with the number ``waiting``. While the executor cannot
        compute, it is called with the reason, ``trouble``, from another thread but never during another call.

    Returns
    -------
    SweepResult

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from flatmin.lab import Store, recipes, sweep
    >>> recipe = replace(recipes.find("figure-3").quickly(), repetitions=1)
    >>> recipe = replace(recipe, grid=[{"panel": ["sensing"], "method": ["flat"], "d": [6], "rank": [1], "m": [5, 30]}])
    >>> with Store(None) as store:
    ...     found = sweep(recipe, store)
    >>> sorted((r.trial.parameters["m"], r.metrics["success"]) for r in found.results)
    [(5, False), (30, True)]
    """
    executor, plan, stop = executor or Serial(), plan or FullGrid(experiment), stop or threading.Event()
    count = _Count(plan.total(), callback)
    with Worker(store, experiment) as worker, _watched(executor, count):
        run = _Run(worker, executor, stop, count)
        if retry:
            failures = [result.trial for result in store.grid_results(experiment) if result.reason is not None]
            run.compute(failures, again=True)
        while not stop.is_set():
            results = store.grid_results(experiment)
            count.done = plan.done(results)
            trials = plan.next(results)
            if not trials:
                break
            run.compute(trials)
    results = store.grid_results(experiment)
    return SweepResult(results, not plan.next(results))


class _Count:
    """Counts of trials, which are reported to the callback."""

    def __init__(self, total: int, callback: Callable[[dict[str, Any]], None] | None) -> None:
        self.total, self._callback, self._lock = total, callback, threading.Lock()
        self.done = self.computed = self.failed = 0

    def add(self, result: Result) -> None:
        self.done += 1
        self.computed += 1
        self.failed += result.reason is not None
        self.report(seconds=result.seconds, result=result)

    def report(self, **more: Any) -> None:
        if self._callback is not None:
            counts = {"done": self.done, "total": self.total, "computed": self.computed, "failed": self.failed}
            with self._lock:
                self._callback(counts | more)


@contextmanager
def _watched(executor: Executor, count: _Count) -> Iterator[None]:
    """Report to the callback, inside the block, whenever the executor cannot compute."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_EXECUTOR):
            trouble = executor.trouble()
            if trouble is not None and not over.is_set():
                count.report(trouble=trouble)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(POLL_EXECUTOR)


class _Run:
    """The part of a sweep that one process computes."""

    def __init__(self, worker: Worker, executor: Executor, stop: threading.Event, count: _Count) -> None:
        self._worker, self._executor, self._stop, self.count = worker, executor, stop, count

    def compute(self, trials: Sequence[Trial], *, again: bool = False) -> None:
        """Compute the trials that no other process has reserved, and wait for the results of the others."""
        cell = self._worker.experiment.cell
        while trials and not self._stop.is_set():
            self._worker.free_dead_reservations()
            others, computed = self._worker.held_by_others(), 0
            free = [trial for trial in trials if trial.key not in others]
            for result in self._executor.results(cell, self._reserved(free, again)):
                self._worker.record(result)
                self.count.add(result)
                computed += 1
            there = self._worker.store.statuses(self._worker.experiment)
            trials, again = [trial for trial in trials if trial.key not in there], False
            if trials and not computed:
                self.count.report(waiting=len(trials))
                self._stop.wait(POLL_STORE)

    def _reserved(self, trials: Iterable[Trial], again: bool) -> Iterator[Trial]:
        """Yield the trials that this process could reserve."""
        return (t for t in trials if not self._stop.is_set() and self._worker.reserve(t, again=again))
