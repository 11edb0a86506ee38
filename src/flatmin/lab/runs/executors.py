"""Where cells are computed: in this process or in several; `dask_cluster.py` has more machines.

A place takes trials and gives results as they come. A cell that raises is a result with a reason. A cell that ends its
process, for want of memory say, takes others down with it; the trials that were in flight are then made again, in the
end one by one, so that only the guilty one fails.
"""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from flatmin._core.threads import one_thread
from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Metrics, Parameters, Trial
from flatmin.lab.runs.store import Result

__all__ = ["Executor", "Processes", "Serial", "by_joblib", "compute", "one_by_one", "reason_of"]

Cell = Callable[[Parameters, int], Metrics]
#: Trials in flight for each process, so that none of them waits.
AHEAD = 2


class Executor(Protocol):
    """Somewhere to compute."""

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Give results in the order in which they come; trials are taken as there is room."""
        ...

    def trouble(self) -> str | None:
        """Return what keeps it from computing, in words; None if nothing does."""
        return None


def compute(cell: Cell, trial: Trial) -> Result:
    """Return what came of a trial, with one thread of linear algebra."""
    start = time.perf_counter()
    try:
        with one_thread():
            metrics, reason = _checked(cell(dict(trial.parameters), trial.seed)), None
    except Exception as error:
        metrics, reason = {}, reason_of(error)
    return Result(trial, metrics, time.perf_counter() - start, reason)


class Serial(Executor):
    """In this process, one cell after the other."""

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Give results in order."""
        return (compute(cell, trial) for trial in trials)


class Processes(Executor):
    """In several processes of this machine, by joblib.

    Parameters
    ----------
    count : int
        How many.
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Give results as they come."""
        options = {
            "n_jobs": self.count,
            "pre_dispatch": f"{AHEAD} * n_jobs",
            "batch_size": 1,
            "backend": "loky",
            "inner_max_num_threads": 1,
            "initializer": _enter,
            "initargs": (os.getpid(),),
        }
        return by_joblib(cell, trials, lambda: options, lambda suspects: one_by_one(self._alone, cell, suspects))

    def _alone(self, cell: Cell, trial: Trial) -> Result:
        from joblib.externals.loky import ProcessPoolExecutor

        with ProcessPoolExecutor(1, initializer=_enter, initargs=(os.getpid(),)) as executor:
            result: Result = executor.submit(compute, cell, trial).result()
            return result


def by_joblib(
    cell: Cell,
    trials: Iterable[Trial],
    options: Callable[[], Mapping[str, Any]],
    again: Callable[[Iterable[Trial]], Iterator[Result]],
) -> Iterator[Result]:
    """Give results as they come; after a breakdown, make what was in flight ``again`` and go on with the rest."""
    from joblib import Parallel, delayed

    supply = _Supply(trials)
    while not supply.exhausted:
        work = (delayed(compute)(cell, trial) for trial in supply)
        with _later_interruption():
            results = _until_broken(Parallel(return_as="generator_unordered", **options())(work))
        broken = False
        try:
            for result in results:
                supply.in_flight.pop(result.trial.key, None)
                yield result
        except _BrokenError as error:
            if not supply.in_flight:
                raise error.__cause__ or error from None
            broken = True
        finally:
            _close(results)
        if broken:
            suspects, supply.in_flight = list(supply.in_flight.values()), {}
            yield from again(suspects)
        if supply.error is not None:
            raise supply.error


class _BrokenError(Exception):
    """The processes broke down; no error of a cell does that."""


def _until_broken(results: Iterable[Result]) -> Generator[Result]:
    """Give results, and tell a breakdown from an error of whoever takes them."""
    try:
        yield from results
    except Exception as error:
        raise _BrokenError from error


def one_by_one(alone: Callable[[Cell, Trial], Result], cell: Cell, suspects: Iterable[Trial]) -> Iterator[Result]:
    """Give the results of what was in flight when processes broke down; whose process ends again is guilty."""
    for trial in suspects:
        try:
            result = alone(cell, trial)
        except InputError:  # there is nowhere to compute any more, and no trial is guilty of that
            raise
        except Exception as error:
            result = _ended(trial, error)
        yield result


def _ended(trial: Trial, error: BaseException) -> Result:
    return Result(trial, reason=f"the process that computed it ended: {type(error).__name__}")


class _Supply:
    """Trials that remember which of them are in flight.

    joblib asks for trials from threads of its own, where an exception would be lost and the sweep would wait for ever:
    it is kept here, and the supply ends.
    """

    def __init__(self, trials: Iterable[Trial]) -> None:
        self._trials = iter(trials)
        self._lock = threading.Lock()
        self.in_flight: dict[tuple[str, int], Trial] = {}
        self.exhausted = False
        self.error: BaseException | None = None

    def __iter__(self) -> _Supply:
        return self

    def __next__(self) -> Trial:
        with self._lock:
            if self.exhausted:
                raise StopIteration
            try:
                trial = next(self._trials)
            except BaseException as error:
                self.exhausted = True
                if not isinstance(error, StopIteration):
                    self.error = error
                raise StopIteration from error
            self.in_flight[trial.key] = trial
            return trial


def _close(results: Any) -> None:
    """Close a generator of joblib, and with it its work, without a warning that something is left."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results.close()


@contextmanager
def _later_interruption() -> Iterator[None]:
    """Hold Ctrl-C back inside the block, and in processes that are started there until they can answer it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _enter(parent: int) -> None:
    """Prepare a process: Ctrl-C is the parent's business, and without the parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_leave_with_the_parent, args=(parent,), daemon=True).start()


def _leave_with_the_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _checked(metrics: Any) -> Metrics:
    """Return the metrics of a cell in plain Python, or raise `TypeError`."""
    if not isinstance(metrics, dict):
        raise TypeError(f"the cell returned a {type(metrics).__name__}, expected a dict of metrics")
    plain = {name: value.item() if hasattr(value, "item") else value for name, value in metrics.items()}
    for name, value in plain.items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str | int | float | bool)):
            raise TypeError(f"the metric {name!r} is {value!r}, expected a number, a word or a truth value")
    return plain


def reason_of(error: BaseException) -> str:
    """Return an error in one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
