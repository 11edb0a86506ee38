"""Store of trials: one SQLite file, one transaction per result.

A trial is identified by its experiment, the experiment's version, the parameters and the seed. Several processes of one
machine may write to the same file; `worker.py` keeps them from computing the same trial.

The file is in SQLite's write-ahead mode. If a process is killed, all recorded results are kept. After a loss of power
the results of the last moments may be missing, but the file is intact.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from flatmin._core.files import first_bytes
from flatmin._core.validation import check_version
from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Experiment, Metrics, Trial
from flatmin.lab.runs.source import library_digest

__all__ = ["Result", "Store", "check_store"]

#: The application id in the header of a store's SQLite file: "flat" in ASCII.
APPLICATION = 0x666C6174
#: The version of the tables, which is in the header too.
FORMAT = 1
#: Largest time to wait for the transaction of another process, in seconds.
TRANSACTION_TIMEOUT = 60.0
#: Errors of a file that cannot be read: those of the database, and texts that are none.
UNREADABLE = (sqlite3.Error, UnicodeDecodeError)

#: The tables. Some names are historical: ``recipe`` is any experiment, ``claims`` are the reservations of workers.
TABLES = """
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, host TEXT NOT NULL, pid INTEGER NOT NULL, beat REAL NOT NULL,
    facts TEXT NOT NULL);
CREATE TABLE trials (
    recipe TEXT NOT NULL, version TEXT NOT NULL, parameters TEXT NOT NULL, seed INTEGER NOT NULL,
    repetition INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT, metrics TEXT NOT NULL, seconds REAL NOT NULL,
    finished REAL NOT NULL, session INTEGER, PRIMARY KEY (recipe, version, parameters, seed));
CREATE TABLE claims (
    recipe TEXT NOT NULL, version TEXT NOT NULL, parameters TEXT NOT NULL, seed INTEGER NOT NULL,
    session INTEGER NOT NULL, PRIMARY KEY (recipe, version, parameters, seed));
"""
#: The table of kept files. Stores from before it existed get it when they are opened for writing.
FILES = """
CREATE TABLE IF NOT EXISTS files (
    recipe TEXT NOT NULL, version TEXT NOT NULL, parameters TEXT NOT NULL, seed INTEGER NOT NULL,
    name TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (recipe, version, parameters, seed, name))
"""
#: A query that gives 0 for a store without trials that no other process uses.
UNUSED = "SELECT (SELECT count(*) FROM trials) + max((SELECT count(*) FROM sessions) - 1, 0)"


@dataclass(frozen=True)
class Result:
    """The result of a trial: the metrics of the cell, its wall-clock time, and the reason if it failed.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> Result(next(recipe.trials()), {"error": 0.5}).status
    'done'
    >>> Result(next(recipe.trials()), reason="out of memory").status
    'failed'
    """

    trial: Trial
    metrics: Metrics = field(default_factory=dict)
    seconds: float = 0.0
    reason: str | None = None

    @property
    def status(self) -> str:
        """``done`` or ``failed``."""
        return "done" if self.reason is None else "failed"


class Store:
    """A file of trials, which is created if it does not exist; None keeps trials in memory, for this process only.

    A file that cannot be created or read, or is not a store, raises `InputError`. As a context manager, a store that
    was created here is deleted again if an `InputError`, such as of a full disk, ends the block before any trial.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> with Store(None) as store:
    ...     new = store.record(recipe, Result(next(recipe.trials()), {"error": 0.0}))
    ...     [result.metrics for result in store.results(recipe)]
    [{'error': 0.0}]
    """

    _is_new = False

    def __init__(self, file: str | Path | None) -> None:
        self.file = Path("memory" if file is None else file)
        # SQLite gives names such as ":memory:" another meaning, so the path is absolute.
        self._path, self._identity = None if file is None else self.file.absolute(), None
        self._lock = threading.RLock()
        self._is_new = self._path is not None and not self._path.exists()
        if file is not None:
            check_store(self.file)
        with self._errors_explained():
            self._database = sqlite3.connect(
                self._path or ":memory:", timeout=TRANSACTION_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                self._open()
                self._identity = self._file_identity()
            except BaseException as error:
                self._close_or_delete(isinstance(error, Exception), "SELECT count(*) FROM sqlite_master")
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._close_or_delete(isinstance(error, InputError), UNUSED)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def record(self, experiment: Experiment, result: Result, *, session: int | None = None) -> bool:
        """Keep a result, delete the reservation of its trial, and return whether the trial was new.

        An earlier result of the same trial is kept instead, unless it is a failure. Metrics that are bytes become files
        of the trial: they are returned by `files` only.
        """
        key = (experiment.name, experiment.version, *result.trial.key)
        files = {name: value for name, value in result.metrics.items() if isinstance(value, bytes)}
        metrics = json.dumps(_encoded({n: x for n, x in result.metrics.items() if n not in files}), allow_nan=False)
        outcome = (result.trial.repetition, result.status, result.reason, metrics, result.seconds)
        with self.transaction() as database:
            database.execute("DELETE FROM claims WHERE (recipe, version, parameters, seed) = (?, ?, ?, ?)", key)
            written = database.execute(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "status = excluded.status, reason = excluded.reason, metrics = excluded.metrics, "
                "seconds = excluded.seconds, finished = excluded.finished, session = excluded.session "
                "WHERE trials.status = 'failed'",
                (*key, *outcome, time.time(), session),
            )
            if written.rowcount == 1:
                rows = [(*key, name, content) for name, content in files.items()]
                database.executemany("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", rows)
            return written.rowcount == 1

    def results(self, experiment: Experiment) -> list[Result]:
        """Return all results of this version of an experiment, also outside its grid, in the order of recording."""
        rows = self.select(
            "SELECT parameters, repetition, seed, metrics, seconds, reason FROM trials "
            "WHERE recipe = ? AND version = ? ORDER BY rowid",
            (experiment.name, experiment.version),
        )
        return [
            Result(Trial(json.loads(parameters), repetition, seed), _decoded(json.loads(metrics)), seconds, reason)
            for parameters, repetition, seed, metrics, seconds, reason in rows
        ]

    def files(self) -> Iterator[tuple[str, Trial, dict[str, bytes]]]:
        """Yield the experiment's name, the trial and the files by name, for all trials that kept files."""
        if not self.select("SELECT 1 FROM sqlite_master WHERE name = 'files'"):
            return
        trials = self.select(
            "SELECT recipe, version, parameters, seed, repetition FROM trials "
            "WHERE (recipe, version, parameters, seed) IN (SELECT recipe, version, parameters, seed FROM files) "
            "ORDER BY rowid"
        )
        query = "SELECT name, CAST(content AS BLOB) FROM files WHERE (recipe, version, parameters, seed) = (?, ?, ?, ?)"
        for *key, repetition in trials:
            name, _, parameters, seed = key
            yield name, Trial(json.loads(parameters), repetition, seed), dict(self.select(query, tuple(key)))

    def grid_results(self, experiment: Experiment) -> list[Result]:
        """Return the stored results of the experiment's grid, cell by cell."""
        there = {result.trial.key: result for result in self.results(experiment)}
        repetitions = range(experiment.repetitions)
        trials = (experiment.trial(cell, repetition) for cell in experiment.cells for repetition in repetitions)
        return [there[trial.key] for trial in trials if trial.key in there]

    def statuses(self, experiment: Experiment) -> dict[tuple[str, int], str]:
        """Return ``done`` or ``failed`` for every stored trial of an experiment, by the trial's key."""
        rows = self.select(
            "SELECT parameters, seed, status FROM trials WHERE recipe = ? AND version = ?",
            (experiment.name, experiment.version),
        )
        return {(parameters, seed): status for parameters, seed, status in rows}

    def other_versions(self, experiment: Experiment) -> int:
        """Return the number of trials of other versions of the experiment; they are kept but not used."""
        query = "SELECT count(*) FROM trials WHERE recipe = ? AND version <> ?"
        return int(self.select(query, (experiment.name, experiment.version))[0][0])

    def from_another_library(self, experiment: Experiment) -> int:
        """Return the number of the experiment's trials that another state of flatmin's source computed."""
        rows = self.select(
            "SELECT facts, count(*) FROM trials JOIN sessions ON sessions.id = trials.session "
            "WHERE recipe = ? AND version = ? GROUP BY facts",
            (experiment.name, experiment.version),
        )
        return sum(count for facts, count in rows if json.loads(facts)["library"] != library_digest())

    def select(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._lock, self._errors_explained():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the database for changes that are either all kept or all undone."""
        with self._lock, self._errors_explained():
            if self._identity is not None and self._file_identity() != self._identity:
                raise InputError(f"the --store {self.file} was moved or deleted while in use, expected it to stay")
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # Some errors, such as a full disk, end the transaction themselves.
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        """Turn an error of the database into one sentence about the file."""
        try:
            yield
        except UNREADABLE as error:
            raise InputError(f"the --store {self.file} cannot be used: {error}") from error

    def _file_identity(self) -> tuple[int, int] | None:
        """Return an identifier of the file at the path; SQLite would go on writing to a file that was deleted."""
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            found = None
        return None if found is None else (found.st_dev, found.st_ino)

    def _open(self) -> None:
        """Create the tables if the file is new, or check that its tables are those of a store."""
        self._switch_to_write_ahead()
        self._database.execute("PRAGMA synchronous = NORMAL")
        with self.transaction() as database:
            (application,) = database.execute("PRAGMA application_id").fetchone()
            (version,) = database.execute("PRAGMA user_version").fetchone()
            (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if not application and not tables:
                for statement in TABLES.split(";")[:-1]:
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION}")
                database.execute(f"PRAGMA user_version = {FORMAT}")
            else:
                check_version(f"the --store {self.file}", version, FORMAT)
            database.execute(FILES)

    def _close_or_delete(self, failed: bool, query: str) -> None:
        """Close the file, and delete it with those of SQLite next to it if it is new, failed, and the query gives 0."""
        try:
            delete = failed and self._is_new and not self._database.execute(query).fetchone()[0]
        except sqlite3.Error:
            delete = False
        self._database.close()
        for ending in ("", "-wal", "-shm") if delete else ():
            with suppress(OSError):
                Path(f"{self._path}{ending}").unlink(missing_ok=True)

    def _switch_to_write_ahead(self) -> None:
        """Set the journal mode, and wait while another process sets it, which SQLite itself does not."""
        for attempts in range(100, -1, -1):
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not attempts or "locked" not in str(error):
                    raise
                time.sleep(0.05)


def check_store(file: Path) -> None:
    """Raise `InputError` if a file is not a store, or none could be created there; nothing is written."""
    header = first_bytes(file, "the --store", 72)
    # A store that another process is creating has no application id yet.
    ours = header[:16] == b"SQLite format 3\0" and int.from_bytes(header[68:72], "big") in (APPLICATION, 0)
    if header and not ours:
        raise InputError(f"the --store {file} is no store of sweeps, expected one or a new name")


def _encoded(value: Any) -> Any:
    """Return metrics for JSON, with words for infinity and NaN."""
    if isinstance(value, dict):
        return {name: _encoded(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_encoded(entry) for entry in value]
    return {"number": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _decoded(metrics: dict[str, Any]) -> Metrics:
    """Return the inverse of `_encoded`."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(entry) for entry in value]
        return float(value["number"]) if isinstance(value, dict) else value

    return {name: plain(value) for name, value in metrics.items()}
