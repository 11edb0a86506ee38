"""Threads that run a loop over several ranges of rows at once."""

import itertools
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["LEAST_WORK", "Parts", "available", "in_parts", "run_ranges"]

#: Number of operations that justify another thread.
LEAST_WORK = 8_000_000
#: Number of ranges for each thread. With several ranges, threads end at about the same time.
SHARES = 8


def available() -> int:
    """Return the number of processors of this process, or fewer if NUMBA_NUM_THREADS or OMP_NUM_THREADS says so."""
    try:
        found = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        found = os.cpu_count() or 1
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        limit = os.environ.get(name, "")
        if limit.isdigit() and int(limit) > 0:
            found = min(found, int(limit))
    return found


class Parts:
    """Ranges of rows with about the same number of cells each. The cells of row i begin at ``pointers[i]``."""

    def __init__(self, pointers: Array) -> None:
        self.pointers = pointers

    def run(self, call: Callable[[int, int], Any], work: float, threads: int | None = None) -> None:
        """Call ``call(start, stop)`` for ranges that cover all rows, in several threads if the work justifies them."""
        threads = min(available() if threads is None else threads, 1 + int(work / LEAST_WORK))
        rows = len(self.pointers) - 1
        if threads <= 1:
            call(0, rows)
            return
        cells = np.linspace(0, self.pointers[-1], SHARES * threads + 1)[1:-1]
        cuts = np.unique(np.concatenate([[0], np.searchsorted(self.pointers, cells), [rows]])).tolist()
        run_ranges(call, list(itertools.pairwise(cuts)), threads)


def in_parts(call: Callable[[int, int], Any], length: int, threads: int) -> None:
    """Call a function with ranges that cover ``0 … length``, in several threads."""
    cuts = np.unique(np.linspace(0, length, threads + 1).astype(int)).tolist()
    run_ranges(call, list(itertools.pairwise(cuts)), threads)


def run_ranges(call: Callable[[int, int], Any], ranges: list[tuple[int, int]], threads: int) -> None:
    """Call a function with every range, in several threads. An exception in a thread is raised in the caller."""
    waiting = iter(ranges)
    failures: list[BaseException] = []
    lock = threading.Lock()

    def work() -> None:
        try:
            while True:
                with lock:
                    piece = next(waiting, None)
                if piece is None or failures:
                    return
                call(*piece)
        except BaseException as error:  # raised again below, in the thread of the caller
            failures.append(error)

    helpers = [threading.Thread(target=work, daemon=True) for _ in range(min(threads, len(ranges)) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[0]
