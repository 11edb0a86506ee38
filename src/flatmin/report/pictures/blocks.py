"""Block: evenly spaced rows and columns of a matrix, for a picture; computed from the factors, not the whole matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.measurements.entries import Entries
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["LARGEST_SIDE", "Block", "observed", "part", "picked", "recovered", "scattered", "standardised"]

#: Largest number of rows, and of columns, in a picture.
LARGEST_SIDE = 160


@dataclass(frozen=True, eq=False)
class Block:
    """Evenly spaced rows and columns of a matrix."""

    #: The entries, (len(rows), len(columns)); unknown ones are NaN.
    values: Array
    #: Positions in the whole matrix, whose shape is ``shape``.
    rows: Array
    columns: Array
    shape: tuple[int, int]

    @property
    def whole(self) -> bool:
        """Whether the block has all rows and columns."""
        return (len(self.rows), len(self.columns)) == self.shape


def picked(length: int, most: int = LARGEST_SIDE) -> Array:
    """Return at most ``most`` evenly spaced indices below ``length``.

    Examples
    --------
    >>> picked(3), picked(9, 3)
    (array([0, 1, 2]), array([0, 4, 8]))
    """
    return np.linspace(0, length - 1, min(length, most)).round().astype(int)


def recovered(solution: Solution, shape: tuple[int, int]) -> Block:
    """Return the block of the recovered matrix, with NaN in unmeasured rows and columns."""
    rows, columns = picked(shape[0]), picked(shape[1])
    P, Q = solution.parametrization.pair(solution.factors)
    values = _real(P[rows] @ Q[columns].conj().T)
    values[np.isin(rows, solution.undetermined[0])] = np.nan
    values[:, np.isin(columns, solution.undetermined[1])] = np.nan
    return Block(values, rows, columns, shape)


def part(matrix: Array) -> Block:
    """Return the block of a matrix given as an array."""
    rows, columns = (picked(length) for length in matrix.shape)
    return Block(_real(matrix[np.ix_(rows, columns)]), rows, columns, (matrix.shape[0], matrix.shape[1]))


def _real(values: Array) -> Array:
    """Return real numbers unchanged, and the modulus of complex ones."""
    return np.abs(values) if np.iscomplexobj(values) else np.array(values, dtype=float)


def observed(problem: Problem) -> Block | None:
    """Return the block of the data, with NaN in unobserved cells; None unless entries are measured."""
    A = problem.measurement
    return scattered(A.rows, A.cols, problem.data, A.shape) if isinstance(A, Entries) else None


def scattered(rows: Array, cols: Array, values: Array, shape: tuple[int, int]) -> Block:
    """Return the block of a matrix that has ``values`` in some cells and NaN in the others."""
    shown = picked(shape[0]), picked(shape[1])
    place = [np.full(n, -1) for n in shape]
    for index, where in zip(place, shown, strict=True):
        index[where] = np.arange(len(where))
    i, j = place[0][rows], place[1][cols]
    inside = (i >= 0) & (j >= 0)
    out = np.full((len(shown[0]), len(shown[1])), np.nan)
    out[i[inside], j[inside]] = values[inside]
    return Block(out, *shown, shape)


def standardised(blocks: Sequence[Block]) -> list[Block]:
    """Return blocks with standardised columns, by the same mean and deviation in all blocks.

    The mean and the deviation of a column are computed from the first block that has a value in this column.
    """
    values = np.array(blocks[0].values)
    for block in blocks[1:]:
        empty = np.isnan(values).all(axis=0)
        values[:, empty] = block.values[:, empty]
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    tiny = 1e-12 * np.abs(mean)
    scale = np.where(deviation > tiny, deviation, 1.0)
    return [replace(block, values=(block.values - mean) / scale) for block in blocks]
