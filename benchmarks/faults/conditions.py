"""Conditions: commands under other faults than kills. Each returns a sentence about what went wrong, or None."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from benchmarks.faults.child import Ended, load, run_command, start, wait
from benchmarks.faults.kills import CELLS, DONE, QUICK, RECIPE, SWEEP, TABLE
from flatmin.lab.runs.frozen_store import read_frozen

__all__ = ["CONDITIONS"]

IMPUTE = ("impute", "t.csv", "--output", "out", "--quiet")
RECOVER = ("recover", "matrix-completion", "x.mtx", "--output", "out", "--quiet")
SWEPT = (*SWEEP, *QUICK)
INPUTS = {"t.csv", "x.mtx", "r.toml"}
#: Megabytes that a command may take in addition to those of its start.
MEGABYTES = (1, 8, 32, 128)


def interrupted(folder: Path) -> str | None:
    """SIGTERM and SIGINT at random moments leave nothing, or the whole output."""
    rng = np.random.default_rng(0)
    seconds = run_command(IMPUTE, folder).seconds
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGINT):
        place = _fresh(folder)
        child, messages = start(IMPUTE, place, _heed_interrupts)
        time.sleep(float(rng.uniform(0.1, 0.9) * seconds))
        os.kill(child, number)
        ended, left = wait(child, messages), {path.name for path in place.iterdir()} - INPUTS
        if ended.status == -number:  # before the command set its handlers
            continue
        if ended.fault or ended.status not in (0, 128 + number):
            return f"{number.name}: {ended}"
        if left != ({"out"} if ended.status == 0 else set()):
            return f"{number.name} with status {ended.status} leaves {sorted(left)}"
    return None


def vanished(folder: Path) -> str | None:
    """An input that does not exist, or that is a link to nothing, is one sentence and leaves nothing."""
    (folder / "clip").mkdir()
    (folder / "clip" / "1.png").symlink_to("gone.png")
    (folder / "link.csv").symlink_to("gone.csv")
    for words in (("impute", "gone.csv"), ("impute", "link.csv"), ("separate", "clip"), ("report", "gone.db")):
        if fault := _refused(run_command(words, folder), folder):
            return f"{words}: {fault}"
    return None


def two_outputs(folder: Path) -> str | None:
    """Two processes that write one output both end well, and the output is whole."""
    running = [start(IMPUTE, folder) for _ in range(2)]
    ended = [wait(*process) for process in running]
    files = {path.name for path in (folder / "out").iterdir()}
    if any(one.fault or one.status for one in ended):
        return str(ended)
    if files != {"completed.csv", "intervals.csv", "report.html", "summary.json", "model.npz"}:
        return f"the output has {sorted(files)}"
    return _temporary(folder)


def two_stores(folder: Path) -> str | None:
    """Two sweeps into one store both end well; every trial is there once."""
    running = [start(SWEPT, folder) for _ in range(2)]
    ended = [wait(*process) for process in running]
    if any(one.fault or one.status for one in ended):
        return str(ended)
    first = _n_done(folder)
    again = run_command(SWEPT, folder)
    return (
        None if again.status == 0 and _n_done(folder) == first else f"{first} trials, then {_n_done(folder)}: {again}"
    )


def clock_back(folder: Path) -> str | None:
    """A clock that is set back by a day again and again changes no trial, and no output."""

    def set_back() -> None:
        steps, real = itertools.count(), time.time
        patch("time.time", lambda: real() - 86_400 * next(steps)).start()

    for words in (SWEPT, IMPUTE, IMPUTE):
        ended = run_command(words, folder, set_back)
        if ended.fault or ended.status:
            return f"{words[0]}: {ended}"
    done = _n_done(folder)
    ended = run_command(SWEPT, folder)
    return None if ended.status == 0 and _n_done(folder) == done else f"{done} trials, then {_n_done(folder)}: {ended}"


def closed_pipe(folder: Path) -> str | None:
    """A reader of a pipe that reads nothing ends a command quietly."""
    for words in ((*RECOVER[:-1], "--json"), ("sweep", "--list"), ("--help",)):
        process = subprocess.Popen(
            [sys.executable, "-m", "flatmin", *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        process.stdout.close()
        message = process.communicate()[1].decode()
        if process.returncode not in (0, 1) or message:
            return f"{words}: status {process.returncode}, {message[-300:]!r}"
    return None


def no_home(folder: Path) -> str | None:
    """Without a home, and without any folder for caches, a command does all it does otherwise."""
    nowhere = dict.fromkeys(
        ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "NUMBA_CACHE_DIR", "MPLCONFIGDIR"), "/proc/none"
    )
    done = subprocess.run(
        [sys.executable, "-m", "flatmin", *IMPUTE],
        cwd=folder,
        env={**os.environ, **nowhere},
        capture_output=True,
        text=True,
    )
    foreign = [line for line in done.stderr.splitlines() if not line.startswith("flatmin: ")]
    if done.returncode or foreign:
        return f"status {done.returncode}, {foreign[-3:]}"
    return None if (folder / "out" / "report.html").exists() else "there is no report"


def no_memory(folder: Path) -> str | None:
    """A command that may take few megabytes ends well, or with one sentence and no output."""
    for words in (IMPUTE, RECOVER):
        load(words, _fill)
    for words, megabytes in itertools.product((IMPUTE, RECOVER), MEGABYTES):
        place = _fresh(folder)

        def limit(size: int = megabytes << 20) -> None:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + size, used + size))

        ended = run_command(words, place, limit)
        if ended.fault or (ended.status == 2 and (fault := _refused(ended, place))):
            return f"{words[0]} with {megabytes} MB: {ended.fault or fault}"
    return None


def protected(folder: Path) -> str | None:
    """An output in a folder that is no folder, and one that is a file, are one sentence each."""
    (folder / "own").write_text("mine")
    for output in ("own", "own/out", "/proc/none/out"):
        if fault := _refused(run_command((*IMPUTE[:3], output), folder), folder, "own"):
            return f"{output}: {fault}"
    return None


def _fresh(folder: Path) -> Path:
    """Return another folder with the inputs."""
    place = Path(tempfile.mkdtemp(dir=folder.parent))
    _fill(place)
    return place


def _fill(place: Path) -> None:
    (place / "t.csv").write_text(TABLE)
    (place / "x.mtx").write_text(CELLS)
    (place / "r.toml").write_text(RECIPE)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _n_done(folder: Path) -> int:
    return int(read_frozen(folder / "s.db", lambda store: store.select(DONE)[0][0]) or 0)


def _refused(ended: Ended, folder: Path, *own: str) -> str | None:
    """Return a sentence unless a command ended with status 2, one line, and no new file."""
    new = {path.name for path in folder.iterdir()} - INPUTS - {"clip", "link.csv", *own}
    if ended.fault or ended.status != 2:
        return ended.fault or f"it ended with status {ended.status}"
    return f"it left {sorted(new)}" if new else None


def _temporary(folder: Path) -> str | None:
    left = [path.name for path in folder.iterdir() if path.name.startswith(".")]
    return f"it left {left}" if left else None


CONDITIONS: dict[str, Callable[[Path], str | None]] = {
    condition.__name__: condition
    for condition in (
        *(interrupted, vanished, two_outputs, two_stores, clock_back, closed_pipe, no_home, no_memory, protected),
    )
}
