"""Who makes which trial, where several processes share a store.

A process opens a session and claims a trial before it makes it. The claims of a process that has died are free again:
on its own machine at once, seen from elsewhere when its session has shown no sign of life for a while. A process that
was only asleep makes its trial in vain: the result that came first stays.
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

__all__ = ["Session"]

#: Seconds between signs of life, and without one until a session counts as dead.
BEAT, LEASE = 10.0, 60.0


class Session:
    """A process at work on a store; as a context, it shows signs of life and drops its claims at the end.

    Parameters
    ----------
    store : Store
        The file.
    recipe : Experiment
        Whose trials are made.
    """

    def __init__(self, store: Store, recipe: Experiment) -> None:
        self.store, self.recipe = store, recipe
        self._over = threading.Event()
        self._heart = threading.Thread(target=self._show_signs_of_life, daemon=True)
        with store.transaction() as database:
            opened = database.execute(
                "INSERT INTO sessions (host, pid, beat, facts) VALUES (?, ?, ?, ?)",
                (socket.gethostname(), os.getpid(), time.time(), json.dumps(_facts())),
            )
            self.id = int(opened.lastrowid or 0)

    def __enter__(self) -> Session:
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
        except InputError:  # claims of a process that has ended are free; what went wrong before is what to tell
            if error is None:
                raise

    def claim(self, trial: Trial, *, again: bool = False) -> bool:
        """Claim a trial and return whether it is ours: it is not if it was made or another process is at it.

        With ``again``, a trial that failed may be claimed.
        """
        key = (self.recipe.name, self.recipe.version, *trial.key)
        there = "AND status = 'done'" if again else ""
        with self.store.transaction() as database:
            claimed = database.execute(
                "INSERT OR IGNORE INTO claims SELECT ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM trials "
                f"WHERE (recipe, version, parameters, seed) = (?, ?, ?, ?) {there})",
                (*key, self.id, *key),
            )
            return claimed.rowcount == 1

    def record(self, result: Result) -> bool:
        """Keep a result, and return whether its trial was new."""
        return self.store.record(self.recipe, result, session=self.id)

    def free_dead_claims(self) -> None:
        """Drop the claims of processes that have died."""
        held = "SELECT DISTINCT s.id, s.host, s.pid, s.beat FROM sessions s JOIN claims c ON c.session = s.id"
        dead = [(row[0],) for row in self.store.select(held) if row[0] != self.id and not _alive(*row[1:])]
        if dead:
            with self.store.transaction() as database:
                database.executemany("DELETE FROM claims WHERE session = ?", dead)

    def held_by_others(self) -> set[tuple[str, int]]:
        """Return the keys of the trials that other processes are at."""
        query = "SELECT parameters, seed FROM claims WHERE recipe = ? AND version = ? AND session <> ?"
        return set(self.store.select(query, (self.recipe.name, self.recipe.version, self.id)))

    def _show_signs_of_life(self) -> None:
        while not self._over.wait(BEAT):
            try:
                with self.store.transaction() as database:
                    database.execute("UPDATE sessions SET beat = ? WHERE id = ?", (time.time(), self.id))
            except InputError:  # the next beat comes; if the file is gone, recording says so
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
    except PermissionError:
        return True
    return True


def _facts() -> dict[str, str]:
    """Return what results may depend on besides the recipe, for whoever wonders later."""
    return {
        "flatmin": __version__,
        "library": library_digest(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "machine": platform.platform(),
    }
