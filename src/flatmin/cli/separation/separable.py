"""Separable: the data that `flatmin separate` reads, in whose form it writes the parts."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.families import find as find_family
from flatmin.formats import Document
from flatmin.formats import find as find_document
from flatmin.formats.archive import read_arrays
from flatmin.formats.clips import Clip, Sampling, find_clip
from flatmin.formats.tables import Reading, Role, TypedTable, read_typed_table
from flatmin.formats.tables.named_file import KINDS
from flatmin.report.words import counted

__all__ = ["Separable", "SeparableArray", "SeparableClip", "SeparableDocument", "SeparableTable", "read_separable"]

#: The number of matrices of the size of the data that are in memory at once.
MATRICES = 32
#: Ratio of the standard deviation of normal numbers to the median of their absolute values.
NORMAL_MEDIAN = 1.4826


class Separable(ABC):
    """Data as a matrix, and the files of its parts.

    Attributes
    ----------
    kind : str
        "table", "array", "image", "frames" or "video".
    matrix : ndarray, shape (n, d)
        The data, with NaN in missing cells.
    center : "median" or None
        The centre of `RobustPCA`: pictures have a meaningful origin, which is black.
    step : float
        The distance between two neighbouring values of pixels, 0 for other data.
    unit : str
        The word for what is counted as wrong: "cell" or "pixel".
    notes : list of str
        Sentences about what was read.
    """

    kind: str
    unit: str = "cell"
    matrix: Array
    center: str | None = None
    step: float = 0.0
    notes: list[str]

    @property
    def scales(self) -> Array:
        """The units (d,) in which the columns are fitted, 1 unless they can have different units."""
        return np.ones(self.matrix.shape[1])

    def count(self, cells: Array) -> int:
        """Return the number of marked cells (n, d), or of pixels with a marked channel."""
        return int(np.count_nonzero(cells))

    @abstractmethod
    def write(self, folder: Path, low_rank: Array, sparse: Array, mask: Array) -> list[str]:
        """Write the parts (n, d) as low_rank.*, sparse.* and mask.* to a folder, and return their names."""

    def facts(self) -> Mapping[str, Any]:
        """Return the fields of the summary that describe the form of the data."""
        return {}


class SeparableTable(Separable):
    """A table with columns of any type and any unit; each numeric column is fitted in units of its robust spread."""

    kind, center = "table", "median"

    def __init__(self, table: TypedTable) -> None:
        self.table, self.matrix, self.notes = table, table.matrix, list(table.notes)

    @property
    def scales(self) -> Array:
        """The robust standard deviation of each column: from its median absolute deviation, if that is not 0."""
        return np.array([_spread(column[~np.isnan(column)]) for column in self.matrix.T])

    def write(self, folder: Path, low_rank: Array, sparse: Array, mask: Array) -> list[str]:
        """Write tables in the form of the input, in which the numeric columns are replaced."""
        sparse, flags = (np.where(np.isnan(self.matrix), np.nan, part) for part in (sparse, mask.astype(float)))
        parts = {"low_rank": low_rank, "sparse": sparse, "mask": flags}
        return [self.table.write_cells(folder / name, part).name for name, part in parts.items()]

    def facts(self) -> Mapping[str, Any]:
        """Return which columns are fitted, and why the others are not."""
        out = [{"name": c.name, "role": c.role.value, "reason": c.reason or None} for c in self.table.columns]
        return {"columns": out, "n_fitted_columns": sum(c.role is Role.fitted for c in self.table.columns)}


class SeparableDocument(Separable):
    """A picture, or a plain array in a file of one of `flatmin.formats`."""

    def __init__(self, document: Document) -> None:
        self.document, self.matrix, self.notes = document, document.cells.dense(), list(document.notes)
        self.kind = "image" if document.kind == "image" else "array"
        self.step = 1 / 255 if self.kind == "image" else 0.0

    def write(self, folder: Path, low_rank: Array, sparse: Array, mask: Array) -> list[str]:
        """Write files in the format of the input; pictures of errors show their size."""
        flags = mask.astype(float)
        paths = [
            self.document.write(folder / "low_rank", low_rank, whole=True),
            self.document.write_errors(folder / "sparse", sparse),
            self.document.write(folder / "mask", flags, whole=True),
        ]
        return [path.name for path in paths]


class SeparableArray(Separable):
    """The array Y of an ``.npz`` file."""

    kind = "array"

    def __init__(self, matrix: Array) -> None:
        self.matrix, self.notes = matrix, []

    def write(self, folder: Path, low_rank: Array, sparse: Array, mask: Array) -> list[str]:
        """Write ``.npz`` files with the key Y."""
        parts = {"low_rank.npz": low_rank, "sparse.npz": sparse, "mask.npz": mask}
        for name, part in parts.items():
            np.savez_compressed(folder / name, Y=part)
        return list(parts)


class SeparableClip(Separable):
    """Moving pictures, of which each frame is a row. A colour pixel is wrong if one of its channels is."""

    unit = "pixel"

    def __init__(self, clip: Clip) -> None:
        self.clip, self.matrix, self.kind = clip, clip.matrix, clip.kind
        self.step = 1 / np.iinfo(clip.depth).max
        self.notes = [f"read as {clip.size}"]

    def write(self, folder: Path, low_rank: Array, sparse: Array, mask: Array) -> list[str]:
        """Write clips: the low-rank part, the sizes of the errors on black, and wrong pixels as white on black."""
        shape = self.clip.frames.shape
        wrong = np.repeat(self._pixels(mask), shape[3], axis=3).astype(float)
        parts = {"low_rank": low_rank, "sparse": np.abs(sparse), "mask": wrong}
        return [self.clip.write(folder / name, part.reshape(shape)).name for name, part in parts.items()]

    def count(self, cells: Array) -> int:
        """Return the number of pixels with a marked channel."""
        return int(np.count_nonzero(self._pixels(cells)))

    def _pixels(self, cells: Array) -> Array:
        return np.asarray(cells.reshape(self.clip.frames.shape).any(axis=3, keepdims=True))

    def facts(self) -> Mapping[str, Any]:
        """Return the number and size of the frames."""
        n, h, w, channels = self.clip.frames.shape
        return {"frames": {"count": n, "height": h, "width": w, "channels": channels}}


def read_separable(path: Path, reading: Reading, sampling: Sampling) -> Separable:
    """Read data of any form, or raise `InputError` with one sentence that says what was expected."""
    if not path.exists():
        raise InputError(f"the input {path} does not exist")
    source = _read(path, reading, sampling)
    if not isinstance(source, SeparableClip) and sampling != Sampling():
        raise InputError(f"--every, --scale and --grey are for moving pictures, found {path.name}")
    if not isinstance(source, SeparableTable) and replace(reading, fitted=None) != Reading():
        raise InputError(f"--missing, --index, --ignore and --encoding are for tables, found {path.name}")
    n, d = source.matrix.shape
    require(8.0 * MATRICES * n * d, f"separating {path.name}")
    if min(n, d) < 2:
        raise InputError(
            f"{path.name} has {counted(n, 'row')} and {counted(d, 'column')} of numbers, expected at least 2 of each"
        )
    return source


def _read(path: Path, reading: Reading, sampling: Sampling) -> Separable:
    name, kind = path.name.lower(), find_clip(path)
    if kind is not None:
        return SeparableClip(kind.read(path, sampling))
    if any(name.endswith(file.suffixes) for file in KINDS):
        return SeparableTable(read_typed_table(path, reading))
    if name.endswith(".npz"):
        return SeparableArray(np.asarray(read_arrays(path, find_family("robust-pca"), {})["Y"], dtype=float))
    document = find_document(path)
    if document is None:
        raise InputError(
            f"the input {path} has the ending {path.suffix!r}, expected a table (.csv, .xlsx, .parquet), an array "
            "(.npy, .npz, .mtx), a picture, a folder of pictures, an animated .gif or a video (.mp4)"
        )
    return SeparableDocument(document.read(path))


def _spread(known: Array) -> float:
    """Return the standard deviation of numbers without gross errors, 1 if they are all equal."""
    if not len(known):
        return 1.0
    deviations = np.abs(known - np.median(known))
    typical = NORMAL_MEDIAN * float(np.median(deviations))
    return typical or float(np.sqrt(np.mean(deviations**2))) or 1.0
