"""Named arrays in ``.npz`` files: problems, and solutions whoever made them."""

from __future__ import annotations

import json
import tokenize
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatmin._memory import require
from flatmin._validation import numeric
from flatmin.certificates import check_strength
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.base import check_file, reason
from flatmin.metric import Array
from flatmin.problem import Problem

__all__ = ["SavedSolution", "read_arrays", "read_solution"]

#: What NumPy and zipfile raise on files that are damaged or of another kind.
DAMAGED = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    TypeError,
    RuntimeError,
    SyntaxError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True, eq=False)
class SavedSolution:
    """A solution file: the factors or the matrix, the dual vector where there is one, and what was minimised."""

    factors: tuple[Array, ...] | None
    matrix: Array | None
    dual: Array | None
    alpha: float = 0.0
    metric_power: float = 1.0


def read_arrays(path: Path, family: Family) -> dict[str, Array]:
    """Read the arrays of a family's problem, and ``truth`` where the file has one.

    Raises
    ------
    InputError
        If the file is not a whole archive of plain arrays, lacks a key, or an array is not of finite numbers.
    """
    arrays = _load(path, "the input", (*family.keys, "truth"))
    missing = [key for key in family.keys if key not in arrays]
    if missing:
        with zipfile.ZipFile(path) as archive:
            found = [name.removesuffix(".npy") for name in archive.namelist()]
        there, expected = ", ".join(found) or "none", ", ".join(family.keys)
        raise InputError(f"{path} lacks the key {missing[0]!r}: it has {there}, {family.name} expects {expected}")
    for key, array in arrays.items():
        numeric(array, f"the key {key!r} of {path.name}", allow_complex=True)
    return arrays


def read_solution(path: Path, problem: Problem) -> SavedSolution:
    """Read a solution that flatmin or someone else saved: factors, or ``matrix``, with or without ``dual``."""
    names = problem.parametrization.names
    arrays = _load(path, "the solution", (*names, "matrix", "dual", "description"))
    there = [name for name in names if name in arrays]
    if "matrix" not in arrays and len(there) < len(names):
        lacking = next((name for name in names if name not in arrays), "matrix")
        raise InputError(f"{path} lacks the key {lacking!r}, expected {' and '.join(names)}, or matrix")
    factors = None
    if len(there) == len(names):
        factors = problem.parametrization.check(tuple(arrays[name] for name in names), problem.shape)
    strength = _strength(path, arrays["description"]) if "description" in arrays else {}
    return SavedSolution(factors, arrays.get("matrix"), arrays.get("dual"), **strength)


def _strength(path: Path, description: Array) -> dict[str, float]:
    """Return the settings that say what was minimised, as far as the description has them."""
    try:
        settings = dict(json.loads(str(description))["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} has a damaged key 'description', expected the one flatmin wrote") from error
    try:
        check_strength(settings.get("alpha", 0.0), settings.get("metric_power", 1.0))
    except InputError as error:
        raise InputError(f"{path} has a damaged key 'description': its setting {error}") from error
    return {name: float(settings[name]) for name in ("alpha", "metric_power") if name in settings}


def _load(path: Path, role: str, wanted: tuple[str, ...]) -> dict[str, Array]:
    check_file(path, role)
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
    except DAMAGED as error:
        raise InputError(f"{role} {path} is not a whole .npz archive: {reason(error)}") from error
    require(2.0 * sum(sizes.get(name, 0) for name in wanted), f"reading {path.name}")
    arrays = {}
    with np.load(path, allow_pickle=False) as data:
        for name in wanted:
            if name in sizes:
                try:
                    arrays[name] = np.asarray(data[name])
                except (*DAMAGED, MemoryError) as error:
                    raise InputError(f"the key {name!r} of {path} cannot be read: {reason(error)}") from error
    return arrays
