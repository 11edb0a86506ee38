"""All runs of a race that do not depend on each other, in one process or several."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Any

from flatmin.errors import InputError
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import Run, judged_run
from flatmin.lab.race.store import Store
from flatmin.lab.race.tasks import Task

__all__ = ["Field", "Lap"]


@dataclass(frozen=True)
class Lap:
    """A run to be made: which competitor, and how.

    Attributes
    ----------
    name : str
        The competitor.
    seed : int
        Of the run.
    step_size : float
        In the units of the weights and the loss.
    strength : float or None
        In the scale-free units of the competitor.
    budget : int
        Gradients it may spend.
    """

    name: str
    seed: int
    step_size: float
    strength: float | None
    budget: int


class Field:
    """The competitors on their task, who make laps.

    Parameters
    ----------
    task : Task
        What is trained.
    competitors : dict of str to Competitor
        Who runs.
    protocol : Protocol
        The rules.
    store : Store
        Where finished laps are kept, and looked up before they are made.
    jobs : int
        Processes; with more than one, task and competitors are pickled, and a script needs its
        ``if __name__ == "__main__"``.
    """

    def __init__(
        self, task: Task, competitors: dict[str, Competitor], protocol: Protocol, store: Store, jobs: int = 1
    ) -> None:
        self.task, self.competitors, self.protocol, self.store = task, competitors, protocol, store
        self._pool = self._processes(jobs) if jobs > 1 else None

    def made(self, lap: Lap) -> Run:
        """Return a lap, from the store or made now and kept."""
        competitor = self.competitors[lap.name]
        entry = Entry(self.task, lap.seed, lap.step_size, lap.strength)
        name = self.store.name(competitor, entry, self.protocol, lap.budget)
        known = self.store.load(name)
        if known is None:
            known = judged_run(competitor, entry, self.protocol, lap.budget)
            self.store.save(name, known)
        return known

    def all(self, laps: Sequence[Lap]) -> Iterator[tuple[Lap, Run]]:
        """Give laps as they are finished; with one process in order."""
        if self._pool is None:
            yield from ((lap, self.made(lap)) for lap in laps)
            return
        with _later_interruption():
            futures = {self._pool.submit(_lap, lap): lap for lap in laps}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            for process in list((getattr(self._pool, "_processes", None) or {}).values()):
                process.terminate()  # what they are at is of no use; else `close` would wait for it
            raise

    def close(self) -> None:
        """End the processes; laps that have not begun are dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _processes(self, jobs: int) -> ProcessPoolExecutor:
        try:
            field = pickle.dumps((self.task, self.competitors, self.protocol, self.store))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise InputError(
                f"the task or a competitor cannot be sent to other processes ({error}), expected functions and classes "
                "at the top level of a module; or use jobs=1"
            ) from error
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(jobs, mp_context=context, initializer=_enter, initargs=(field,))


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


#: The field of a process that was started to run laps.
_FIELD: list[Any] = []


def _enter(field: bytes) -> None:
    # At once: the executor would take an exception for the outcome of a lap. The parent tells of an interruption.
    signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_leave_with_the_parent, daemon=True).start()
    _FIELD[:] = [Field(*pickle.loads(field))]


def _leave_with_the_parent() -> None:
    """End this process when its parent is gone, which else it would wait for, for ever, if that was ended by force."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _lap(lap: Lap) -> Run:
    made: Run = _FIELD[0].made(lap)
    return made
