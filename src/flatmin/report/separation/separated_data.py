"""SeparatedData: data, their low-rank part and their gross errors, as the report shows them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.proofs.certificate import Certificate

__all__ = ["SeparatedData"]


@dataclass(frozen=True, eq=False)
class SeparatedData:
    """Data (n, d) that are separated into a low-rank part, gross errors and noise.

    Attributes
    ----------
    data, low_rank, sparse : ndarray, shape (n, d)
        The data with NaN in missing cells, the low-rank part, and the gross errors.
    mask : ndarray of bool, shape (n, d)
        Which cells are gross errors.
    centre, scales : ndarray, shape (d,)
        The medians of the columns, and the units in which they were fitted.
    summary : dict
        The fields of ``summary.json``.
    certificate : Certificate or None
        The certificate of the fit; None for a model that was read from a file.
    input_name, command : str
        The name of the file, and the command that repeats the work.
    names, labels : sequence of str, or None
        The names of columns and rows.
    picture : callable, optional
        Turns a matrix (n, d) into a picture (h, w) or (h, w, 3), for a single picture.
    frames : tuple of int, optional
        The number, height, width and channels of moving pictures, whose frames are the rows.
    notes : sequence of str
        Sentences about the data for the reader.
    """

    data: Array
    low_rank: Array
    sparse: Array
    mask: Array
    centre: Array
    scales: Array
    summary: Mapping[str, Any]
    certificate: Certificate | None
    input_name: str
    command: str
    names: Sequence[str] | None = None
    labels: Sequence[str] | None = None
    picture: Callable[[Array], Array | None] | None = None
    frames: tuple[int, int, int, int] | None = None
    notes: Sequence[str] = ()

    @property
    def are_pictures(self) -> bool:
        """Whether the data are pixels."""
        return self.picture is not None or self.frames is not None

    def name(self, column: int) -> str:
        """Return the name of a column, or its number from 0."""
        return str(column) if self.names is None else self.names[column]

    def label(self, row: int) -> str:
        """Return the name of a row, or its number from 0."""
        return str(row) if self.labels is None else str(self.labels[row])

    def in_units(self, values: Array) -> Array:
        """Return values (n, d) relative to the medians of their columns, in the units of the columns."""
        return np.asarray((values - self.centre) / self.scales)

    @property
    def noise(self) -> Array | None:
        """The standard deviation of the noise in each column (d,), None if it is not known."""
        sigma = self.summary["sigma"]
        return None if sigma is None else np.asarray(sigma * self.scales)
