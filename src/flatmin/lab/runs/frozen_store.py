"""A store opened for reading only: no file is created, changed, or locked against processes that write."""

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from flatmin._core.validation import check_version
from flatmin.errors import InputError
from flatmin.lab.runs.store import APPLICATION, FORMAT, TRANSACTION_TIMEOUT, UNREADABLE, Store

__all__ = ["FrozenStore", "read_frozen"]

T = TypeVar("T")
#: Largest number of attempts to read a file that another process keeps changing.
ATTEMPTS = 5
#: The number of trials whose columns hold other values than those that a sweep writes. Dates end with the year 9999.
DAMAGED = """
SELECT count(*) FROM trials LEFT JOIN sessions ON sessions.id = session WHERE
    typeof(recipe) <> 'text' OR typeof(trials.version) <> 'text' OR typeof(seed) <> 'integer' OR
    typeof(repetition) <> 'integer' OR status NOT IN ('done', 'failed') OR typeof(reason) NOT IN ('text', 'null') OR
    typeof(seconds) <> 'real' OR typeof(finished) <> 'real' OR finished < 0 OR
    finished >= 253402300800 OR NOT json_valid(parameters) OR
    NOT json_valid(metrics) OR json_type(parameters) <> 'object' OR json_type(metrics) <> 'object' OR
    (facts IS NOT NULL AND (NOT json_valid(facts) OR json_type(facts) <> 'object'))
"""


class FrozenStore(Store):
    """A snapshot of the store at an address, a URI of SQLite; ``file`` is its name in error messages."""

    def __init__(self, file: Path, address: str) -> None:
        self.file = file
        self._lock = threading.RLock()
        with self._errors_explained():
            self._database = sqlite3.connect(
                address, uri=True, timeout=TRANSACTION_TIMEOUT, isolation_level=None, check_same_thread=False
            )

    def begin(self) -> bool:
        """Fix the snapshot, and return whether it has tables; raise `InputError` if they are not a store's."""
        self.select("BEGIN")
        (tables,), (application,), (version,) = (
            self.select(query)[0]
            for query in ("SELECT count(*) FROM sqlite_master", "PRAGMA application_id", "PRAGMA user_version")
        )
        if tables and application != APPLICATION:
            raise InputError(f"{self.file} is no store of sweeps, expected one")
        if tables:
            check_version(f"the store {self.file}", version, FORMAT)
            ((sound,),) = self.select("PRAGMA integrity_check(1)")
            if sound != "ok":
                raise InputError(f"the store {self.file} cannot be read: {sound}; take it from a copy")
        if tables and (count := self.select(DAMAGED)[0][0]):
            raise InputError(f"{self.file} has damaged trials ({count} of them), expected values that a sweep wrote")
        return bool(tables)

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except UNREADABLE as error:
            raise InputError(f"the store {self.file} cannot be read: {error}") from error


def read_frozen(file: Path, read: Callable[[FrozenStore], T]) -> T | None:
    """Return ``read(store)`` for a `FrozenStore` of the file, or None if the store has no tables yet.

    If no process has the file open, it is read in place and no further file appears. A log of SQLite next to the file
    shows that a process has it open or was killed; then file and log are read together. If the file changed meanwhile,
    ``read`` is called again. A file that cannot be read raises `InputError`.
    """
    for _ in range(ATTEMPTS):
        before = _state(file)
        if _log(file).exists():
            return _with_log(file, read)
        try:
            found = _from_address(file, f"{_address(file)}?immutable=1", read)
        except InputError:
            if _state(file) == before:
                raise
            continue
        if _state(file) == before:
            return found
    raise InputError(f"the store {file} changes all the time while it is read; try again")


def _with_log(file: Path, read: Callable[[FrozenStore], T]) -> T | None:
    try:
        return _from_address(file, f"{_address(file)}?mode=ro", read)
    except InputError:
        if _neighbour(file, "-shm").exists():
            raise
    # SQLite cannot read the log of a killed process in a directory without write permission, so both are copied.
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / file.name
        try:
            shutil.copyfile(file, copy)
            shutil.copyfile(_log(file), _log(copy))
        except OSError as error:
            raise InputError(f"the store {file} cannot be read: {error}") from error
        return _from_address(file, f"{_address(copy)}?mode=rw", read)


def _from_address(file: Path, address: str, read: Callable[[FrozenStore], T]) -> T | None:
    store = FrozenStore(file, address)
    try:
        return read(store) if store.begin() else None
    finally:
        store.close()


def _address(file: Path) -> str:
    return f"file:{quote(str(file.resolve()))}"


def _log(file: Path) -> Path:
    return _neighbour(file, "-wal")


def _neighbour(file: Path, ending: str) -> Path:
    """Return a file of SQLite next to the store itself, not next to a link to it."""
    real = file.resolve()
    return real.with_name(f"{real.name}{ending}")


def _state(file: Path) -> tuple[int, int, bool]:
    """Return facts that change when a process writes: size, time of modification, and whether there is a log."""
    try:
        facts = file.stat()
    except OSError as error:
        raise InputError(f"the store {file} cannot be read: {error.strerror or error}") from error
    return facts.st_size, facts.st_mtime_ns, _log(file).exists()
