"""Executors, which compute cells in this process or in several; `dask_cluster.py` has the one for clusters.

An executor takes trials and yields their results. If a cell raises an error, its result has the error as reason. If a
cell ends its process, for example because memory is exhausted, other running trials are lost too. All these trials are
then repeated, in the end one by one, so that only the trial at fault fails.
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
from flatmin.lab.runs.experiment import Cell, Metrics, Trial
from flatmin.lab.runs.store import Result

__all__ = ["Executor", "Processes", "Serial", "by_joblib", "compute", "one_by_one", "reason_of"]

#: Number of trials queued for each process, so that no process waits for work.
QUEUED = 2


class Executor(Protocol):
    """A place where cells are computed."""

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Yield results in the order in which they are computed; take further trials when a process needs some."""
        ...

    def trouble(self) -> str | None:
        """Return in words why the executor cannot compute at present, or None if it can."""
        return None


def compute(cell: Cell, trial: Trial) -> Result:
    """Return the result of a trial, computed with one thread of linear algebra."""
    start = time.perf_counter()
    try:
        with one_thread():
            metrics, reason = _checked(cell(dict(trial.parameters), trial.seed)), None
    except Exception as error:
        metrics, reason = {}, reason_of(error)
    return Result(trial, metrics, time.perf_counter() - start, reason)


class Serial(Executor):
    """One cell after the other in this process.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> [result.metrics for result in Serial().results(lambda parameters, seed: {"m": 1}, [next(recipe.trials())])]
    [{'m': 1}]
    """

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Yield results in the order of the trials."""
        return (compute(cell, trial) for trial in trials)


class Processes(Executor):
    """Several processes of this machine, by joblib; ``count`` is their number.

    Examples
    --------
    >>> from flatmin.lab import Store, recipes, sweep
    >>> with Store("trials.db") as store:  # doctest: +SKIP
    ...     sweep(recipes.find("figure-3").quickly(), store, executor=Processes(4))
    """

    def __init__(self, count: int) -> None:
        self.count = count

    def results(self, cell: Cell, trials: Iterable[Trial]) -> Iterator[Result]:
        """Yield results in the order in which they are computed."""
        options = {
            "n_jobs": self.count,
            "pre_dispatch": f"{QUEUED} * n_jobs",
            "batch_size": 1,
            "backend": "loky",
            "inner_max_num_threads": 1,
            "initializer": _prepare_process,
            "initargs": (os.getpid(),),
        }
        return by_joblib(cell, trials, lambda: options, lambda suspects: one_by_one(self._alone, cell, suspects))

    def _alone(self, cell: Cell, trial: Trial) -> Result:
        from joblib.externals.loky import ProcessPoolExecutor

        with ProcessPoolExecutor(1, initializer=_prepare_process, initargs=(os.getpid(),)) as executor:
            result: Result = executor.submit(compute, cell, trial).result()
            return result


def by_joblib(
    cell: Cell,
    trials: Iterable[Trial],
    options: Callable[[], Mapping[str, Any]],
    again: Callable[[Iterable[Trial]], Iterator[Result]],
) -> Iterator[Result]:
    """Yield results. After a breakdown of processes, run the unfinished trials by ``again`` and then continue."""
    from joblib import Parallel, delayed

    supply = _Supply(trials)
    while not supply.exhausted:
        work = (delayed(compute)(cell, trial) for trial in supply)
        with _interruption_delayed():
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
    """A breakdown of the processes themselves, as opposed to an error of a cell."""


def _until_broken(results: Iterable[Result]) -> Generator[Result]:
    """Yield results, and raise any breakdown as `_BrokenError`, to tell it from errors of the consumer."""
    try:
        yield from results
    except Exception as error:
        raise _BrokenError from error


def one_by_one(alone: Callable[[Cell, Trial], Result], cell: Cell, suspects: Iterable[Trial]) -> Iterator[Result]:
    """Yield the results of trials that ran during a breakdown; a trial whose process ends again has failed."""
    for trial in suspects:
        try:
            result = alone(cell, trial)
        except InputError:  # The executor itself is gone; the trial is not at fault.
            raise
        except Exception as error:
            result = Result(trial, reason=f"the process that computed it ended: {type(error).__name__}")
        yield result


class _Supply:
    """Iterator over trials that records which are running, and keeps an error that joblib's threads would lose."""

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
    """Close a generator of joblib and end its work, without joblib's warning about unfinished work."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        results.close()


@contextmanager
def _interruption_delayed() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block; processes started inside delay it until they can handle it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_process(parent: int) -> None:
    """Make a process ignore Ctrl-C, which its parent handles, and end when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _checked(metrics: Any) -> Metrics:
    """Return the metrics of a cell in plain Python, or raise `TypeError`."""
    if not isinstance(metrics, dict):
        raise TypeError(f"the cell returned a {type(metrics).__name__}, expected a dict of metrics")
    return {name: _checked_metric(name, value) for name, value in metrics.items()}


def _checked_metric(name: Any, value: Any) -> Any:
    if isinstance(name, str) and isinstance(value, bytes):
        return value
    plain = value.tolist() if hasattr(value, "tolist") else value
    entries = plain if isinstance(plain, list) else [plain]
    if not isinstance(name, str) or not all(each is None or isinstance(each, str | int | float) for each in entries):
        raise TypeError(
            f"the metric {name!r} is {plain!r}, expected a number, a word, a truth value or a list of them, or bytes"
        )
    return plain


def reason_of(error: BaseException) -> str:
    """Return an error in one line, with the file and line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{place}"
