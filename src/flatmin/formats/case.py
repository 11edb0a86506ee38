"""Case: a problem that was read from a file, with its truth and its document."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import numeric
from flatmin.errors import InputError
from flatmin.families import Family
from flatmin.formats import find, suffixes
from flatmin.formats.archive import read_arrays
from flatmin.formats.base import Document, check_file
from flatmin.problem import Problem

__all__ = ["Case", "read_case"]

#: Largest absolute value of an entry of a true matrix or signal. Squares of much larger numbers overflow.
LARGEST_TRUTH = 1e150


@dataclass(frozen=True, eq=False)
class Case:
    """A problem that was read from a file, and the true matrix or signal if the file has it.

    ``document`` is the table, array, picture or folder of frames in whose format the answer is written; None for an
    archive.
    """

    problem: Problem
    truth: Array | None = None
    document: Document | None = None


def read_case(family: Family, path: Path, mask: Path | None = None, shape: tuple[int, int] | None = None) -> Case:
    """Read a problem of a family from a file of any format that fits it, or raise `InputError` that names the fault.

    Parameters
    ----------
    family : Family
        The model.
    path : Path
        An ``.npz`` archive or, if the family measures cells of a matrix, one of `flatmin.formats`.
    mask : Path, optional
        An image whose dark pixels are missing in the image ``path``, or in all frames of the folder ``path``.
    shape : tuple of int, optional
        The shape (d1, d2), which replaces the key "shape" of an archive if the family has this key.
    """
    format_ = _format(family, path, mask)
    if shape is not None and (format_ is not None or "shape" not in family.keys):
        raise InputError(
            f"--shape needs an .npz file of a family with the key 'shape', found {family.name} {path.name}"
        )
    if format_ is not None and family.from_cells is not None:
        document = format_.read(path, mask)
        cells = document.cells
        arrays = family.from_cells(cells.rows, cells.cols, cells.values, cells.shape)
        return Case(_built(family, arrays), None, document)
    arrays = read_arrays(path, family, {} if shape is None else {"shape": np.array(shape)})
    problem = _built(family, arrays)
    return Case(problem, None if "truth" not in arrays else _truth(arrays["truth"], family, problem))


def _format(family: Family, path: Path, mask: Path | None) -> type[Document] | None:
    """Return the format of a file or folder, None for an archive, or raise `InputError` if it does not fit."""
    format_ = find(path) if family.from_cells else None
    if format_ is None or not format_.is_folder:
        check_file(path)
    if mask is not None and not (format_ and format_.takes_mask):
        raise InputError(f"--mask needs an image, found the input {path.name}")
    ending = path.suffix.lower()
    if ending != ".npz" and format_ is None:
        expected = ", ".join([".npz", *(suffixes() if family.from_cells else [])])
        raise InputError(f"the input {path} has the ending {ending!r}, {family.name} reads {expected}")
    return format_


def _built(family: Family, arrays: Mapping[str, Array]) -> Problem:
    """Return the problem, or raise `InputError` that names a key of the file."""
    try:
        return family.build(arrays)
    except InputError as error:
        message = str(error)
        for name, key in family.called.items():
            if message.startswith(f"{name} "):
                raise InputError(key + message.removeprefix(name)) from error
        raise


def _truth(truth: Array, family: Family, problem: Problem) -> Array:
    is_complex = family.check_truth is not None or np.issubdtype(problem.measurement.dtype, np.complexfloating)
    truth = numeric(truth, "the key 'truth'", allow_complex=bool(is_complex))
    largest = float(np.max(np.abs(truth), initial=0))
    if not largest <= LARGEST_TRUTH:
        raise InputError(f"the key 'truth' has a number of the size {largest:.3g}, expected at most {LARGEST_TRUTH:g}")
    if family.check_truth is not None:
        return family.check_truth(truth, problem)
    if truth.shape != problem.shape:
        raise InputError(f"the key 'truth' has shape {truth.shape}, expected {problem.shape}")
    return truth
