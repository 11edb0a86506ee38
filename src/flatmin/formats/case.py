"""One problem as a user handed it over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from flatmin._validation import numeric
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats import find, suffixes
from flatmin.formats.archive import read_arrays
from flatmin.formats.base import Document, check_file
from flatmin.metric import Array
from flatmin.problem import Problem

__all__ = ["Case", "read_case"]


@dataclass(frozen=True, eq=False)
class Case:
    """A problem, what is known about its answer, and the document it came in.

    Attributes
    ----------
    problem : Problem
        What to solve.
    truth : ndarray, shape (d1, d2), or None
        The matrix behind the data, where the file tells.
    document : Document or None
        The table, array or picture that the answer is to be written back to; None for an archive.
    """

    problem: Problem
    truth: Array | None = None
    document: Document | None = None


def read_case(family: Family, path: Path, mask: Path | None = None) -> Case:
    """Read a problem of a family from a file of any format that fits it.

    Parameters
    ----------
    family : Family
        The model.
    path : Path
        An ``.npz`` archive or, where the family is about the cells of a matrix, one of `flatmin.formats`.
    mask : Path, optional
        An image whose dark pixels are missing in the image ``path``.

    Raises
    ------
    InputError
        One sentence that says what is wrong with the file and where.
    """
    check_file(path)
    ending = path.suffix.lower()
    format_ = find(path) if family.from_cells else None
    if mask is not None and not (format_ and format_.takes_mask):
        raise InputError(f"--mask goes with an image, found the input {path.name}")
    if ending != ".npz" and format_ is None:
        expected = ", ".join([".npz", *(suffixes() if family.from_cells else [])])
        raise InputError(f"the input {path} has the ending {ending!r}, {family.name} reads {expected}")
    if format_ is not None and family.from_cells is not None:
        document = format_.read(path, mask)
        cells = document.cells
        return Case(family.build(family.from_cells(cells.rows, cells.cols, cells.values, cells.shape)), None, document)
    arrays = read_arrays(path, family)
    problem = family.build(arrays)
    return Case(problem, _truth(arrays.get("truth"), problem))


def _truth(truth: Array | None, problem: Problem) -> Array | None:
    if truth is None:
        return None
    truth = numeric(truth, "the key 'truth'")
    if truth.shape != problem.shape:
        raise InputError(f"the key 'truth' has shape {truth.shape}, expected {problem.shape}")
    return truth
