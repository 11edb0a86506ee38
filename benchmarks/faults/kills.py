"""Kills: SIGKILL at random moments of a command; outputs must be the old ones or the new ones, and no trial is lost."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from benchmarks.faults.child import Ended, load, run_command, start, wait
from benchmarks.faults.spark_fit import SPARK_FIT, written_alpha
from flatmin.lab.runs.frozen_store import read_frozen

__all__ = ["CELLS", "DONE", "JOBS", "QUICK", "RECIPE", "SWEEP", "TABLE", "Job"]

TABLE = "id,a,b,c,d\n" + "".join(
    f"r{k},{k},{2 * k if k % 4 else ''},{3 * k if k % 5 else ''},{k * k}\n" for k in range(25)
)
CELLS = "%%MatrixMarket matrix coordinate real general\n4 4 12\n" + "".join(
    f"{i} {j} {i * j}\n" for i in range(1, 5) for j in range(1, 5) if (i + j) % 4
)
#: A sweep of thirty trials.
RECIPE = 'recipe = "figure-3"\nrepetitions = 3\n[only]\npanel = ["sensing"]\n[grid]\nd = [5, 6]\n'
SWEEP = ("sweep", "r.toml", "--store", "s.db")
DONE = "SELECT count(*) FROM trials WHERE status = 'done'"


@dataclass
class Job:
    """A command, the option that the earlier run had, and what of its output is compared or counted.

    ``output`` is a directory or a file that is replaced as a whole; ``compared`` names the files in it that do not
    depend on the time. ``store`` is a store of trials, which may only grow.
    """

    name: str
    words: Sequence[str]
    earlier: Sequence[str] = ()
    output: str | None = None
    compared: Sequence[str] = ()
    store: str | None = None

    def fill(self, folder: Path) -> None:
        """Write the inputs of the command."""
        (folder / "t.csv").write_text(TABLE)
        (folder / "x.mtx").write_text(CELLS)
        (folder / "r.toml").write_text(RECIPE)

    @cached_property
    def former(self) -> Path:
        """A folder with the inputs and the output of an earlier run."""
        folder = Path(tempfile.mkdtemp(prefix="faults-"))
        self.fill(folder)
        load(self.words, self.fill)
        if self.name == "report":
            run_command((*SWEEP, *QUICK), folder)
        if self.output is not None:
            ended = run_command((*self.words, *self.earlier), folder)
            _check(self, ended)
        return folder

    @cached_property
    def complete(self) -> tuple[float, set[str]]:
        """The seconds of an undisturbed run, and the digests of the old and of the new output."""
        digests = {self.digest(self.former)}
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "work"
            shutil.copytree(self.former, folder)
            ended = run_command(self.words, folder)
            _check(self, ended)
            return ended.seconds, digests | {self.digest(folder)}

    def digest(self, folder: Path) -> str:
        """Return a digest of what the output has, apart from times.

        A fit on Spark adds numbers in any order, so alpha stands for its output.
        """
        if self.output is None:
            return ""
        if self.name == SPARK_FIT:
            return written_alpha(folder / self.output)
        place, total = folder / self.output, hashlib.sha256()
        for name in self.compared or ("",):
            content = (place / name if name else place).read_bytes() if (place / name).exists() else b"missing"
            total.update(len(content).to_bytes(8, "big") + content)
        return total.hexdigest()

    def n_done(self, folder: Path) -> int:
        """Return the number of finished trials in the store."""
        if self.store is None or not (folder / self.store).exists():
            return 0
        return int(read_frozen(folder / self.store, lambda store: store.select(DONE)[0][0]) or 0)

    def killed(self, rng: np.random.Generator) -> str | None:
        """Kill the command at a random moment, and return a sentence about what it left wrong, or None.

        Half of the kills are of the process alone, and half of all processes that it started.
        """
        seconds, digests = self.complete
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:  # Java may live on for a moment
            folder = Path(place) / "work"
            shutil.copytree(self.former, folder)
            child, messages = start(self.words, folder)
            time.sleep(float(rng.uniform(0, 1.1 * seconds)))
            before, alone = self.n_done(folder), rng.random() < 0.5
            os.kill(child, signal.SIGKILL) if alone or not _leads(child) else os.killpg(child, signal.SIGKILL)
            wait(child, messages)
            if self.output is not None and self.digest(folder) not in digests:
                return "the output is neither the old one nor the new one"
            after = self.n_done(folder)
            if after < before:
                return f"{before} trials were finished before the kill, {after} are stored"
            if self.store is not None and (folder / self.store).exists():
                with sqlite3.connect(folder / self.store) as database:
                    (state,) = database.execute("PRAGMA integrity_check").fetchone()
                database.close()
                if state != "ok":
                    return f"the store is damaged: {state}"
            return None

    def goes_on(self) -> str | None:
        """Kill the command half-way, run it again, and return a sentence if it does not end well and tidy up."""
        seconds, digests = self.complete
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "work"
            shutil.copytree(self.former, folder)
            child, messages = start(self.words, folder)
            time.sleep(seconds / 2)
            os.kill(child, signal.SIGKILL)
            wait(child, messages)
            for path in folder.glob(".flatmin-*"):
                os.utime(path, (0, 0))  # what a killed process left counts as abandoned after a minute
            ended = run_command(self.words, folder)
            if ended.fault or ended.status == 2:
                return f"the next run failed: {ended.fault or ended.lines}"
            if self.output is not None and self.digest(folder) not in digests:
                return "the next run left another output"
            left = [path.name for path in folder.iterdir() if path.name.startswith(".flatmin-")]
            return f"the next run left {left}" if left else None


def _check(job: Job, ended: Ended) -> None:
    """Raise an exception if an undisturbed run failed."""
    if ended.fault or ended.status not in (0, 1):
        raise RuntimeError(f"{job.name} failed undisturbed: {ended}")


def _leads(child: int) -> bool:
    """Return whether a process already leads a group of its own."""
    try:
        return os.getpgid(child) == child
    except ProcessLookupError:
        return False


QUICK = ("--jobs", "1", "--quiet")
JOBS = {
    job.name: job
    for job in (
        Job(
            "impute",
            ("impute", "t.csv", "--output", "out", "--quiet"),
            ("--confidence", "0.6"),
            "out",
            ("completed.csv", "intervals.csv"),
        ),
        Job(
            "recover",
            ("recover", "matrix-completion", "x.mtx", "--output", "out", "--quiet"),
            ("--alpha", "0.5"),
            "out",
            ("completed.mtx", "low-rank.mtx"),
        ),
        Job("sweep", (*SWEEP, *QUICK), store="s.db"),
        Job(
            "race",
            ("race", "matrix-completion", "x.mtx", "--competitors", "sgd", "--budget", "60", "--output", "out", *QUICK),
            store="out.partial/runs.db",
        ),
        Job("report", ("report", "s.db", "--output", "page.html", "--quiet"), (), "page.html", ()),
        Job(SPARK_FIT, (SPARK_FIT, "0.2"), ("0.1",), "out"),
    )
}
