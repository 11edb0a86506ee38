"""Trials on disk: one SQLite file, one transaction a result.

A trial is named by the recipe, its version, the parameters and the seed, and is there once or not at all. Several
processes of one machine may write to the same file; who makes which trial is agreed on by claims (`session.py`).

The file is in write-ahead mode: a process that is killed loses nothing that was recorded. After a loss of power the
last moments may be missing; what is there is whole.
"""

from __future__ import annotations

import json
import math
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Experiment, Metrics, Trial
from flatmin.lab.runs.source import library_digest

__all__ = ["Result", "Store", "check_store"]

#: What SQLite keeps in the header of our files: "flat" in ASCII, and the version of the tables.
APPLICATION, FORMAT = 0x666C6174, 1
#: Seconds that a process waits for another one's transaction.
PATIENCE = 60.0

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


@dataclass(frozen=True)
class Result:
    """What came of a trial.

    Attributes
    ----------
    trial : Trial
        Which one.
    metrics : dict
        What the cell returned; empty if it failed.
    seconds : float
        Wall-clock time of the cell.
    reason : str or None
        Why it failed; None if it did not.
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
    """A file of trials.

    Parameters
    ----------
    file : path
        Made if need be.

    Raises
    ------
    InputError
        If the file cannot be made or read, or is something else.

    Examples
    --------
    >>> import tempfile
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> with tempfile.TemporaryDirectory() as place, Store(f"{place}/trials.db") as store:
    ...     new = store.record(recipe, Result(next(recipe.trials()), {"error": 0.0}))
    ...     [result.metrics for result in store.results(recipe)]
    [{'error': 0.0}]
    """

    def __init__(self, file: str | Path) -> None:
        self.file = Path(file)
        # Whole, for there are names such as :memory: that mean something else to SQLite.
        self._path, self._identity = self.file.absolute(), None
        self._lock = threading.RLock()
        check_store(self.file)
        with self._said_in_words():
            self._database = sqlite3.connect(
                self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            try:
                self._open()
                self._identity = self._found()
            except BaseException:
                self._database.close()
                raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def record(self, recipe: Experiment, result: Result, *, session: int | None = None) -> bool:
        """Keep a result, drop the claim on its trial, and return whether the trial was new.

        A result that is there already stays, unless it is a failure.
        """
        key = (recipe.name, recipe.version, *result.trial.key)
        values = (
            *key,
            result.trial.repetition,
            result.status,
            result.reason,
            _as_text(result.metrics),
            result.seconds,
            time.time(),
            session,
        )
        with self.transaction() as database:
            database.execute("DELETE FROM claims WHERE (recipe, version, parameters, seed) = (?, ?, ?, ?)", key)
            written = database.execute(
                "INSERT INTO trials VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "status = excluded.status, reason = excluded.reason, metrics = excluded.metrics, "
                "seconds = excluded.seconds, finished = excluded.finished, session = excluded.session "
                "WHERE trials.status = 'failed'",
                values,
            )
            return written.rowcount == 1

    def results(self, recipe: Experiment) -> list[Result]:
        """Return what is there of a recipe in its version, whatever the grid, in the order of recording."""
        rows = self.select(
            "SELECT parameters, repetition, seed, metrics, seconds, reason FROM trials "
            "WHERE recipe = ? AND version = ? ORDER BY rowid",
            (recipe.name, recipe.version),
        )
        return [
            Result(Trial(json.loads(parameters), repetition, seed), _from_text(metrics), seconds, reason)
            for parameters, repetition, seed, metrics, seconds, reason in rows
        ]

    def of_the_grid(self, recipe: Experiment) -> list[Result]:
        """Return the results of the recipe's own trials, as far as they are there, cell by cell."""
        there = {result.trial.key: result for result in self.results(recipe)}
        trials = (recipe.trial(cell, repetition) for cell in recipe.cells for repetition in range(recipe.repetitions))
        return [there[trial.key] for trial in trials if trial.key in there]

    def statuses(self, recipe: Experiment) -> dict[tuple[str, int], str]:
        """Return ``done`` or ``failed`` for every trial of a recipe that is there, by its key."""
        rows = self.select(
            "SELECT parameters, seed, status FROM trials WHERE recipe = ? AND version = ?",
            (recipe.name, recipe.version),
        )
        return {(parameters, seed): status for parameters, seed, status in rows}

    def other_versions(self, recipe: Experiment) -> int:
        """Return how many trials there are of the recipe in other versions; they are kept and left alone."""
        rows = self.select(
            "SELECT count(*) FROM trials WHERE recipe = ? AND version <> ?", (recipe.name, recipe.version)
        )
        return int(rows[0][0])

    def made_by_another_library(self, recipe: Experiment) -> int:
        """Return how many trials of the recipe in its version other files of flatmin computed than those here."""
        rows = self.select(
            "SELECT facts, count(*) FROM trials JOIN sessions ON sessions.id = trials.session "
            "WHERE recipe = ? AND version = ? GROUP BY facts",
            (recipe.name, recipe.version),
        )
        return sum(count for facts, count in rows if json.loads(facts)["library"] != library_digest())

    def select(self, query: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """Return all rows of a query."""
        with self._lock, self._said_in_words():
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give the database for changes that are all made, or none of them."""
        with self._lock, self._said_in_words():
            if self._identity is not None and self._found() != self._identity:
                raise InputError(f"the --store {self.file} was moved or deleted while in use, expected it to stay")
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:  # some errors, such as a full disk, end it by themselves
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _said_in_words(self) -> Iterator[None]:
        """Make an error of the database one sentence about the file."""
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"the --store {self.file} cannot be used: {error}") from error

    def _found(self) -> tuple[int, int] | None:
        """Return which file has the name now: SQLite would go on with one that is deleted, and all would be lost."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _open(self) -> None:
        """Make the tables if the file is new, or check that they are ours."""
        self._in_write_ahead_mode()
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
            elif version != FORMAT:
                raise InputError(f"the --store {self.file} has format version {version}, expected {FORMAT}")

    def _in_write_ahead_mode(self) -> None:
        """Switch the mode; SQLite does not wait by itself while another process does the same."""
        for left in range(100, -1, -1):
            try:
                self._database.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not left or "locked" not in str(error):
                    raise
                time.sleep(0.05)


def check_store(file: Path) -> None:
    """Raise `InputError` if a file is there that is no store, or none could be made; nothing is written."""
    if file.is_dir():
        raise InputError(f"the --store {file} is a directory, expected a file or a new name")
    if not file.parent.is_dir():
        raise InputError(f"the --store {file} would stand in {file.parent}, which is no directory; make it first")
    if not file.exists():
        return
    if not file.is_file():
        raise InputError(f"the --store {file} is no regular file, expected one or a new name")
    try:
        with file.open("rb") as stream:
            header = stream.read(72)
    except OSError as error:
        raise InputError(f"the --store {file} cannot be read: {error.strerror or error}") from error
    # A store that is just being made by another process has no header yet.
    ours = header[:16] == b"SQLite format 3\0" and int.from_bytes(header[68:72], "big") in (APPLICATION, 0)
    if header and not ours:
        raise InputError(f"the --store {file} is no store of sweeps, expected one or a new name")


def _as_text(metrics: Mapping[str, Any]) -> str:
    """Return metrics as JSON, with words for what JSON has no number for."""
    return json.dumps({name: _named(value) for name, value in metrics.items()}, allow_nan=False)


def _named(value: Any) -> Any:
    return {"number": str(value)} if isinstance(value, float) and not math.isfinite(value) else value


def _from_text(text: str) -> Metrics:
    metrics: Metrics = json.loads(text)
    return {name: float(value["number"]) if isinstance(value, dict) else value for name, value in metrics.items()}
