"""Provenance: the stores, the versions and the machines from which results come."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flatmin.lab.runs.experiment import Experiment
from flatmin.lab.runs.frozen_store import FrozenStore, read_frozen
from flatmin.lab.runs.source import library_digest
from flatmin.lab.runs.store import Result

__all__ = ["Environment", "Origin", "Provenance", "origins_of", "provenance_of"]


@dataclass(frozen=True)
class Environment:
    """The software and the machine that computed a number of trials.

    ``facts`` are the versions of flatmin, Python, NumPy and SciPy, the machine, and a digest of flatmin's source.
    """

    facts: Mapping[str, str]
    trials: int

    @property
    def differs(self) -> bool:
        """Whether flatmin's source was in another state than now."""
        return self.facts.get("library") != library_digest()


@dataclass(frozen=True)
class Origin:
    """The origin of one trial: its store, its `Environment` as JSON, and when it ended, in seconds since 1970."""

    file: str
    facts: str | None
    finished: float


@dataclass(frozen=True)
class Provenance:
    """The origin of all results of an experiment: the names of the stores, and the environments of the trials.

    ``first`` and ``last`` are the earliest and the latest time at which a trial finished, in seconds since 1970.
    ``repeated`` is the number of trials that are in more than one store; each of them counts once.
    """

    files: tuple[str, ...] = ()
    environments: tuple[Environment, ...] = ()
    first: float | None = None
    last: float | None = None
    repeated: int = 0

    @classmethod
    def from_origins(cls, origins: Sequence[Origin], repeated: int = 0) -> Provenance:
        """Return a summary of the origins of trials."""
        environments = Counter(origin.facts for origin in origins)
        moments = [origin.finished for origin in origins]
        return cls(
            tuple(sorted({origin.file for origin in origins})),
            tuple(Environment(json.loads(facts) if facts else {}, n) for facts, n in environments.most_common()),
            min(moments, default=None),
            max(moments, default=None),
            repeated,
        )


def origins_of(store: FrozenStore, experiment: Experiment) -> dict[tuple[str, int], Origin]:
    """Return a dictionary from trial key to origin, for all stored trials of the experiment's current version."""
    rows = store.select(
        "SELECT parameters, seed, facts, finished FROM trials LEFT JOIN sessions ON sessions.id = session "
        "WHERE recipe = ? AND version = ?",
        (experiment.name, experiment.version),
    )
    return {(parameters, seed): Origin(store.file.name, facts, finished) for parameters, seed, facts, finished in rows}


def provenance_of(file: Path, experiment: Experiment, results: Sequence[Result]) -> Provenance:
    """Return the provenance of results that are all in one store."""
    origins = read_frozen(file, lambda store: origins_of(store, experiment)) or {}
    keys = [result.trial.key for result in results]
    return Provenance.from_origins([origins[key] for key in keys if key in origins])
