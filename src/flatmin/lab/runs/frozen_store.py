"""A store that is only looked at: nothing is made, changed or locked against those who write."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from flatmin.errors import InputError
from flatmin.lab.runs.store import APPLICATION, FORMAT, PATIENCE, Store

__all__ = ["FrozenStore", "read_frozen"]

T = TypeVar("T")
#: How often a file that another process changes meanwhile is read again.
ATTEMPTS = 5


class FrozenStore(Store):
    """A store as it is at one moment.

    Parameters
    ----------
    file : Path
        What it is called in errors.
    address : str
        Where it is, in the form of an address that SQLite knows.
    """

    def __init__(self, file: Path, address: str) -> None:
        self.file = file
        self._lock = threading.RLock()
        with self._said_in_words():
            self._database = sqlite3.connect(
                address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )

    def begin(self) -> bool:
        """Look at one moment of the file from now on, and return whether it has tables; others than a store's raise."""
        self.select("BEGIN")
        (tables,), (application,), (version,) = (
            self.select(query)[0]
            for query in ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
        )
        if tables and application != APPLICATION:
            raise InputError(f"{self.file} is no store of sweeps, expected one")
        if tables and version != FORMAT:
            raise InputError(f"the store {self.file} has format version {version}, expected {FORMAT}")
        return bool(tables)

    @contextmanager
    def _said_in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise InputError(f"the store {self.file} cannot be read: {error}") from error


def read_frozen(file: Path, read: Callable[[FrozenStore], T]) -> T | None:
    """Return what a function reads from a store, or None if the store has no tables yet.

    A file that nobody has open is read as it lies there, so that nothing appears beside it. SQLite's log beside it says
    that somebody has it open, or was killed. Then it is read together with the log, as all do who have it open.

    Parameters
    ----------
    file : Path
        The store.
    read : callable
        Takes a `FrozenStore`. It is called again if somebody opened the file meanwhile.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    for _ in range(ATTEMPTS):
        before = _state(file)
        if _log(file).exists():
            return _beside_a_log(file, read)
        try:
            found = _from(file, f"{_address(file)}?immutable=1", read)
        except InputError:
            if _state(file) == before:
                raise
            continue
        if _state(file) == before:
            return found
    raise InputError(f"the store {file} changes all the time while it is read; try again")


def _beside_a_log(file: Path, read: Callable[[FrozenStore], T]) -> T | None:
    try:
        return _from(file, f"{_address(file)}?mode=ro", read)
    except InputError:
        if _beside(file, "-shm").exists():
            raise
    # Where nothing may be written, the log of a process that was killed cannot be read in its place.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        try:
            shutil.copyfile(file, copy)
            shutil.copyfile(_log(file), _log(copy))
        except OSError as error:
            raise InputError(f"the store {file} cannot be read: {error}") from error
        return _from(file, f"{_address(copy)}?mode=rw", read)


def _from(file: Path, address: str, read: Callable[[FrozenStore], T]) -> T | None:
    store = FrozenStore(file, address)
    try:
        return read(store) if store.begin() else None
    finally:
        store.close()


def _address(file: Path) -> str:
    return f"file:{quote(str(file.resolve()))}"


def _log(file: Path) -> Path:
    """Return SQLite's log: beside the file itself, not beside a link to it."""
    return _beside(file, "-wal")


def _beside(file: Path, ending: str) -> Path:
    real = file.resolve()
    return real.with_name(f"{real.name}{ending}")


def _state(file: Path) -> tuple[int, int, bool]:
    """Return what changes when somebody writes: the size, the time, and whether there is a log."""
    try:
        facts = file.stat()
    except OSError as error:
        raise InputError(f"the store {file} cannot be read: {error.strerror or error}") from error
    return facts.st_size, facts.st_mtime_ns, _log(file).exists()
