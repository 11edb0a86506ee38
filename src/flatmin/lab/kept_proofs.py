"""Proofs that the trials of experiments kept: written to a directory, and checked by a fresh interpreter."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from flatmin.errors import InputError
from flatmin.lab.runs.frozen_store import FrozenStore, read_frozen
from flatmin.lab.stored_evidence import stores_at
from flatmin.proofs import checker

__all__ = ["INSTANCE", "PROOF", "CheckedProof", "check_proofs", "write_proofs"]

#: The names of the files of a trial that make a proof.
PROOF, INSTANCE = "proof.json", "instance.npz"
#: Longest name of the directory of a proof, in characters.
LONGEST_NAME = 200


@dataclass(frozen=True)
class CheckedProof:
    """The verdict of the checker about one proof.

    Attributes
    ----------
    name : str
        The name of its directory.
    statements : tuple of str
        The kinds of its statements, such as "V" and "T"; all of them are theorems if ``refusal`` is None.
    refusal : str or None
        The claim that failed, in the words of the checker.
    """

    name: str
    statements: tuple[str, ...] = ()
    refusal: str | None = None


def write_proofs(place: Path, folder: Path) -> list[Path]:
    """Write the proofs in a store, or in all stores of a directory, to one directory each, and return these.

    Each is named after a number, the experiment and the parameters of the trial. Stores are only read. A place without
    stores raises `InputError`.
    """
    files, _ = stores_at(place)
    found: list[Path] = []
    for file in files:
        written = len(found)

        def write(store: FrozenStore, first: int = written) -> list[Path]:
            return list(_written(store, folder, first))

        found += read_frozen(file, write) or []
    return found


def _written(store: FrozenStore, folder: Path, first: int) -> Iterator[Path]:
    """Write each proof of a store, and yield its directory; ``first`` is the number of those before."""
    number = first
    for experiment, trial, files in store.files():
        if {PROOF, INSTANCE} <= files.keys():
            number += 1
            words = "-".join(map(str, (f"{number:05d}", experiment, *trial.parameters.values())))
            target = folder / re.sub(r"[^\w.-]", "_", words, flags=re.ASCII)[:LONGEST_NAME]
            target.mkdir(exist_ok=True)
            for name in (PROOF, INSTANCE):
                (target / name).write_bytes(files[name])
            yield target


def check_proofs(folders: Sequence[Path], jobs: int = 1) -> Iterator[CheckedProof]:
    """Yield the verdict about the proof in each directory, in their order.

    Each proof is checked in an interpreter of its own, which sees Python's standard library and no other package.
    ``jobs`` is the number of interpreters that run at the same time.
    """
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(_checked, folders)


def _checked(folder: Path) -> CheckedProof:
    command = [sys.executable, "-I", "-S", checker.__file__, str(folder / PROOF), str(folder / INSTANCE), "--no-numpy"]
    # This Python runs our checker on files that we wrote, without a shell.
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env={"PYTHONUTF8": "1"})  # noqa: S603
    if done.returncode not in (0, 1):
        words = " ".join((done.stderr or done.stdout).split()).split("checker.py: error: ")[-1]
        raise InputError(f"the checker did not run: {words[-300:]}")
    if done.returncode:
        lines = (done.stdout.strip() or done.stderr.strip()).splitlines()
        return CheckedProof(folder.name, refusal=lines[-1] if lines else "Refused.")
    statements = json.loads((folder / PROOF).read_text("ascii"))["statements"]
    return CheckedProof(folder.name, tuple(statement["kind"] for statement in statements))
