"""Places for results: what may be replaced there, and a directory that is written as a whole or not at all."""

import json
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import sha256
from pathlib import Path
from typing import Any

from flatmin._core.files import atomic_directory, check_writable, mode_of, reason, refused_if_unwritable
from flatmin._core.validation import check_version
from flatmin.errors import InputError
from flatmin.formats.base import check_file
from flatmin.proofs.exact import files_of

__all__ = [
    "IMPUTATION",
    "PROOFS",
    "RACE",
    "RATING",
    "RECOVERY",
    "SEPARATION",
    "SUMMARY_VERSION",
    "ResultsKind",
    "check_proof_place",
    "destination",
    "read_summary",
    "results_directory",
]


#: The version of the fields of ``summary.json``, which all commands share.
SUMMARY_VERSION = 1


@dataclass(frozen=True)
class ResultsKind:
    """A kind of results, and how an earlier result is recognized.

    Attributes
    ----------
    command : str
        The command that writes it.
    suffix : str
        The suffix of its directory.
    fields : frozenset of str
        Fields that its summary has.
    files : tuple of str
        Patterns of the names of its files. A directory that also has other files, except hidden ones, is not replaced.
    """

    command: str
    suffix: str
    fields: frozenset[str]
    files: tuple[str, ...]


#: Files of the page and of the summary, and those of all commands that fit an estimator.
PAGE = ("report.html", "summary.json")
COMMON = (*PAGE, "model.npz")
RECOVERY = ResultsKind(
    "recover",
    "-flat",
    frozenset({"format_version", "family", "certificate"}),
    (
        *(pattern for name in ("completed", "low-rank", "sparse") for pattern in (name, f"{name}.*")),
        *("signal.png", "solution.npz", "reweighted.npz", "proof.json", "instance.npz"),
        *PAGE,
    ),
)
IMPUTATION = ResultsKind(
    "impute",
    "-imputed",
    frozenset({"format_version", "holes_left", "held_out"}),
    ("completed.*", "intervals.csv", *COMMON),
)
RATING = ResultsKind(
    "rate",
    "-rated",
    frozenset({"format_version", "n_predicted", "held_out"}),
    ("predictions.*", "recommendations.*", *COMMON),
)
SEPARATION = ResultsKind(
    "separate",
    "-separated",
    frozenset({"format_version", "n_errors", "treatment"}),
    ("low_rank*", "sparse*", "mask*", *COMMON),
)
PROOFS = ResultsKind(
    "proofs",
    "-proofs",
    frozenset({"format_version", "theorems", "checked_by"}),
    ("[0-9][0-9][0-9][0-9][0-9]*-*", "checker.py", "summary.json"),
)
RACE = ResultsKind(
    "race",
    "-race",
    frozenset({"format_version", "family", "competitors", "protocol"}),
    ("race.csv", "runs", "runs.db*", "courses.png", "courses.svg", "slices.png", "slices.svg", *PAGE),
)


def destination(output: Path | None, *inputs: Path | None, kind: ResultsKind = RECOVERY) -> Path:
    """Return the directory for results, or raise `InputError` if writing them would lose other files.

    The directory may hold earlier results of the same kind, but neither an input nor anything else. If ``output`` is
    None, it is the name of the first input with the suffix of the kind, in the working directory. If ``output`` is a
    link, it stays, and the directory that it points to is replaced.
    """
    try:
        return _destination(output, inputs, kind)
    except (OSError, RuntimeError) as error:  # such as a name that is too long, and a link that points to itself
        place = "the directory for results in this place" if output is None else f"the --output {output}"
        raise InputError(f"{place} cannot be used: {reason(error)}") from error


def _destination(output: Path | None, inputs: Sequence[Path | None], kind: ResultsKind) -> Path:
    assert inputs[0] is not None
    name = inputs[0].resolve().name if inputs[0].is_dir() else Path(inputs[0].name.removesuffix(".gz")).stem
    target = (Path.cwd() / f"{name}{kind.suffix}" if output is None else output).resolve()
    mode = mode_of(target)
    if mode is not None and not stat.S_ISDIR(mode):
        raise InputError(f"the --output {target} is a file, expected a directory or a new name")
    for path in inputs:
        if path is not None and target in (path.resolve(), *path.resolve().parents):
            raise InputError(f"the --output {target} contains {path}, which it would replace; choose another directory")
    if target.is_dir() and not os.access(target, os.R_OK | os.W_OK | os.X_OK):
        raise InputError(f"the --output {target} is protected against changes; choose another directory")
    if target.is_dir() and not _replaceable(target, kind):
        what = "race" if kind is RACE else "result"
        raise InputError(f"the --output {target} exists and is no earlier {what} of flatmin; choose another directory")
    if other := _other_file(target, kind):
        raise InputError(f"the --output {target} also has {other}; move that file, or choose another directory")
    return target


def check_proof_place(output: Path, data_sha256: str) -> None:
    """Raise `InputError` if writing a proof and its data would lose another file.

    An earlier proof may be replaced, and so may the file of its data. Any other file in the place of the data must have
    the hash ``data_sha256`` of the new data, so that nothing in it changes.
    """
    target, data = files_of(output)
    check_writable(target, "the --output")
    check_writable(data, f"the data of the --output {target},")
    try:
        earlier = _pinned(target) if target.exists() else data_sha256
        present = sha256(data.read_bytes()).hexdigest() if data.exists() else data_sha256
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}") from error
    if earlier is None:
        raise InputError(f"the --output {target} exists and is no earlier proof of flatmin; choose another name")
    if present not in (earlier, data_sha256):
        raise InputError(
            f"{data} exists and holds other data, which the data of the --output {target} would replace; choose "
            "another name"
        )


def _pinned(proof: Path) -> str | None:
    """Return the hash of the data of a proof, None if the file is no proof."""
    try:
        document = json.loads(proof.read_text(encoding="ascii"))
        return str(document["instance"]["sha256"]) if document["flatmin_proof"] == 1 else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


@contextmanager
def results_directory(target: Path) -> Iterator[Path]:
    """Give an empty directory that becomes ``target`` if the block ends without an error."""
    with refused_if_unwritable(f"the --output {target}"), atomic_directory(target) as folder:
        yield folder


def read_summary(directory: Path) -> dict[str, Any]:
    """Return the fields of the summary in a directory of results, or raise `InputError`."""
    file = directory / "summary.json"
    check_file(file, "the summary")
    try:
        fields = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"the summary {file} cannot be read: {error}; it should be JSON written by flatmin") from error
    if not isinstance(fields, dict) or "format_version" not in fields:
        raise InputError(f"the summary {file} has no format_version, expected a file written by flatmin")
    check_version(f"the summary {file}", fields["format_version"], SUMMARY_VERSION)
    return fields


def _replaceable(directory: Path, kind: ResultsKind) -> bool:
    try:
        if not any(directory.iterdir()):
            return True
        return kind.fields <= read_summary(directory).keys()
    except (OSError, InputError):
        return False


def _other_file(directory: Path, kind: ResultsKind) -> str | None:
    """Return the name of a visible file in a directory that is not of this kind of results, None if there is none."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    foreign = (n for n in names if not n.startswith(".") and not any(fnmatch(n, pattern) for pattern in kind.files))
    return next(foreign, None)
