"""Memory and processor time of a process and its descendants, from /proc. Linux only."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["MemoryWatch", "descendants", "largest", "processor"]

SECONDS = 0.5  #: Seconds between two samples.


@dataclass
class MemoryWatch:
    """A thread that samples resident memory, as a context. ``total`` is the largest sum over all descendants, in bytes.

    Pages that processes share count for each of them, so the sum is an upper bound.
    """

    total: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> MemoryWatch:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.total = max(self.total, sum(_resident(pid, "VmRSS") for pid in descendants(os.getpid())))
            if self._over.wait(SECONDS):
                return


def largest(pid: int) -> int:
    """Return the largest resident memory that a process had so far, in bytes."""
    return _resident(pid, "VmHWM")


def processor(pids: Iterable[int]) -> float:
    """Return the processor seconds of processes so far, with those of their children that have ended."""
    ticks = 0
    for pid in pids:
        try:
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(root: int) -> set[int]:
    """Return the identifiers of a process and of all processes below it."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, new = {root}, {root}
    while new:
        new = {pid for pid, parent in parents.items() if parent in new} - found
        found |= new
    return found


def _resident(pid: int, kind: str) -> int:
    """Return a line of /proc/PID/status in bytes, 0 for a process that has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(kind + ":")), 0)
