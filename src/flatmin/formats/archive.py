"""Archives ``.npz`` of problems, and of solutions by flatmin or any other program."""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import refused_if_damaged
from flatmin._core.memory import require
from flatmin._core.stored_arrays import read_entry, stored_arrays
from flatmin._core.validation import check_version, numeric
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats.base import check_file
from flatmin.problem import Problem
from flatmin.proofs.certificate import check_dual
from flatmin.proofs.objective import Objective
from flatmin.solution import DUALS, FORMAT_VERSION

__all__ = ["PROBLEM_VERSION", "SavedSolution", "read_arrays", "read_solution"]

#: The version of the format of problem files: the keys of each family. A file without a version has version 1.
PROBLEM_VERSION = 1


@dataclass(frozen=True, eq=False)
class SavedSolution:
    """The contents of a solution file: factors or an answer, dual vectors, and the objective. Missing parts are None.

    ``answer`` is the matrix or another of the family's ``answers``, and read only if the file lacks a factor.
    ``stated`` is the objective that the file says it minimises.
    """

    factors: tuple[Array, ...] | None
    answer: Array | None
    dual: Array | None
    uniqueness_dual: Array | None
    stated: Objective | None

    @property
    def candidate(self) -> tuple[Array, ...] | Array | None:
        """The factors or, if the file lacks one, the answer, as `flatmin.certify` takes them."""
        return self.answer if self.factors is None else self.factors


def read_arrays(path: Path, family: Family, given: Mapping[str, Array]) -> dict[str, Array]:
    """Read the arrays of a family's problem, and ``truth`` if the file has it; ``given`` arrays replace the file's.

    An archive that is damaged, lacks a key or holds other arrays than finite numbers raises `InputError`.
    """
    found, keys = _load(path, "the input", (*family.keys, "truth"), PROBLEM_VERSION)
    arrays = found | dict(given)
    missing = [key for key in family.keys if key not in arrays and key not in family.optional]
    if missing:
        there, expected = ", ".join(keys) or "none", ", ".join(family.keys)
        raise InputError(f"{path} lacks the key {missing[0]!r}: it has {there}, {family.name} expects {expected}")
    for key, array in arrays.items():
        known = array[~np.isnan(array)] if key in family.holes and array.dtype.kind == "f" else array
        numeric(known, f"the key {key!r} of {path.name}", allow_complex=True)
    return arrays


def read_solution(path: Path, family: Family, problem: Problem) -> SavedSolution:
    """Read a solution file of flatmin or another program, with or without dual vectors."""
    names = problem.parametrization.names
    arrays, _ = _load(path, "the solution", (*names, *family.answers, *DUALS, "description"), FORMAT_VERSION)
    name = next((name for name in family.answers if name in arrays), None)
    factors = answer = None
    if all(name in arrays for name in names):
        factors = problem.parametrization.check(tuple(arrays[name] for name in names), problem.shape)
    elif name is not None:
        answer = _answer(path, name, arrays[name], family.unknown_shape(problem), problem.shape)
    else:
        lacking = next(name for name in names if name not in arrays)
        expected = f"{' and '.join(names)}, or {', or '.join(family.answers)}"
        raise InputError(f"{path} lacks the key {lacking!r}, expected {expected}")
    stated = _objective(path, arrays["description"], problem) if "description" in arrays else None
    dual, uniqueness_dual = (_dual(path, name, arrays.get(name), problem) for name in DUALS)
    return SavedSolution(factors, answer, dual, uniqueness_dual, stated)


def _dual(path: Path, name: str, dual: Array | None, problem: Problem) -> Array | None:
    """Return a dual vector. For a fully observed matrix it may have the shape of the matrix."""
    if dual is not None and dual.shape == problem.shape and dual.size == problem.measurement.size:
        dual = dual.reshape(-1)
    return None if dual is None else check_dual(dual, problem, f"the key {name!r} of {path}")


def _answer(path: Path, name: str, array: Array, unknown: tuple[int, ...], matrix: tuple[int, int]) -> Array:
    """Return the matrix X, or a signal as a vector."""
    if array.shape == matrix:
        return array
    if unknown != matrix and name != "matrix" and array.shape in (unknown, matrix[:1]):
        return array.reshape(-1)
    expected = matrix if name == "matrix" else unknown
    raise InputError(f"the key {name!r} of {path} has shape {array.shape}, expected {expected}")


def _objective(path: Path, description: Array, problem: Problem) -> Objective:
    """Return the objective that the key "description" states."""
    try:
        settings = dict(json.loads(str(description))["settings"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} has a damaged key 'description', expected the one flatmin wrote") from error
    try:
        return Objective.stated(settings, problem)
    except InputError as error:
        raise InputError(f"{path} has a damaged key 'description': its setting {error}") from error


def _load(path: Path, role: str, wanted: tuple[str, ...], newest: int) -> tuple[dict[str, Array], list[str]]:
    """Return the wanted arrays that an archive has, and all its keys; a version newer than ``newest`` is refused."""
    check_file(path, role)
    arrays = {}
    with refused_if_damaged(f"{role} {path} is not a whole .npz archive"), zipfile.ZipFile(path) as archive:
        entries = stored_arrays(archive)
        there = [key for key in (*wanted, "format_version") if key in entries]
        require(2.0 * sum(entries[key].file_size for key in there), f"reading {path.name}")
        for key in there:
            with refused_if_damaged(f"the key {key!r} of {path} cannot be read"):
                arrays[key] = read_entry(archive, entries[key])
    if "format_version" in arrays:
        check_version(path, arrays.pop("format_version").tolist(), newest)
    return arrays, list(entries)
