"""SDPA sparse: files ``.dat-s`` with the semidefinite programme of matrix completion, read by `CompletionProgramme`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.files import reason
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.formats.base import KnownCells
from flatmin.formats.matrix_market import MatrixMarket

__all__ = ["FORMAT", "CompletionProgramme", "SdpaSparse"]

#: Number of bytes of memory for each byte of text while it is parsed.
BYTES_PER_CHARACTER = 40.0
#: Characters that separate numbers in addition to white space.
PUNCTUATION = bytes.maketrans(b",(){}", b"     ")
EXPECTED = "expected min tr(Y), or half of it, over Y = [[W1, X], [Xᵀ, W2]] ⪰ 0 with known entries of X"
#: The note for users of such files.
NUCLEAR = "the programme of the file is the nuclear norm; --metric-power 0 solves it, the default is the flat norm"


@dataclass(frozen=True, eq=False)
class CompletionProgramme:
    """``min ⟨C, Y⟩ over Y ⪰ 0 (n, n) with ⟨A_k, Y⟩ = b_k`` by the entries of the upper triangles of C and A_k.

    Attributes
    ----------
    n : int
        The order of Y.
    cost : tuple of ndarray
        Rows, columns and values of the entries of C; indices start at 0.
    constraints : tuple of ndarray
        Numbers k, rows, columns and values of the entries of all A_k.
    data : ndarray
        The right-hand sides b.
    """

    n: int
    cost: tuple[Array, Array, Array]
    constraints: tuple[Array, Array, Array, Array]
    data: Array

    def cells(self, name: str) -> KnownCells:
        """Return the known cells of X, or raise `InputError` unless the programme is one of matrix completion.

        Rows of X are indices that stand first in a constraint, and columns are indices that stand second. Indices in no
        constraint that lie between them count as columns.
        """
        (i, j, weight), (k, rows, cols, values), m = self.cost, self.constraints, len(self.data)
        whole = len(i) == self.n and np.array_equal(i, j) and len(np.unique(i)) == self.n
        if not (whole and np.all(weight == weight[0]) and weight[0] > 0):
            raise InputError(f"{name} minimises another cost than a positive multiple of the trace, {EXPECTED}")
        if len(k) != m or np.any(np.sort(k) != np.arange(m)) or np.any(values == 0) or np.any(rows == cols):
            raise InputError(f"{name} has a constraint that is not on one entry outside the diagonal, {EXPECTED}")
        d1 = int(rows.max()) + 1
        if d1 > int(cols.min()):
            raise InputError(f"{name} has index {d1} among both rows and columns of X, {EXPECTED}")
        known = self.data[k] / (2 * values)
        if not np.isfinite(known).all():
            raise InputError(f"{name} fixes an entry of X at infinity, {EXPECTED}")
        return KnownCells.from_entries(rows, cols - d1, known, (d1, self.n - d1))


class SdpaSparse(MatrixMarket):
    """A matrix completion problem as a semidefinite programme in SDPA's sparse format; the answer is a ``.mtx`` file.

    The file states ``max ⟨F_0, Y⟩`` subject to ``⟨F_k, Y⟩ = c_k``, so F_0 is minus a multiple of the identity.
    """

    suffixes = (".dat-s",)

    @classmethod
    def read(cls, path: Path, mask: Path | None = None) -> Self:
        """Read a programme with one semidefinite block."""
        try:
            require(BYTES_PER_CHARACTER * path.stat().st_size, f"reading {path.name}")
            programme = _programme(path.read_bytes(), path.name)
        except OSError as error:
            raise InputError(f"{path} cannot be read: {reason(error)}") from error
        return cls(programme.cells(path.name), sparse=True, notes=[NUCLEAR])


def _programme(text: bytes, name: str) -> CompletionProgramme:
    """Parse a file. No array is larger than the number of its tokens."""
    lines: list[list[bytes]] = []
    at = 0
    while len(lines) < 3 and at < len(text):
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        line = text[at:end].strip()
        if line and line[:1] not in (b'"', b"*"):
            lines.append(line.translate(PUNCTUATION).split())
        at = end + 1
    heads = [_leading_integers(line) for line in lines]
    if len(heads) < 3 or not all(heads):
        raise InputError(f"{name} lacks one of the three lines with numbers at the top of an SDPA file")
    m, blocks, sizes = heads[0][0], heads[1][0], heads[2]
    if blocks != 1 or len(sizes) != 1 or sizes[0] < 2:
        raise InputError(f"{name} has {blocks} blocks of sizes {sizes[:5]}, expected one semidefinite block")
    tokens = text[at:].translate(PUNCTUATION).split()
    if m < 1 or len(tokens) < m or (len(tokens) - m) % 5:
        raise InputError(f"{name} has {len(tokens)} numbers after its sizes, expected {m} and five for each entry")
    try:
        numbers = np.array(tokens, dtype=float)
    except ValueError as error:
        raise InputError(f"{name} has text among its numbers: {reason(error)}") from error
    data, entries = numbers[:m], numbers[m:].reshape(-1, 5)
    index, values = entries[:, :4], entries[:, 4]
    within = (index >= [0, 1, 1, 1]) & (index <= [m, 1, sizes[0], sizes[0]])
    if not (np.isfinite(numbers).all() and np.all(within & (index == np.rint(index)))):
        raise InputError(f"{name} has an entry with an index that is no whole number, or out of range")
    k, _, rows, cols = index.astype(np.int64).T
    rows, cols = np.minimum(rows, cols) - 1, np.maximum(rows, cols) - 1
    cost, others = k == 0, k > 0
    return CompletionProgramme(
        sizes[0],
        (rows[cost], cols[cost], -values[cost]),
        (k[others] - 1, rows[others], cols[others], values[others]),
        data,
    )


def _leading_integers(words: list[bytes]) -> list[int]:
    """Return the whole numbers at the start of a line; any other text is a comment."""
    found: list[int] = []
    for word in words:
        if not word.lstrip(b"+-").isdigit() or len(word) > 11:
            break
        found.append(int(word))
    return found


FORMAT = SdpaSparse
