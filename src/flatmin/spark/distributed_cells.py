"""Cells of a matrix distributed over the machines of Spark, once by rows and once by columns."""

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
from flatmin.spark.triples import Indexed

__all__ = ["DistributedCells", "DistributedMatrix", "Residual"]

#: Approximate largest number of cells of a task. A cell has 12 bytes, and its residual as many. Java holds the cells of
#: a task in one piece: with four times this number, an executor of 3 GB ran out of memory at 2·10⁷ cells.
CELLS_PER_TASK = 1_000_000


@dataclass(frozen=True, eq=False)
class DistributedMatrix:
    """A distributed sparse matrix S, which offers the products ``S @ F`` and ``S.T @ F``.

    Each product sends F to the machines and collects one row for each row of S, so this machine holds blocks of
    (d1 + d2) × b numbers. S is stored by rows and by columns, each an RDD of Chunk.
    """

    shape: tuple[int, int]
    rows: Any
    columns: Any
    products: list[int]  # the number of columns of F in each product, which counts the work

    dtype = np.dtype(float)
    ndim = 2

    @property
    def T(self) -> DistributedMatrix:
        """The transpose, which shares the data."""
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
class DistributedCells:
    """The observed cells of a matrix, by rows and by columns: two RDDs of Chunk over the machines of Spark."""

    shape: tuple[int, int]
    counts: tuple[Array, Array]  # the numbers of cells of every row (d1,) and column (d2,)
    rows: Any
    columns: Any

    @classmethod
    def from_triples(cls, table: Indexed) -> Self:
        """Distribute triples so that each row, and each column, belongs to one task."""
        tasks = max(table.frame.sparkSession.sparkContext.defaultParallelism, -(-table.size // CELLS_PER_TASK))
        dealt = [_dealt(table.frame, tasks, *names) for names in (("i", "j"), ("j", "i"))]
        return cls(table.shape, (table.row_counts, table.column_counts), *dealt)

    @property
    def size(self) -> int:
        """The number of cells."""
        return int(self.counts[0].sum())

    def release(self) -> None:
        """Release the cells from the memory of Spark."""
        for side in (self.rows, self.columns):
            side.unpersist()

    @contextmanager
    def residual(self, L: Array, R: Array) -> Iterator[Residual]:
        """Yield the residual of the values minus a matrix ``L Rᵀ``. It is released at the end of the context."""
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

    def best(self, own: int, factors: tuple[Array, Array], reg_param: float) -> tuple[Array, Array]:
        """Return the factor ``own`` (0: rows, 1: columns) that is best for the other one, and sums of `Chunk.ridge`."""
        new, sums = np.zeros_like(factors[own]), np.zeros(3)
        side = (self.rows, self.columns)[own]
        with _sent(side, (factors[own], factors[1 - own], reg_param)) as sent:
            for lines, rows, parts in side.map(lambda chunk: (chunk.lines, *chunk.ridge(*sent.value))).collect():
                new[lines] = rows
                sums += parts
        return new, sums


@dataclass(frozen=True, eq=False)
class Residual:
    """The values of cells and their residuals: RDDs of pairs of Chunk, by rows and by columns."""

    cells: DistributedCells
    rows: Any
    columns: Any

    def sums(self, weights: tuple[Array, Array]) -> Array:
        """Return ``Σ v²``, ``Σ v e``, ``Σ e²`` and ``Σ (w_i w_j e)²`` over values v and residuals e."""
        with _sent(self.rows, weights) as sent:
            parts = self.rows.map(lambda both: _sums(*both, *sent.value)).collect()
        return np.asarray(np.sum(parts, axis=0))

    @contextmanager
    def matrix(self, weights: tuple[Array, Array], least: int = 0) -> Iterator[DistributedMatrix]:
        """Yield the matrix of residuals times weights of rows (d1,) and columns (d2,).

        The matrix is released at the end of the context. A side shorter than ``least`` is extended by zeros, which do
        not change the norm.
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
        """Return the matrix of residuals times weights on this machine, as a sparse CSR array."""
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
    """Return the storage level that keeps data in memory, and on disk if they do not fit."""
    return import_module("pyspark").StorageLevel.MEMORY_AND_DISK


@contextmanager
def _sent(rdd: Any, value: Any) -> Iterator[Any]:
    """Yield a value that is sent to all machines and released afterwards."""
    sent = rdd.context.broadcast(value)
    try:
        yield sent
    finally:
        sent.destroy()


def _dealt(frame: Any, tasks: int, own: str, other: str) -> Any:
    """Return the cells as an RDD of chunks. All cells of a row (or column) are in one chunk."""
    packed = frame.select(own, other, "v").repartition(tasks, own).mapInArrow(_pack, "chunk binary")
    # The chunks were pickled by `_pack` in the same job; they never come from a file.
    return packed.rdd.map(lambda row: pickle.loads(row.chunk)).persist(_kept())  # noqa: S301


def _pack(batches: Any) -> Iterator[Any]:
    """Yield the cells of a partition as one chunk."""
    pyarrow = import_module("pyarrow")
    parts = [tuple(batch.column(k).to_numpy(zero_copy_only=False) for k in range(3)) for batch in batches]
    if sum(len(part[0]) for part in parts):
        chunk = Chunk.from_cells(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        yield pyarrow.RecordBatch.from_pydict({"chunk": pyarrow.array([pickle.dumps(chunk)], pyarrow.binary())})
