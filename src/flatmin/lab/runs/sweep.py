"""Making all trials of a recipe that are not in the store yet."""

from __future__ import annotations

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
from flatmin.lab.runs.worker import Session

__all__ = ["FullGrid", "Plan", "SweepResult", "sweep"]

#: Seconds between looks at what another process has finished.
GLANCE = 0.3
#: Seconds between looks at whether the place can compute.
LOOK = 1.0


class Plan(Protocol):
    """Which trials to make."""

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return trials to make now, in view of all results there are; none when the sweep is complete."""
        ...

    def done(self, results: Sequence[Result]) -> int:
        """Return how many of all results there are belong to the plan."""
        ...

    def total(self) -> int:
        """Return how many trials there will be at most."""
        ...


class FullGrid:
    """Every repetition of every cell.

    Parameters
    ----------
    recipe : Experiment
        Whose.

    Raises
    ------
    InputError
        If what the cell needs is not installed: all trials would fail.
    """

    def __init__(self, recipe: Experiment) -> None:
        if recipe.needs is not None and find_spec(recipe.needs) is None:
            raise InputError(
                f"{recipe.name} needs {recipe.needs}, which is not installed: pip install 'flatmin[{recipe.needs}]'"
            )
        self._trials = tuple(recipe.trials())

    def next(self, results: Sequence[Result]) -> Sequence[Trial]:
        """Return what is missing."""
        there = {result.trial.key for result in results}
        return [trial for trial in self._trials if trial.key not in there]

    def done(self, results: Sequence[Result]) -> int:
        """Return how many there are: all results are the plan's."""
        return len(results)

    def total(self) -> int:
        """Return how many trials there are."""
        return len(self._trials)


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes
    ----------
    results : list of Result
        What is in the store now of the trials that the sweep was about.
    complete : bool
        Whether nothing is missing.
    """

    results: list[Result]
    complete: bool

    @property
    def failed(self) -> list[Result]:
        """The trials that failed."""
        return [result for result in self.results if result.reason is not None]


def sweep(
    recipe: Experiment,
    store: Store,
    *,
    place: Executor | None = None,
    plan: Plan | None = None,
    retry: bool = False,
    stop: threading.Event | None = None,
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> SweepResult:
    """Make all trials of a recipe that are not in the store yet, and keep each result as it comes.

    Parameters
    ----------
    recipe : Experiment
        The experiment.
    store : Store
        Where results are kept. Other processes may work on the same recipe in the same store: each trial is made by one
        of them, and each waits until all are there.
    place : Executor, optional
        Where cells are computed; by default in this process.
    plan : Plan, optional
        Which trials; by default all.
    retry : bool
        Whether trials that failed are made again.
    stop : Event, optional
        When it is set no further trial is begun; those in flight are still kept.
    callback : callable, optional
        ``callback(dict)`` after each result that was made here: ``done`` and ``total`` trials, ``made`` here,
        ``failed``, and the ``seconds`` that the cell took; also while waiting for others, with ``waiting`` of their
        trials, and, from another thread but never two at once, while the place cannot compute, with what is the
        ``trouble``.

    Returns
    -------
    SweepResult
        All results, and whether they are complete.

    Raises
    ------
    InputError
        If an argument cannot be used.

    Examples
    --------
    >>> import tempfile
    >>> from dataclasses import replace
    >>> from flatmin.lab import Store, recipes, sweep
    >>> recipe = replace(recipes.find("figure-3").quickly(), repetitions=1)
    >>> recipe = replace(recipe, grid=[{"panel": ["sensing"], "method": ["flat"], "d": [6], "rank": [1], "m": [5, 30]}])
    >>> with tempfile.TemporaryDirectory() as place, Store(f"{place}/trials.db") as store:
    ...     outcome = sweep(recipe, store)
    >>> sorted((r.trial.parameters["m"], r.metrics["success"]) for r in outcome.results)
    [(5, False), (30, True)]
    """
    place, plan, stop = place or Serial(), plan or FullGrid(recipe), stop or threading.Event()
    tally = _Tally(plan.total(), callback)
    with Session(store, recipe) as session, _watched(place, tally):
        work = _Work(session, place, stop, tally)
        if retry:
            failures = [result.trial for result in store.of_the_grid(recipe) if result.reason is not None]
            work.make(failures, again=True)
        while not stop.is_set():
            results = store.of_the_grid(recipe)
            tally.done = plan.done(results)
            trials = plan.next(results)
            if not trials:
                break
            work.make(trials)
    results = store.of_the_grid(recipe)
    return SweepResult(results, not plan.next(results))


class _Tally:
    """Counts for whoever watches."""

    def __init__(self, total: int, callback: Callable[[dict[str, Any]], None] | None) -> None:
        self.total, self._callback, self._lock = total, callback, threading.Lock()
        self.done = self.made = self.failed = 0

    def add(self, result: Result) -> None:
        self.done, self.made, self.failed = self.done + 1, self.made + 1, self.failed + (result.reason is not None)
        self._tell(seconds=result.seconds)

    def wait(self, waiting: int) -> None:
        self._tell(waiting=waiting)

    def trouble(self, trouble: str) -> None:
        self._tell(trouble=trouble)

    def _tell(self, **more: Any) -> None:
        if self._callback is not None:
            counts = {"done": self.done, "total": self.total, "made": self.made, "failed": self.failed}
            with self._lock:
                self._callback(counts | more)


@contextmanager
def _watched(place: Executor, tally: _Tally) -> Iterator[None]:
    """Tell, inside the block, of what keeps the place from computing: whoever takes its results only sees none come."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            trouble = place.trouble()
            if trouble is not None and not over.is_set():
                tally.trouble(trouble)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(LOOK)


class _Work:
    """What one process does for a sweep."""

    def __init__(self, session: Session, place: Executor, stop: threading.Event, tally: _Tally) -> None:
        self._session, self._place, self._stop, self.tally = session, place, stop, tally

    def make(self, trials: Sequence[Trial], *, again: bool = False) -> None:
        """Make trials, except those that other processes make, and wait for these."""
        while trials and not self._stop.is_set():
            self._session.free_dead_claims()
            others, made = self._session.held_by_others(), 0
            free = [trial for trial in trials if trial.key not in others]
            for result in self._place.results(self._session.recipe.cell, self._claimed(free, again)):
                self._session.record(result)
                self.tally.add(result)
                made += 1
            trials, again = self._left(trials), False
            if trials and not made:
                self.tally.wait(len(trials))
                self._stop.wait(GLANCE)

    def _claimed(self, trials: Iterable[Trial], again: bool) -> Iterator[Trial]:
        """Give trials that this process is to make."""
        return (t for t in trials if not self._stop.is_set() and self._session.claim(t, again=again))

    def _left(self, trials: Sequence[Trial]) -> list[Trial]:
        there = self._session.store.statuses(self._session.recipe)
        return [trial for trial in trials if trial.key not in there]
