"""The store of the runs of a race: next to the results during the race, and part of them afterwards."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flatmin._core.files import created_parents, refused_if_unwritable
from flatmin.cli.output import read_summary
from flatmin.errors import InputError

__all__ = ["STORE", "Runs", "kept_runs"]

#: Name of the store. During a race SQLite keeps two more files whose names begin with it.
STORE = "runs.db"


@dataclass
class Runs:
    """The store of a race in progress."""

    #: The directory of the results, which may hold those of an earlier race.
    target: Path
    #: The directory of the store.
    directory: Path
    #: The number of runs that were copied from the earlier race.
    n_former: int = 0

    @property
    def file(self) -> Path:
        """The store."""
        return self.directory / STORE

    @property
    def n_new(self) -> int:
        """The number of finished runs that are not yet part of any results."""
        return _n_finished(self.file) - self.n_former

    def take_over(self, digest: str) -> None:
        """Copy the runs of the former race if its task had this digest, unless an interrupted race already did."""
        former = self.target / STORE
        if self.file.exists() or not former.exists():
            return
        with suppress(OSError, InputError, KeyError, TypeError):
            if read_summary(self.target)["protocol"]["digest"] == digest:
                shutil.copy2(former, self.file)
                self.n_former = _n_finished(self.file)

    def copy(self, folder: Path) -> None:
        """Copy the store into a folder."""
        shutil.copy2(self.file, folder / STORE)


@contextmanager
def kept_runs(target: Path, wanted: bool = True) -> Iterator[Runs]:
    """Give the store for results in ``target``, with the runs of an interrupted race if there was one.

    The store is deleted if the block ends without an error. An interruption keeps it, and reports this on stderr if
    ``wanted``. Other files in its place raise `InputError`.
    """
    directory = target.with_name(f"{target.name}.partial")
    _check(target, directory)
    with ExitStack() as stack:
        with refused_if_unwritable(directory):
            stack.enter_context(created_parents(target))
            directory.mkdir(exist_ok=True)
        runs = Runs(target, directory)
        try:
            yield runs
        except BaseException as error:
            count = runs.n_new
            if count and wanted and not isinstance(error, Exception):
                kept = "1 run is" if count == 1 else f"{count} runs are"
                words = f"stopped; {kept} kept in {directory}, the same command goes on from there"
                print(f"flatmin: {words}", file=sys.stderr)
            if not count:
                shutil.rmtree(directory)
            raise
        shutil.rmtree(directory)


def _check(target: Path, directory: Path) -> None:
    """Raise `InputError` if other files are in the place of the store, or the results have runs in a former format."""
    if (target / "runs").is_dir():
        raise InputError(
            f"{target / 'runs'} holds runs in a former format, which cannot be used again; move {target} away "
            "or choose another --output"
        )
    if not directory.exists():
        return
    if directory.is_dir() and all(path.name.startswith(STORE) for path in directory.iterdir()):
        return
    raise InputError(
        f"{directory} exists and does not hold the runs of an interrupted race, expected nothing there; move it away "
        "or choose another --output"
    )


def _n_finished(file: Path) -> int:
    """Return the number of finished runs in a store; it is read without writing, which also works on a full disk."""
    from flatmin.lab.runs.frozen_store import read_frozen

    if not file.exists():
        return 0
    query = "SELECT count(*) FROM trials WHERE status = 'done'"
    return int(read_frozen(file, lambda store: store.select(query)[0][0]) or 0)
