"""Child: a command in a forked process, which finds all modules loaded and can be killed at any moment."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faults.spark_fit import SPARK_FIT
from benchmarks.forked import PAGES, end_with, leave_out, load_pages, run_quietly, write_to
from flatmin.cli import main

__all__ = ["Ended", "load", "run_command", "start", "wait"]

ROOT = str(Path(__file__).parents[2])


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
    load_pages()
    handle, name = tempfile.mkstemp(prefix="messages-")
    child = os.fork()
    if child:
        os.close(handle)
        return child, Path(name)

    def run() -> int:
        os.setsid()
        leave_out(PAGES[:-1])
        write_to(os.open(os.devnull, os.O_WRONLY), handle)
        os.chdir(folder)
        if prepare is not None:
            prepare()
        if words[0] == SPARK_FIT:
            # A new interpreter: a session of this process would be shared, and its answers would be mixed up.
            environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (ROOT, os.getenv("PYTHONPATH"))))}
            arguments = sys.executable, "-m", "benchmarks.faults.spark_fit", words[-1]
            os.execve(sys.executable, arguments, environment)  # noqa: S606 - no shell is wanted
        return main(list(words))

    end_with(run)


def load(words: Sequence[str], fill: Callable[[Path], Any]) -> None:
    """Run a command in this process with the inputs that ``fill`` writes, so that children find its modules loaded.

    A fit on Spark is a program of its own, because processes cannot share the Java process that it starts.
    """
    if words[0] != SPARK_FIT:
        run_quietly(lambda: main(list(words)), fill)


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
