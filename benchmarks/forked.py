"""Commands in forked processes: a child that ends with the status of a command, and what its parent loads before."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

__all__ = ["PAGES", "TRACEBACK", "end_with", "leave_out", "load_pages", "run_quietly", "status_of", "write_to"]

#: Exit status of a child that ended with a traceback.
TRACEBACK = 99
#: Functions that write pages, which take most of the time of a command.
PAGES = (
    "flatmin.cli.commands.recover.write_report",
    "flatmin.cli.commands.impute.write_imputation_report",
    "flatmin.cli.commands.rate.write_rating_report",
    "flatmin.cli.commands.separate.write_separation_report",
    "flatmin.lab.report.write_findings",
)


def status_of(run: Callable[[], int]) -> int:
    """Run a command, and return its exit status, or `TRACEBACK` after a traceback; what it printed is written."""
    code = TRACEBACK
    try:
        code = run()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else TRACEBACK
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    return code


def end_with(run: Callable[[], int]) -> NoReturn:
    """Run a command, and end this process with its exit status, or with `TRACEBACK` after a traceback."""
    code = TRACEBACK
    try:
        code = status_of(run)
    finally:
        os._exit(code)


def write_to(out: int, err: int) -> None:
    """Let this process write to open files, given by their numbers, in place of stdout and stderr."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115


def run_quietly(run: Callable[[], Any], fill: Callable[[Path], Any]) -> None:
    """Run a command in this process with the inputs that ``fill`` writes, so that children find its modules loaded."""
    former = os.getcwd()
    with tempfile.TemporaryDirectory() as place, open(os.devnull, "w", encoding="utf-8") as nowhere:
        fill(Path(place))
        os.chdir(place)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                run()
        finally:
            os.chdir(former)


def load_pages() -> None:
    """Import the modules of `PAGES`."""
    for target in PAGES:
        import_module(target.rpartition(".")[0])


def leave_out(pages: Iterable[str]) -> None:
    """Replace functions that write pages by ones that write two words."""
    for target in pages:
        patch(target, lambda path, *arguments, **options: Path(path).write_text("left out")).start()
