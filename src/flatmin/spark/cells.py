"""Cells of a matrix dealt out over the machines of Spark, once by rows and once by columns."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.spark.chunk import Chunk
from flatmin.spark.reading import Indexed

__all__ = ["Cells", "DistributedMatrix", "Residual"]

#: A task has at most about this many cells: 16 bytes each, and Spark passes on at most 2 GiB at a time.
TASK = 4_000_000


@dataclass(frozen=True, eq=False)
class DistributedMatrix:
    """A sparse matrix S that no machine holds: a linear map for whom needs no more than ``S @ F`` and ``S.T @ F``.

    Each product sends F to the machines and brings back one row for each row of S, so this machine holds blocks of
    (d1 + d2) × b numbers.

    Attributes
    ----------
    shape : tuple of int
    rows, columns : RDD of Chunk
        S by its rows, and by its columns.
    products : list of int
        How many columns F had, product by product: a count of the work.
    """

    shape: tuple[int, int]
    rows: Any
    columns: Any
    products: list[int]

    dtype = np.dtype(float)
    ndim = 2

    @property
    def T(self) -> DistributedMatrix:
        """The transpose, which shares everything."""
        return DistributedMatrix(self.shape[::-1], self.columns, self.rows, self.products)

    def __matmul__(self, F: Any) -> Array:
        F = np.asarray(F, dtype=float)
        if F.ndim not in (1, 2) or len(F) != self.shape[1]:
            raise ValueError(f"a matrix of shape {self.shape} meets one of shape {F.shape}")
        self.products.append(1 if F.ndim == 1 else F.shape[1])
        out = np.zeros((self.shape[0], *F.shape[1:]))
        with _sent(self.rows, F) as sent:
            for lines, block in self.rows.map(lambda chunk: (chunk.lines, chunk.times(sent.value))).collect():
                out[lines] = block
        return out


@dataclass(frozen=True, eq=False)
class Cells:
    """Observed cells of a matrix, over the machines of Spark.

    Attributes
    ----------
    shape : tuple of int
        (d1, d2).
    counts : pair of ndarray, shapes (d1,) and (d2,)
        Cells of every row and of every column.
    rows, columns : RDD of Chunk
        The cells by rows, and by columns.
    """

    shape: tuple[int, int]
    counts: tuple[Array, Array]
    rows: Any
    columns: Any

    @classmethod
    def of(cls, table: Indexed) -> Self:
        """Deal out triples; each row is one task's, and so is each column."""
        tasks = max(table.frame.sparkSession.sparkContext.defaultParallelism, -(-table.size // TASK))
        dealt = [_dealt(table.frame, tasks, *names) for names in (("i", "j"), ("j", "i"))]
        return cls(table.shape, (table.row_counts, table.column_counts), *dealt)

    @property
    def size(self) -> int:
        """The number of cells."""
        return int(self.counts[0].sum())

    def release(self) -> None:
        """Let Spark forget them."""
        for side in (self.rows, self.columns):
            side.unpersist()

    @contextmanager
    def residual(self, L: Array, R: Array) -> Iterator[Residual]:
        """Give what a matrix ``L Rᵀ`` leaves of the values, for a while."""
        with _sent(self.rows, (L, R)) as sent:
            sides = (
                self.rows.map(lambda chunk: (chunk, chunk.residual(*sent.value))),
                self.columns.map(lambda chunk: (chunk, chunk.residual(*sent.value[::-1]))),
            )
            kept = [side.persist(_kept()) for side in sides]
            try:
                yield Residual(self, *kept)
            finally:
                for side in kept:
                    side.unpersist()

    def best(self, own: int, factors: tuple[Array, Array], strength: float) -> tuple[Array, Array]:
        """Return the factor that minimises the flat objective beside the other one, and the sums of `Chunk.ridge`.

        Parameters
        ----------
        own : int
            0 for the rows, 1 for the columns.
        factors : pair of ndarray, shapes (d1, k) and (d2, k)
        strength : float
            regParam.
        """
        new, sums = np.zeros_like(factors[own]), np.zeros(3)
        side = (self.rows, self.columns)[own]
        with _sent(side, (factors[own], factors[1 - own], strength)) as sent:
            for lines, rows, parts in side.map(lambda chunk: (chunk.lines, *chunk.ridge(*sent.value))).collect():
                new[lines] = rows
                sums += parts
        return new, sums


@dataclass(frozen=True, eq=False)
class Residual:
    """What a matrix leaves of the values of cells.

    Attributes
    ----------
    cells : Cells
    rows, columns : RDD of pairs of Chunk
        Values and residuals.
    """

    cells: Cells
    rows: Any
    columns: Any

    def sums(self, weights: tuple[Array, Array]) -> Array:
        """Return ``Σ v²``, ``Σ v e``, ``Σ e²`` and ``Σ (w_i w_j e)²`` over values v and residuals e."""
        with _sent(self.rows, weights) as sent:
            parts = self.rows.map(lambda both: _sums(*both, *sent.value)).collect()
        return np.asarray(np.sum(parts, axis=0))

    @contextmanager
    def matrix(self, weights: tuple[Array, Array], least: int = 0) -> Iterator[DistributedMatrix]:
        """Give the residuals as a matrix, times weights of rows (d1,) and columns (d2,), for a while.

        Zeros are added to sides shorter than ``least``; they change no norm.
        """
        with _sent(self.rows, weights) as sent:
            sides = (
                self.rows.map(lambda both: both[1].weighted(*sent.value)),
                self.columns.map(lambda both: both[1].weighted(*sent.value[::-1])),
            )
            kept = [side.persist(_kept()) for side in sides]
            try:
                d1, d2 = self.cells.shape
                yield DistributedMatrix((max(d1, least), max(d2, least)), kept[0], kept[1], [])
            finally:
                for side in kept:
                    side.unpersist()

    def collected(self, weights: tuple[Array, Array]) -> Any:
        """Return the same matrix on this machine, as a sparse CSR array."""
        from scipy.sparse import coo_array

        with _sent(self.rows, weights) as sent:
            parts = self.rows.map(lambda both: _triples(both[1].weighted(*sent.value))).collect()
        i, j, v = (np.concatenate(part) for part in zip(*parts, strict=True))
        return coo_array((v, (i, j)), shape=self.cells.shape).tocsr()


def _sums(values: Chunk, left: Chunk, own: Array, other: Array) -> Array:
    v, e, scaled = values.values, left.values, left.weighted(own, other).values
    return np.array([v @ v, v @ e, e @ e, scaled @ scaled])


def _triples(chunk: Chunk) -> tuple[Array, Array, Array]:
    return np.repeat(chunk.lines, np.diff(chunk.pointers)), chunk.across, chunk.values


def _kept() -> Any:
    """Return how Spark keeps what does not fit into its memory: on disks."""
    return import_module("pyspark").StorageLevel.MEMORY_AND_DISK


@contextmanager
def _sent(rdd: Any, value: Any) -> Iterator[Any]:
    """Give a value that all machines have, for a while."""
    sent = rdd.context.broadcast(value)
    try:
        yield sent
    finally:
        sent.destroy()


def _dealt(frame: Any, tasks: int, own: str, other: str) -> Any:
    """Return the cells as chunks, all cells of a line in the same one."""
    packed = frame.select(own, other, "v").repartition(tasks, own).mapInArrow(_pack, "chunk binary")
    return packed.rdd.map(lambda row: pickle.loads(row.chunk)).persist(_kept())


def _pack(batches: Any) -> Iterator[Any]:
    """Make one chunk of what Arrow brings."""
    pyarrow = import_module("pyarrow")
    parts = [tuple(batch.column(k).to_numpy(zero_copy_only=False) for k in range(3)) for batch in batches]
    if sum(len(part[0]) for part in parts):
        chunk = Chunk.of(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        yield pyarrow.RecordBatch.from_pydict({"chunk": pyarrow.array([pickle.dumps(chunk)], pyarrow.binary())})
