"""Child: a command in a forked process, which finds all modules loaded and can be killed at any moment."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.mutants.trial import PAGES
from flatmin.cli import main

__all__ = ["Ended", "load", "run_command", "start", "wait"]

#: Exit status of a child that ended with a traceback.
TRACEBACK = 99


@dataclass(frozen=True)
class Ended:
    """The exit status of a command, negative for the number of a signal, and the lines on stderr."""

    status: int
    lines: Sequence[str]
    seconds: float

    @property
    def fault(self) -> str | None:
        """A sentence if the command ended otherwise than with a status of its own and lines of flatmin."""
        if self.status not in (0, 1, 2, 128 + signal.SIGTERM, 130):
            return f"it ended with status {self.status}: {' | '.join(self.lines[-4:])}"
        foreign = [line for line in self.lines if not line.startswith("flatmin: ")]
        if foreign:
            return f"it wrote {foreign[0]!r} on stderr"
        return f"it refused in {len(self.lines)} lines" if self.status == 2 and len(self.lines) != 1 else None


def start(words: Sequence[str], folder: Path, prepare: Callable[[], Any] | None = None) -> tuple[int, Path]:
    """Start a command in a folder; return its process, the leader of a group, and the file of its messages.

    ``prepare`` is called in the process before the command.
    """
    for target in PAGES:
        import_module(target.rpartition(".")[0])
    handle, name = tempfile.mkstemp(prefix="messages-")
    child = os.fork()
    if child:
        os.close(handle)
        return child, Path(name)
    code = TRACEBACK
    try:
        os.setsid()
        leave_pages_out()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(handle, 2)
        sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        if prepare is not None:
            prepare()
        code = main(list(words))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else TRACEBACK
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)


def load(words: Sequence[str], fill: Callable[[Path], Any]) -> None:
    """Run a command in this process with the inputs that ``fill`` writes, so that children find its modules loaded."""
    former = os.getcwd()
    with tempfile.TemporaryDirectory() as place, open(os.devnull, "w", encoding="utf-8") as nowhere:
        fill(Path(place))
        os.chdir(place)
        try:
            with redirect_stdout(nowhere), redirect_stderr(nowhere):
                main(list(words))
        finally:
            os.chdir(former)


def leave_pages_out() -> None:
    """Replace the functions that draw pages of results, most of the time of a command, by ones that write a word."""
    for target in PAGES[:-1]:
        patch(target, lambda path, *arguments, **options: Path(path).write_text("left out")).start()


def wait(child: int, messages: Path, begun: float = 0.0) -> Ended:
    """Wait for a command that was started."""
    _, status = os.waitpid(child, 0)
    lines = messages.read_text("utf-8", "replace").splitlines()
    messages.unlink()
    return Ended(os.waitstatus_to_exitcode(status), lines, time.perf_counter() - begun)


def run_command(words: Sequence[str], folder: Path, prepare: Callable[[], Any] | None = None) -> Ended:
    """Run a command in a folder to its end."""
    begun = time.perf_counter()
    return wait(*start(words, folder, prepare), begun)
