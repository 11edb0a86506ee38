"""Worker: a process that computes trials of a store, and reserves them so that no other process computes them too.

Reservations of a dead process are released: at once by processes of the same machine, and by other machines after
`LEASE` seconds without a sign of life. If that process was only suspended, the result recorded first is kept.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import threading
import time
from types import TracebackType

import numpy as np
import scipy

from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Experiment, Trial
from flatmin.lab.runs.source import library_digest
from flatmin.lab.runs.store import Result, Store

__all__ = ["Worker"]

#: Time between the signs of life that a worker writes into the store, in seconds.
BEAT = 10.0
#: A session without a sign of life for this number of seconds counts as dead.
LEASE = 60.0


class Worker:
    """The work of one process on a store; the end of its ``with`` block deletes its reservations.

    The store has a row for each worker in the table ``sessions`` and one for each reservation in ``claims``.
    """

    def __init__(self, store: Store, experiment: Experiment) -> None:
        self.store, self.experiment = store, experiment
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._show_signs_of_life, daemon=True)
        with store.transaction() as database:
            opened = database.execute(
                "INSERT INTO sessions (host, pid, beat, facts) VALUES (?, ?, ?, ?)",
                (socket.gethostname(), os.getpid(), time.time(), json.dumps(_facts())),
            )
            self.id = int(opened.lastrowid or 0)

    def __enter__(self) -> Worker:
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._heart.join()
        try:
            with self.store.transaction() as database:
                database.execute("DELETE FROM claims WHERE session = ?", (self.id,))
        except InputError:  # An earlier error matters more, and the reservations end with the process.
            if error is None:
                raise

    def reserve(self, trial: Trial, *, again: bool = False) -> bool:
        """Reserve a trial; return False if it is in the store already or another process has it.

        With ``again``, a trial that failed may be reserved.
        """
        key = (self.experiment.name, self.experiment.version, *trial.key)
        with self.store.transaction() as database:
            reserved = database.execute(
                "INSERT OR IGNORE INTO claims SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM trials "
                "WHERE (recipe, version, parameters, seed) = (?, ?, ?, ?) AND (status = 'done' OR NOT ?))",
                (*key, self.id, *key, again),
            )
            return reserved.rowcount == 1

    def record(self, result: Result) -> bool:
        """Keep a result, and return whether its trial was new."""
        return self.store.record(self.experiment, result, session=self.id)

    def free_dead_reservations(self) -> None:
        """Delete the reservations of processes that have died."""
        held = "SELECT DISTINCT s.id, s.host, s.pid, s.beat FROM sessions s JOIN claims c ON c.session = s.id"
        dead = [(row[0],) for row in self.store.select(held) if row[0] != self.id and not _alive(*row[1:])]
        if dead:
            with self.store.transaction() as database:
                database.executemany("DELETE FROM claims WHERE session = ?", dead)

    def held_by_others(self) -> set[tuple[str, int]]:
        """Return the keys of the trials that other processes have reserved."""
        query = "SELECT parameters, seed FROM claims WHERE recipe = ? AND version = ? AND session <> ?"
        return set(self.store.select(query, (self.experiment.name, self.experiment.version, self.id)))

    def _show_signs_of_life(self) -> None:
        while not self._over.wait(BEAT):
            try:
                with self.store.transaction() as database:
                    database.execute("UPDATE sessions SET beat = ? WHERE id = ?", (time.time(), self.id))
            except InputError:  # A missed beat does no harm; if the file is gone, recording reports it.
                continue


def _alive(host: str, pid: int, beat: float) -> bool:
    """Return whether a process may still be at work."""
    if time.time() - beat > LEASE:
        return False
    if host != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # The process exists and belongs to somebody else.
        pass
    return True


def _facts() -> dict[str, str]:
    """Return the versions and the machine, on which results may depend as well."""
    return {
        "flatmin": __version__,
        "library": library_digest(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.platform(),
    }
