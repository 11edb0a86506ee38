"""Evidence from stores: reads the results of sweeps from one store, or from all stores of a directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flatmin.errors import InputError
from flatmin.lab import recipes
from flatmin.lab.evidence import Evidence
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.frozen_store import FrozenStore, read_frozen
from flatmin.lab.runs.provenance import Origin, Provenance, origins_of
from flatmin.lab.runs.store import APPLICATION, Result, check_store
from flatmin.report.words import counted

__all__ = ["StoredEvidence", "read_stores", "stores_at"]


@dataclass(frozen=True)
class StoredEvidence:
    """The evidence found in stores.

    ``evidence`` has an entry for each recipe that has trials in its present version, in the order of names.
    ``provenance`` has the origin of each recipe's results, by the recipe's name. ``files`` are the stores. ``notes``
    has a sentence about everything that was left out.
    """

    evidence: list[Evidence] = field(default_factory=list)
    provenance: dict[str, Provenance] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_stores(place: str | Path) -> StoredEvidence:
    """Return the evidence in a store, or in all stores of a directory, without changing them.

    If a sweep is running, the trials that have finished are read.

    Parameters
    ----------
    place : path
        A file written by `flatmin sweep`, or a directory, whose other files and subdirectories are ignored.

    Raises
    ------
    InputError
        If there is no store, or no trial belongs to a known recipe in its present version.

    Examples
    --------
    >>> import tempfile
    >>> from flatmin.lab import Result, Store, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with Store(f"{place}/trials.db") as store:
    ...         new = store.record(recipe, Result(next(recipe.trials()), {"success": True}))
    ...     found = read_stores(place)
    >>> [(evidence.name, len(evidence)) for evidence in found.evidence]
    [('figure-3', 1)]
    """
    place = Path(place)
    files, notes = stores_at(place)
    parts: dict[str, list[_Part]] = {}
    for file in files:
        for part in read_frozen(file, _parts) or []:
            parts.setdefault(part.name, []).append(part)
    found = StoredEvidence(files=files, notes=notes)
    for name in sorted(parts):
        _add(found, name, parts[name])
    if not found.evidence:
        why = " ".join(found.notes).rstrip(".") or "no trial is finished yet; flatmin sweep makes some"
        raise InputError(f"{place} has no trials to report: {why}")
    return found


@dataclass(frozen=True)
class _Part:
    """The part of one recipe in one store; the recipe is None if its name is not known."""

    name: str
    recipe: Recipe | None
    results: Sequence[Result] = ()
    origins: Mapping[tuple[str, int], Origin] = field(default_factory=dict)
    others: int = 0


def stores_at(place: Path) -> tuple[list[Path], list[str]]:
    """Return the stores at a place, and a sentence about each file of a directory that cannot be read."""
    if place.is_dir():
        return _stores_in(place)
    if not place.exists():
        raise InputError(f"there is no {place}, expected a store of sweeps or a directory of them")
    try:
        check_store(place)
    except InputError as error:
        raise InputError(str(error).replace("the --store ", "", 1).replace(" or a new name", "")) from error
    return [place], []


def _stores_in(directory: Path) -> tuple[list[Path], list[str]]:
    try:
        there = sorted(file for file in directory.iterdir() if file.is_file())
    except OSError as error:
        raise InputError(f"the directory {directory} cannot be read: {error.strerror or error}") from error
    files, notes = [], []
    for file in there:
        try:
            if _is_store(file):
                files.append(file)
        except OSError as error:
            notes.append(f"{file} is left out: it cannot be read ({error.strerror or error}).")
    if not files:
        unreadable = "".join(f"; {note.rstrip('.')}" for note in notes)
        raise InputError(
            f"the directory {directory} has no store of sweeps, expected at least one; flatmin sweep makes them"
            f"{unreadable}"
        )
    return files, notes


def _is_store(file: Path) -> bool:
    """Return whether a file is a store; a new store may still be empty, with all its content in SQLite's log."""
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
    """Return the trials of a store, recipe by recipe."""
    parts = []
    for name, count in store.select("SELECT recipe, count(*) FROM trials GROUP BY recipe"):
        if name not in recipes.names():
            parts.append(_Part(name, None, others=count))
            continue
        recipe = recipes.find(name)
        others = store.other_versions(recipe)
        parts.append(_Part(name, recipe, store.results(recipe), origins_of(store, recipe), others))
    return parts


def _add(found: StoredEvidence, name: str, parts: Sequence[_Part]) -> None:
    """Add the trials of one recipe in all stores."""
    recipe, others = parts[0].recipe, sum(part.others for part in parts)
    left_out = f"{counted(others, 'trial')} of {name} {'is' if others == 1 else 'are'} left out"
    if recipe is None:
        found.notes.append(
            f"{left_out}: no recipe of this name is known here. If it is one of your own, "
            "flatmin.lab.write_report makes its page in Python."
        )
        return
    if others:
        found.notes.append(f"{left_out}: made by another version of the recipe, so the results would not mix.")
    merged: dict[tuple[str, int], tuple[Result, Origin | None]] = {}
    for part in parts:
        for result in part.results:
            there = merged.get(result.trial.key)
            if there is None or (there[0].reason is not None and result.reason is None):
                merged[result.trial.key] = result, part.origins.get(result.trial.key)
    if merged:
        repeated = sum(len(part.results) for part in parts) - len(merged)
        found.evidence.append(Evidence(recipe, [result for result, _ in merged.values()]))
        origins = [origin for _, origin in merged.values() if origin is not None]
        found.provenance[name] = Provenance.from_origins(origins, repeated)
