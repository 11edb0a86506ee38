"""Files of answers: a completed table, a picture or frames in the format of the input, and CSV files of numbers."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.formats.base import Document
from flatmin.formats.case import Case
from flatmin.formats.delimited import SIGNIFICANT_DIGITS
from flatmin.formats.image import save_pixels, to_pixels
from flatmin.solution import LARGEST_SAVED_MATRIX, Solution

__all__ = ["AnswerFiles", "write_answer_files", "write_csv"]


@dataclass(frozen=True, eq=False)
class AnswerFiles:
    """The files of the answer, and the pictures of it for the report."""

    #: Names of the files and folders.
    names: list[str] = field(default_factory=list)
    #: The recovered picture, of shape (h, w) or (h, w, 3), from 0 to 1.
    picture: Array | None = None
    #: The input as a picture, with NaN in unknown pixels.
    observed: Array | None = None
    #: Sentences about the files for the reader.
    notes: list[str] = field(default_factory=list)


def write_answer_files(folder: Path, case: Case, solution: Solution) -> AnswerFiles:
    """Write the recovered matrix or picture to a directory in the format of the input."""
    document, (d1, d2) = case.document, case.problem.shape
    if document is None:
        signal = solution.parts.get("signal")
        return AnswerFiles() if signal is None or signal.ndim != 2 else _signal(folder, signal)
    if document.sparse and d1 * d2 > LARGEST_SAVED_MATRIX:
        return AnswerFiles(
            notes=[
                f"The matrix has {d1 * d2} entries and was not written; it is L Rᵀ with the factors in solution.npz."
            ]
        )
    if "sparse" in solution.parts:
        return _parts(folder, document, solution)
    path = document.write(folder / "completed", solution.matrix)
    completed = document.cells.keep(solution.matrix)
    return AnswerFiles([path.name], document.picture(completed), document.picture(document.cells.dense()))


def _parts(folder: Path, document: Document, solution: Solution) -> AnswerFiles:
    low_rank = document.write(folder / "low-rank", solution.matrix, whole=True)
    sparse = document.write_errors(folder / "sparse", solution.parts["sparse"])
    observed = document.picture(document.cells.dense())
    notes = []
    if observed is not None:
        notes.append("Pictures of the gross errors show absolute values: black is 0, white is the full range or more.")
    return AnswerFiles([low_rank.name, sparse.name], document.picture(solution.matrix), observed, notes)


def _signal(folder: Path, signal: Array) -> AnswerFiles:
    """Write the modulus of a two-dimensional signal."""
    modulus = np.abs(signal)
    picture = modulus / max(float(modulus.max()), np.finfo(float).tiny)
    save_pixels(folder / "signal.png", to_pixels(picture, np.dtype(np.uint8)))
    note = "The picture of the signal shows its modulus, with the largest value in white. The phase is not shown."
    return AnswerFiles(["signal.png"], picture, notes=[note])


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV in UTF-8. Real numbers have 12 digits, and NaN is an empty cell."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(head)
        writer.writerows([_text(cell) if isinstance(cell, float) else cell for cell in row] for row in rows)


def _text(number: float) -> str:
    return "" if np.isnan(number) else format(number + 0.0, f".{SIGNIFICANT_DIGITS}g")
