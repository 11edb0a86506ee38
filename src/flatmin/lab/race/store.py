"""Finished runs on disk, so that an interrupted race goes on where it stopped."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flatmin._core.files import atomic_path
from flatmin._version import __version__
from flatmin.errors import InputError
from flatmin.lab.race.competitor import Competitor, Entry
from flatmin.lab.race.protocol import Protocol
from flatmin.lab.race.referee import Run
from flatmin.lab.race.tasks.task import digest

__all__ = ["Store"]


class Store:
    """A directory with one file a run, named by everything that the run depends on.

    A changed problem, setting, budget, seed or rule has another name, so nothing is reused that should not be. Files
    are written whole or not at all.

    Parameters
    ----------
    directory : path or None
        Made if need be. None for a store that keeps nothing.

    Raises
    ------
    InputError
        If the directory is a file or cannot be made.
    """

    def __init__(self, directory: Any = None) -> None:
        self.directory = None if directory is None else Path(directory)
        if self.directory is None:
            return
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"the store {self.directory} cannot be made a directory: {error.strerror}") from error

    def name(self, competitor: Competitor, entry: Entry, protocol: Protocol, budget: int) -> str:
        """Return the name of a run: a digest of all it depends on."""
        rules = (protocol.version, protocol.points, protocol.blow_up, __version__)
        settings = (entry.seed, entry.step_size, entry.strength, budget)
        return digest(entry.task.digest, *competitor.facts, *settings, *rules)

    def load(self, name: str) -> Run | None:
        """Return a finished run, or None if there is none."""
        if self.directory is None or not (path := self.directory / f"{name}.json").exists():
            return None
        return Run(**_infinite(json.loads(path.read_text())))

    def save(self, name: str, run: Run) -> None:
        """Keep a run."""
        if self.directory is None:
            return
        with atomic_path(self.directory / f"{name}.json") as path:
            path.write_text(json.dumps(_named(asdict(run)), allow_nan=False))


def _named(value: Any) -> Any:
    """Return nested values with the word "infinite" for what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_named(item) for item in value]
    return "infinite" if isinstance(value, float) and not math.isfinite(value) else value


def _infinite(value: Any) -> Any:
    """Return the inverse of `_named`."""
    if isinstance(value, dict):
        return {key: _infinite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_infinite(item) for item in value]
    return math.inf if value == "infinite" else value
