"""Reading what sweeps have kept, from one store or a directory of them, without changing anything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flatmin.errors import InputError
from flatmin.lab import recipes
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.frozen_store import FrozenStore, read_frozen
from flatmin.lab.runs.source import library_digest
from flatmin.lab.runs.store import APPLICATION, Result, check_store

__all__ = ["Maker", "Provenance", "Reading", "provenance_of", "read_stores"]


@dataclass(frozen=True)
class Maker:
    """What a number of trials were computed with.

    Attributes
    ----------
    facts : mapping
        Versions of flatmin, Python, NumPy and SciPy, the machine, and a digest of flatmin's source.
    trials : int
        How many.
    """

    facts: Mapping[str, str]
    trials: int

    @property
    def elsewhere(self) -> bool:
        """Whether flatmin's source was another one then."""
        return self.facts.get("library") != library_digest()


@dataclass(frozen=True)
class Provenance:
    """Where the evidence of a recipe comes from.

    Attributes
    ----------
    files : tuple of str
        Names of the stores.
    makers : tuple of Maker
        What computed it.
    first, last : float or None
        When the first and the last trial were finished, in seconds since 1970.
    repeated : int
        How often a trial was there that another store has too; each counts once.
    """

    files: tuple[str, ...] = ()
    makers: tuple[Maker, ...] = ()
    first: float | None = None
    last: float | None = None
    repeated: int = 0


@dataclass(frozen=True)
class Reading:
    """What was found.

    Attributes
    ----------
    evidence : list of Evidence
        One for each recipe of which there are trials in its present version, in the order of names.
    provenance : dict
        A `Provenance` for each, by the recipe's name.
    files : list of Path
        The stores.
    notes : list of str
        What is there and left out, a sentence each.
    """

    evidence: list[Evidence] = field(default_factory=list)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_stores(place: str | Path) -> Reading:
    """Return the evidence in a store, or in all stores of a directory; nothing is changed or made.

    Sweeps may be at work on them: what is finished at this moment is read.

    Parameters
    ----------
    place : path
        A file that `flatmin sweep` has written, or a directory. Of a directory, other files and further directories are
        left alone.

    Raises
    ------
    InputError
        If there is no store, or none of its trials belongs to a recipe that is known here, in its present version.

    Examples
    --------
    >>> import tempfile
    >>> from flatmin.lab import Result, Store, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with Store(f"{place}/trials.db") as store:
    ...         new = store.record(recipe, Result(next(recipe.trials()), {"success": True}))
    ...     reading = read_stores(place)
    >>> [(evidence.name, len(evidence)) for evidence in reading.evidence]
    [('figure-3', 1)]
    """
    place = Path(place)
    files, notes = _stores(place)
    found: dict[str, list[_Part]] = {}
    for file in files:
        for part in read_frozen(file, _parts) or []:
            found.setdefault(part.name, []).append(part)
    reading = Reading(files=files, notes=notes)
    for name in sorted(found):
        _add(reading, name, found[name])
    if not reading.evidence:
        raise InputError(f"{place} has no trials to report: {_why(place, reading)}")
    return reading


@dataclass(frozen=True)
class _Origin:
    """Where one trial comes from: the store, what computed it (as text), and when."""

    file: str
    facts: str | None
    finished: float


@dataclass(frozen=True)
class _Part:
    """What one store has of one recipe; the recipe is None if it is not known here."""

    name: str
    recipe: Recipe | None
    results: Sequence[Result] = ()
    origins: Mapping[tuple[str, int], _Origin] = field(default_factory=dict)
    others: int = 0


def provenance_of(file: Path, recipe: Recipe, results: Sequence[Result]) -> Provenance:
    """Return where these results of a recipe, which are all in one store, come from."""
    origins = read_frozen(file, lambda store: _origins(store, recipe)) or {}
    return _provenance([origins[result.trial.key] for result in results if result.trial.key in origins])


def _stores(place: Path) -> tuple[list[Path], list[str]]:
    """Return the stores that are meant, and a sentence about each file of a directory that cannot be read."""
    if place.is_dir():
        return _of_directory(place)
    if not place.exists():
        raise InputError(f"there is no {place}, expected a store of sweeps or a directory of them")
    try:
        check_store(place)
    except InputError as error:
        raise InputError(str(error).replace("the --store ", "", 1).replace(" or a new name", "")) from error
    return [place], []


def _of_directory(place: Path) -> tuple[list[Path], list[str]]:
    try:
        there = sorted(file for file in place.iterdir() if file.is_file())
    except OSError as error:
        raise InputError(f"the directory {place} cannot be read: {error.strerror or error}") from error
    files, notes = [], []
    for file in there:
        try:
            if _is_store(file):
                files.append(file)
        except OSError as error:
            notes.append(f"{file} is left out: it cannot be read ({error.strerror or error}).")
    if not files:
        besides = "".join(f"; {note.rstrip('.')}" for note in notes)
        raise InputError(
            f"the directory {place} has no store of sweeps, expected at least one; flatmin sweep makes them{besides}"
        )
    return files, notes


def _is_store(file: Path) -> bool:
    """Return whether a file is a store of sweeps; one that is new says so in the log beside it only."""
    with file.open("rb") as stream:
        header = stream.read(72)
    kind = int.from_bytes(header[68:72], "big")
    if header[:16] != b"SQLite format 3\0" or kind not in (APPLICATION, 0):
        return False
    try:
        return kind == APPLICATION or read_frozen(file, lambda store: True) is True
    except InputError:
        return False


def _parts(store: FrozenStore) -> list[_Part]:
    """Return what a store has, recipe by recipe."""
    counts = store.select("SELECT recipe, count(*) FROM trials GROUP BY recipe")
    return [_part(store, name, count) for name, count in counts]


def _part(store: FrozenStore, name: str, count: int) -> _Part:
    if name not in recipes.names():
        return _Part(name, None, others=count)
    recipe = recipes.find(name)
    return _Part(name, recipe, store.results(recipe), _origins(store, recipe), store.other_versions(recipe))


def _origins(store: FrozenStore, recipe: Recipe) -> dict[tuple[str, int], _Origin]:
    """Return where every trial of a recipe in its version comes from."""
    rows = store.select(
        "SELECT parameters, seed, facts, finished FROM trials LEFT JOIN sessions ON sessions.id = session "
        "WHERE recipe = ? AND version = ?",
        (recipe.name, recipe.version),
    )
    return {(parameters, seed): _Origin(store.file.name, facts, finished) for parameters, seed, facts, finished in rows}


def _add(reading: Reading, name: str, parts: Sequence[_Part]) -> None:
    """Add what all stores have of one recipe."""
    recipe, others = parts[0].recipe, sum(part.others for part in parts)
    if recipe is None:
        reading.notes.append(
            f"{_left_out(others, name)}: no recipe of this name is known here. If it is one of your own, "
            "flatmin.lab.write_report makes its page in Python."
        )
        return
    if others:
        reading.notes.append(
            f"{_left_out(others, name)}: made by another version of the recipe, so the results would not mix."
        )
    merged: dict[tuple[str, int], tuple[Result, _Origin]] = {}
    for part in parts:
        for result in part.results:
            there = merged.get(result.trial.key)
            if there is None or (there[0].reason is not None and result.reason is None):
                merged[result.trial.key] = result, part.origins[result.trial.key]
    if merged:
        repeated = sum(len(part.results) for part in parts) - len(merged)
        reading.evidence.append(Evidence(recipe, [result for result, _ in merged.values()]))
        reading.provenance[name] = _provenance([origin for _, origin in merged.values()], repeated)


def _provenance(origins: Sequence[_Origin], repeated: int = 0) -> Provenance:
    makers = Counter(origin.facts for origin in origins)
    moments = [origin.finished for origin in origins]
    return Provenance(
        tuple(sorted({origin.file for origin in origins})),
        tuple(Maker(json.loads(facts) if facts else {}, count) for facts, count in makers.most_common()),
        min(moments, default=None),
        max(moments, default=None),
        repeated,
    )


def _why(place: Path, reading: Reading) -> str:
    """Return why there is no evidence."""
    if not reading.notes:
        return "no trial is finished yet; flatmin sweep makes some"
    return " ".join(reading.notes).rstrip(".")


def _left_out(count: int, name: str) -> str:
    return f"1 trial of {name} is left out" if count == 1 else f"{count} trials of {name} are left out"
