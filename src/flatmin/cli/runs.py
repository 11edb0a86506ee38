"""The runs of a race, kept while it goes on and after it."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flatmin.errors import InputError

__all__ = ["Runs", "kept_runs"]

#: A run's file, and one that was not finished.
RUN = re.compile(r"[0-9a-f]+\.json")
UNFINISHED = re.compile(r"\.[0-9a-f]+\.json\..*")


@dataclass(frozen=True)
class Runs:
    """A directory of runs beside the results, as long as there are none.

    Attributes
    ----------
    directory : Path
        Where a race keeps its runs.
    former : frozenset of str
        Names of those that a former race in the same place has left.
    """

    directory: Path
    former: frozenset[str] = frozenset()

    @property
    def names(self) -> set[str]:
        """The names of all runs that are finished."""
        return {path.name for path in self.directory.iterdir() if RUN.fullmatch(path.name)}

    def copy(self, to: Path, with_former: bool) -> None:
        """Copy the runs, those of the former race only if they are of the same one."""
        to.mkdir()
        for name in self.names - (frozenset() if with_former else self.former):
            shutil.copy2(self.directory / name, to / name)


@contextmanager
def kept_runs(target: Path, wanted: bool = True) -> Iterator[Runs]:
    """Give the runs for results in ``target``: those of a former race there, and of one that was interrupted.

    They vanish if the block ends well. If it is interrupted they stay, and one line on stderr says so, if ``wanted``.

    Raises
    ------
    InputError
        If there is something else where they would be kept.
    """
    directory = target.with_name(f"{target.name}.partial")
    made = [parent for parent in target.parents if not parent.exists()]
    _check(directory)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        runs = Runs(directory, _taken_over(target / "runs", directory))
    except OSError as error:
        raise InputError(f"{directory} cannot be written: {error.strerror or error}") from error
    try:
        yield runs
    except BaseException as error:
        new = len(runs.names - runs.former)
        if new and wanted and not isinstance(error, Exception):
            count = "1 run is" if new == 1 else f"{new} runs are"
            print(
                f"flatmin: stopped; {count} kept in {directory}, the same command goes on from there", file=sys.stderr
            )
        if not new:
            shutil.rmtree(directory)
            for parent in made:
                with suppress(OSError):
                    parent.rmdir()
        raise
    shutil.rmtree(directory)


def _check(directory: Path) -> None:
    """Raise `InputError` if there is something that is not a directory of runs."""
    if not directory.exists():
        return
    if directory.is_dir() and all(RUN.fullmatch(p.name) or UNFINISHED.fullmatch(p.name) for p in directory.iterdir()):
        return
    raise InputError(
        f"{directory} exists and does not hold the runs of an interrupted race, expected nothing there; move it away "
        "or choose another --output"
    )


def _taken_over(source: Path, directory: Path) -> frozenset[str]:
    """Copy the runs of a former race, and return their names."""
    if not source.is_dir():
        return frozenset()
    names = frozenset(path.name for path in source.iterdir() if RUN.fullmatch(path.name))
    for name in names:
        if not (directory / name).exists():
            shutil.copy2(source / name, directory / name)
    return names
