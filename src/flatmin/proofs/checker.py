"""Checker of exact proofs: a program that trusts neither flatmin nor the author of a proof.

    python checker.py PROOF.json INSTANCE.npz [--sha256 HEX] [--no-numpy]

The exit status is 0 if every statement of the proof is a theorem about the instance, 1 if some claim fails, and 2 if a
file is missing or the command is wrong. Give the hash of the instance with ``--sha256`` if the proof comes from a
stranger: otherwise the theorem may be true, but about other data than yours.

How it works
------------
Every double is an integer times a power of two, so measurements, data, factors and dual vectors are rational numbers.
This program forms all matrices of a proof from them in integers. It uses the standard library only. NumPy, if it can be
imported, guesses Cholesky factors and multiplies integers that are so small that no sum is rounded; the answers without
it are the same. Nothing that a proof contains is believed: constants are tested, dual vectors are arguments of
inequalities that hold for any vector, and the fit of the factors is computed.

A matrix S is accepted as positive semidefinite if ``S − G Gᵀ``, formed in integers with a guessed G, is diagonally
dominant (`is_semidefinite`). Everything else is the algebra of a few theorems, one class for each kind of model:
`ProductTheorem`, `SymmetricTheorem`, `SplitTheorem` and `SemidefiniteTheorem`. Methods return the numbers that they
prove.

Notation
--------
``A_1, …, A_m`` are the sensing matrices (d1, d2), ``A(X)_i = ⟨A_i, X⟩``, b the data, and ``A*(λ) = Σ λ_i A_i``.
``G1 = Σ A_i A_iᵀ/(m d2)`` and ``G2 = Σ A_iᵀ A_i/(m d1)``; for symmetric and Hermitian matrices ``G = Σ A_i²/m``. With
metric_power 0 each is replaced by the multiple of the identity with the same trace. Factors of ``X = L Rᵀ`` have scaled
trace ``2 tr(LᵀG1L) + 2 tr(RᵀG2R)``. Its smallest value over all factors of X is ``4 ‖Z‖_*`` with ``Z = D1 X D2``,
``D1² = G1``, ``D2² = G2``; for symmetric X it is ``8 ‖Z‖_*``. This value is the scaled trace of X. Coordinates that no
measurement sees have a zero row in every A_i (a zero column, for columns). They are left out, and the theorems on
uniqueness speak of matrices that vanish there. Hermitian matrices are written as real ones of twice the order.
"""

from __future__ import annotations

import argparse
import ast
import base64
import binascii
import hashlib
import io
import json
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from itertools import chain, pairwise
from math import gcd, isqrt, lcm, prod
from operator import mul
from pathlib import Path
from typing import Any, ClassVar

__all__ = ["Matrix", "Refused", "Theorem", "check", "is_semidefinite", "main", "theorem_of", "use_numpy"]

Rows = list[list[int]]

#: Largest order of a matrix that is tested for semidefiniteness.
MAX_ORDER = 5000
#: Largest size of a file, and of its arrays after decompression, in bytes.
MAX_BYTES = 2**32
#: Nonzero numbers must lie between 2^-RANGE and 2^RANGE, so that integers stay of moderate length.
RANGE = 256

_numpy: Any = None


def use_numpy(wanted: bool = True) -> bool:
    """Use NumPy from now on for guesses and exact products, if wanted and installed; return whether it is used."""
    global _numpy
    _numpy = None
    if wanted:
        try:
            import numpy
        except ImportError:
            return False
        _numpy = numpy
    return wanted


class Refused(Exception):
    """A file or a claim that does not hold up; the message is the sentence that is printed."""


def require(holds: bool, sentence: str) -> None:
    """Raise `Refused` with the sentence unless the condition holds."""
    if not holds:
        raise Refused(sentence)


# ---------------------------------------------------------------------------------------------------------------------
# 1. Matrices of integers with one rational unit


class Matrix:
    """A rational matrix: rows of Python integers times one positive unit."""

    __slots__ = ("rows", "unit")

    def __init__(self, rows: Rows, unit: Fraction = Fraction(1)) -> None:
        self.rows, self.unit = rows, unit

    @classmethod
    def of(cls, values: Sequence[float], columns: int = 1) -> Matrix:
        """Return finite numbers, given row by row, as a matrix whose unit is a power of two."""
        ratios = [x.as_integer_ratio() for x in values]
        bits = max((q.bit_length() for _, q in ratios), default=1)
        ints = [p << (bits - q.bit_length()) for p, q in ratios]
        return cls([ints[i : i + columns] for i in range(0, len(ints), columns)], Fraction(1, 1 << (bits - 1)))

    @classmethod
    def of_fractions(cls, rows: list[list[Fraction]]) -> Matrix:
        """Return rows of fractions as a matrix."""
        bottom = lcm(*(x.denominator for row in rows for x in row))
        return cls([[x.numerator * (bottom // x.denominator) for x in row] for row in rows], Fraction(1, bottom))

    @classmethod
    def identity(cls, order: int, scale: Fraction = Fraction(1)) -> Matrix:
        """Return a positive multiple of the identity."""
        return cls([[int(i == j) for j in range(order)] for i in range(order)], scale)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns."""
        return len(self.rows), len(self.rows[0])

    @property
    def T(self) -> Matrix:
        """The transpose."""
        return Matrix([list(column) for column in zip(*self.rows, strict=True)], self.unit)

    def in_unit(self, unit: Fraction) -> Rows:
        """Return the rows in another unit, of which the own one is a multiple."""
        factor = self.unit / unit
        assert factor.denominator == 1
        return self.rows if factor == 1 else [[factor.numerator * x for x in row] for row in self.rows]

    def __add__(self, other: Matrix) -> Matrix:
        unit = common_unit(self, other)
        pairs = zip(self.in_unit(unit), other.in_unit(unit), strict=True)
        return Matrix([[x + y for x, y in zip(row, line, strict=True)] for row, line in pairs], unit)

    def __neg__(self) -> Matrix:
        return Matrix([[-x for x in row] for row in self.rows], self.unit)

    def __sub__(self, other: Matrix) -> Matrix:
        return self + -other

    def __rmul__(self, scalar: Fraction | int) -> Matrix:
        size = abs(Fraction(scalar))
        if size == 0:
            return Matrix([[0] * len(row) for row in self.rows])
        return Matrix(self.rows if scalar > 0 else (-self).rows, self.unit * size)

    def __matmul__(self, other: Matrix) -> Matrix:
        return Matrix(product(self.rows, other.rows), self.unit * other.unit)

    def gram(self) -> Matrix:
        """Return ``M Mᵀ``."""
        return Matrix(gram(self.rows), self.unit**2)

    def scaled_rows(self, scales: Matrix) -> Matrix:
        """Return ``diag(s) M`` for a column s."""
        pairs = zip(self.rows, scales.rows, strict=True)
        return Matrix([[s * x for x in row] for row, (s,) in pairs], self.unit * scales.unit)

    def restricted(self, rows: Sequence[int], columns: Sequence[int]) -> Matrix:
        """Return the part with these rows and columns."""
        return Matrix([[self.rows[i][j] for j in columns] for i in rows], self.unit)

    def dot(self, other: Matrix) -> Fraction:
        """Return the sum of the products of the entries of two matrices."""
        pairs = zip(self.rows, other.rows, strict=True)
        return self.unit * other.unit * sum(sum(map(mul, row, line)) for row, line in pairs)

    def trace(self) -> Fraction:
        """Return the trace."""
        return self.unit * sum((row[i] for i, row in enumerate(self.rows)), 0)

    def norm(self) -> Fraction:
        """Return an upper bound on the Frobenius norm."""
        return root_above(self.dot(self))

    def row_norm(self) -> Fraction:
        """Return the largest sum of absolute values in a row, an upper bound on the norm of a symmetric matrix."""
        return self.unit * max(sum(map(abs, row)) for row in self.rows)

    def is_zero(self) -> bool:
        """Say whether all entries are zero."""
        return not any(map(any, self.rows))

    def is_diagonal(self) -> bool:
        """Say whether all entries outside the diagonal are zero."""
        return not any(any(row[:i]) or any(row[i + 1 :]) for i, row in enumerate(self.rows))

    def is_symmetric(self) -> bool:
        """Say whether the matrix equals its transpose."""
        return self.rows == self.T.rows


def common_unit(*matrices: Matrix) -> Fraction:
    """Return the largest fraction of which all units are multiples."""
    bottom = lcm(*(M.unit.denominator for M in matrices))
    return Fraction(gcd(*(M.unit.numerator * (bottom // M.unit.denominator) for M in matrices)), bottom)


def in_blocks(blocks: list[list[Matrix]]) -> Matrix:
    """Return the matrix with these blocks."""
    unit = common_unit(*chain(*blocks))
    lines = ([M.in_unit(unit) for M in line] for line in blocks)
    return Matrix([list(chain(*parts)) for line in lines for parts in zip(*line, strict=True)], unit)


def block_diagonal(blocks: list[Matrix]) -> Matrix:
    """Return the matrix with these diagonal blocks and zeros elsewhere."""
    unit, order, start = common_unit(*blocks), sum(len(M.rows) for M in blocks), 0
    rows: Rows = []
    for block in blocks:
        width = len(block.rows)
        rows += [[0] * start + row + [0] * (order - start - width) for row in block.in_unit(unit)]
        start += width
    return Matrix(rows, unit)


def largest(rows: Rows) -> int:
    """Return the largest absolute value of an entry."""
    return max((max(map(abs, row), default=0) for row in rows), default=0)


def product(A: Rows, B: Rows) -> Rows:
    """Return ``A B``."""
    if _numpy is not None and len(A) * len(B) * len(B[0]) > 200_000:
        return _from_digits(_digit_products(_digits(A), _digits(B)))
    slot = _slot(A, B)
    packed = [_pack(row, slot) for row in B]
    return [_unpack(sum(x * p for x, p in zip(row, packed, strict=True) if x), len(B[0]), slot) for row in A]


def gram(A: Rows) -> Rows:
    """Return ``A Aᵀ``.

    Column k of A is kept as one long integer ``B_k``, the newest row lowest, and row i of the lower triangle is the
    sum of ``A_ik B_k``, so that the inner loop is inside the multiplication of long integers.
    """
    if _numpy is not None and len(A) ** 2 * len(A[0]) > 200_000:
        return _from_digits(_digit_products(_digits(A), None))
    slot = _slot(A, [[largest(A)]] * len(A[0]))
    columns = [0] * len(A[0])
    lower: Rows = []
    for i, row in enumerate(A):
        for k, x in enumerate(row):
            if x or columns[k]:
                columns[k] = (columns[k] << 8 * slot) + x
        total = sum(x * column for x, column in zip(row, columns, strict=True) if x)
        lower.append(_unpack(total, i + 1, slot)[::-1])
    return [lower[i] + [lower[j][i] for j in range(i + 1, len(A))] for i in range(len(A))]


def _slot(A: Rows, B: Rows) -> int:
    """Return the number of bytes that hold any entry of ``A B`` with its sign."""
    return (largest(A).bit_length() + largest(B).bit_length() + len(B).bit_length() + 9) // 8


def _offset(count: int, slot: int) -> int:
    """Return half of the range of a slot, in each of ``count`` slots of so many bytes."""
    return int.from_bytes((b"\0" * (slot - 1) + b"\x80") * count, "little")


def _pack(row: list[int], slot: int) -> int:
    """Return ``Σ_j row_j 2^(8 slot j)``."""
    half = 1 << (8 * slot - 1)
    return int.from_bytes(b"".join((x + half).to_bytes(slot, "little") for x in row), "little") - _offset(
        len(row), slot
    )


def _unpack(total: int, count: int, slot: int) -> list[int]:
    """Return the entries of a row that `_pack` made."""
    half = 1 << (8 * slot - 1)
    data = (total + _offset(count, slot)).to_bytes(count * slot + 1, "little")
    return [int.from_bytes(data[k : k + slot], "little") - half for k in range(0, count * slot, slot)]


#: Digits have DIGIT bits and a sign; a sum of DEPTH products of two digits is below 2^53, so doubles hold it exactly.
DIGIT, DEPTH = 20, 2**13


def _digits(rows: Rows) -> list[Any]:
    """Return arrays of doubles, the digits of the entries in base 2^DIGIT, lowest first."""
    bits = max(1, largest(rows).bit_length())
    array = _numpy.array(rows, dtype=_numpy.int64 if bits < 63 else object)
    sign = _numpy.where(array < 0, -1, 1).astype(_numpy.int64)
    array, found = abs(array), []
    for shift in range(0, bits, 3 * DIGIT):
        chunk = ((array >> shift) & (2 ** (3 * DIGIT) - 1)).astype(_numpy.int64)
        for place in range(0, min(3 * DIGIT, bits - shift), DIGIT):
            found.append((((chunk >> place) & (2**DIGIT - 1)) * sign).astype(float))
    return found


def _digit_products(A: list[Any], B: list[Any] | None) -> list[Any]:
    """Return the digits of ``A B``, without carries, as arrays of 64-bit integers; of ``A Aᵀ`` if B is None."""
    height, depth = A[0].shape
    right = [digit.T for digit in A] if B is None else B
    sums = [_numpy.zeros((height, right[0].shape[1]), dtype=_numpy.int64) for _ in range(len(A) + len(right) - 1)]
    require(min(len(A), len(right)) * (depth // DEPTH + 1) < 2**9, "the integers in this proof are too long")
    for i, P in enumerate(A):
        for j, Q in enumerate(right):
            if B is None and j > i:
                continue
            for start in range(0, depth, DEPTH):
                part = (P[:, start : start + DEPTH] @ Q[start : start + DEPTH]).astype(_numpy.int64)
                sums[i + j] += part if B is not None or i == j else part + part.T
    return sums


def _from_digits(sums: list[Any]) -> Rows:
    """Return rows of Python integers from the digits of `_digit_products`."""
    for low, high in pairwise(sums):
        high += low >> DIGIT
        low &= 2**DIGIT - 1
    while len(sums) % 3 != 1:
        sums.append(sums[-1] >> DIGIT)
        sums[-2] &= 2**DIGIT - 1
    total = sums[-1]
    if len(sums) > 1:
        total = total.astype(object)
    for k in range(len(sums) - 4, -1, -3):
        chunk = sums[k] | (sums[k + 1] << DIGIT) | (sums[k + 2] << 2 * DIGIT)
        total = (total << 3 * DIGIT) + chunk
    rows: Rows = total.tolist()
    return rows


def inverse(M: Matrix) -> Matrix:
    """Return the exact inverse of a small square matrix, by elimination."""
    order = len(M.rows)
    work = [[Fraction(x) for x in row] + [Fraction(int(i == j)) for j in range(order)] for i, row in enumerate(M.rows)]
    for k in range(order):
        pivot = next((i for i in range(k, order) if work[i][k]), None)
        if pivot is None:
            raise Refused("a change of basis in the point is singular")
        work[k], work[pivot] = work[pivot], work[k]
        work[k] = [x / work[k][k] for x in work[k]]
        for i in range(order):
            if i != k and work[i][k]:
                factor = work[i][k]
                work[i] = [x - factor * y for x, y in zip(work[i], work[k], strict=True)]
    return (1 / M.unit) * Matrix.of_fractions([row[order:] for row in work])


def root_above(x: Fraction) -> Fraction:
    """Return a number slightly above the square root: ``√y < isqrt(⌊y⌋) + 1`` with ``y = 4^k x``."""
    require(x >= 0, "a square root of a negative number was needed")
    shift = max(0, 64 - (x.numerator.bit_length() - x.denominator.bit_length()) // 2)
    floor, rest = divmod(x.numerator << 2 * shift, x.denominator)
    root = isqrt(floor)
    return Fraction(root + int(rest > 0 or root * root < floor), 1 << shift)


def root_below(x: Fraction) -> Fraction:
    """Return a number slightly below the square root."""
    shift = max(0, 64 - (x.numerator.bit_length() - x.denominator.bit_length()) // 2)
    return Fraction(isqrt((x.numerator << 2 * shift) // x.denominator), 1 << shift)


# ---------------------------------------------------------------------------------------------------------------------
# 2. Positive semidefinite matrices

#: Bits after the point of a guessed Cholesky factor.
GRID = 53


def is_semidefinite(M: Matrix, slack: int = 0) -> bool:
    """Say whether a symmetric matrix is proved positive semidefinite; a wrong False is possible, a wrong True is not.

    Rows and columns are multiplied by powers of two, so that the diagonal of the scaled matrix S lies in [1/4, 1).
    Then S is rounded to multiples of 2^-106, a Cholesky factor G is guessed from it, and ``E = S − G Gᵀ`` is formed in
    integers. If each ``E_ii − Σ_{j≠i} |E_ij|`` is at least the sum of what rounding changed in row i of S, then E with
    these changes has a dominant diagonal (Gershgorin), hence ``S = G Gᵀ + E ⪰ 0``.

    The integers in ``M.rows`` may differ from those of the matrix in question by ``slack`` in each entry.
    """
    rows = M.rows
    require(len(rows) <= MAX_ORDER, f"a matrix of order {len(rows)} would be tested, expected at most {MAX_ORDER}")
    require(M.is_symmetric(), "a matrix that must be symmetric is not")
    seen = [i for i, row in enumerate(rows) if row[i] or any(row) or slack]
    if any(rows[i][i] <= 0 for i in seen):
        return False
    half = [(rows[i][i].bit_length() + 1) // 2 for i in seen]
    scaled = [
        [shifted(rows[i][j], 2 * GRID - h - k) for j, k in zip(seen, half, strict=True)]
        for i, h in zip(seen, half, strict=True)
    ]
    top = max(half, default=0)
    spread = slack * sum(1 << (top - k) for k in half)
    changed = [len(half) + 1 + shifted(spread, 2 * GRID - h - top) for h in half]
    G = guessed_factor(scaled, (len(half) + 8) * 2.0**-52 + max(changed, default=0) * 2.0 ** (1 - 2 * GRID))
    if G is None:
        return False
    for i, (row, square) in enumerate(zip(scaled, gram(G), strict=True)):
        error = list(map(int.__sub__, row, square))
        if 2 * error[i] - sum(map(abs, error)) < changed[i]:
            return False
    return True


def shifted(x: int, bits: int) -> int:
    """Return ``x 2^bits``, rounded to an integer with an error of at most ½."""
    return x << bits if bits >= 0 else (x + (1 << (-bits - 1))) >> -bits


def guessed_factor(scaled: Rows, shift: float) -> Rows | None:
    """Return a lower triangular integer matrix G with ``2^-106 G Gᵀ ≈ 2^-106 S − shift I``, or None: only a guess.

    Its entries are at most 2^53 in absolute value: that they need no more bits is what the exact product relies on.
    """
    order, unit = len(scaled), 2.0 ** (-2 * GRID)
    if largest(scaled) >= 1 << 2 * GRID:
        return None
    if _numpy is not None:
        floats = _numpy.array(scaled, dtype=float).reshape(order, order) * unit - shift * _numpy.eye(order)
        try:
            factor = _numpy.rint(_numpy.linalg.cholesky(floats) * 2.0**GRID)
        except _numpy.linalg.LinAlgError:
            return None
        if not (abs(factor) <= 2.0**GRID).all():
            return None
        G: Rows = factor.astype(_numpy.int64).tolist()
        return G
    lower: list[list[float]] = []
    for i, row in enumerate(scaled):
        line: list[float] = []
        for j, above in enumerate(lower):
            line.append((row[j] * unit - sum(map(mul, line, above))) / above[j])
        rest = row[i] * unit - shift - sum(map(mul, line, line))
        if not rest > 0 or not all(abs(x) <= 1 for x in line):
            return None
        lower.append([*line, rest**0.5])
    return [[round(x * 2.0**GRID) for x in line] + [0] * (order - len(line)) for line in lower]


def dominates(G1: Matrix, Y: Matrix, G2: Matrix) -> bool:
    """Say whether ``[[G1, −Y], [−Yᵀ, G2]] ⪰ 0`` is proved, through a Schur complement if a block is diagonal."""
    if G2.is_diagonal() and (len(G2.rows) >= len(G1.rows) or not G1.is_diagonal()):
        return _schur(G1, Y, G2)
    if G1.is_diagonal():
        return _schur(G2, Y.T, G1)
    return is_semidefinite(in_blocks([[G1, -Y], [-Y.T, G2]]))


#: Bits after the point of inverse square roots, and of the matrix whose square is subtracted, in `_schur`.
ROOT, SCHUR = 60, 78


def _schur(G1: Matrix, Y: Matrix, G2: Matrix) -> bool:
    """Say whether ``G1 − Y G2⁻¹ Yᵀ ⪰ 0`` is proved for a diagonal ``G2 ≻ 0``.

    After scaling with powers of two, ``M = Y diag(w)`` with ``w_j ≥ 1/√(G2)_jj`` is rounded to integers with errors of
    at most ½. They change an entry of ``M Mᵀ`` by at most ``k (|M|_∞ + 1)`` units, k the number of columns.
    """
    unit = common_unit(G1, Y, G2)
    P, R, q = G1.in_unit(unit), Y.in_unit(unit), [row[j] for j, row in enumerate(G2.in_unit(unit))]
    if any(row[i] <= 0 for i, row in enumerate(P)) or min(q) <= 0:
        return False
    left = [(row[i].bit_length() + 1) // 2 for i, row in enumerate(P)]
    right = [(x.bit_length() + 1) // 2 for x in q]
    weights = [isqrt((1 << 2 * (ROOT + k)) // x) + 1 for x, k in zip(q, right, strict=True)]
    M = [
        [shifted(y * w, SCHUR - ROOT - h - k) if y else 0 for y, w, k in zip(row, weights, right, strict=True)]
        for row, h in zip(R, left, strict=True)
    ]
    if largest(M) >= 1 << (SCHUR + 2):
        return False
    S = [
        [shifted(x, 2 * SCHUR - h - k) - y for x, y, k in zip(row, square, left, strict=True)]
        for row, square, h in zip(P, gram(M), left, strict=True)
    ]
    return is_semidefinite(Matrix(S), len(q) * (largest(M) + 1) + 1)


# ---------------------------------------------------------------------------------------------------------------------
# 3. Measurements


class DenseMap:
    """Sensing matrices given entry by entry: the rows of A are the A_i, row after row."""

    def __init__(self, A: Matrix, shape: tuple[int, int]) -> None:
        self.A, self.shape, self.size = A, shape, len(A.rows)
        self.all_cells = A

    def _stacked(self, by_rows: bool) -> Matrix:
        """Return the rows of all A_i (by_rows) or the columns of all A_i, as rows of one matrix."""
        d1, d2 = self.shape
        if by_rows:
            return Matrix([row[k : k + d2] for row in self.A.rows for k in range(0, d1 * d2, d2)], self.A.unit)
        return Matrix([row[j::d2] for row in self.A.rows for j in range(d2)], self.A.unit)

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_i A_iᵀ`` and ``Σ A_iᵀ A_i``."""
        return self._stacked(False).T.gram(), self._stacked(True).T.gram()

    def restricted(self, rows: Sequence[int], columns: Sequence[int]) -> DenseMap:
        """Return the measurements of these rows and columns of a matrix."""
        cells = [i * self.shape[1] + j for i in rows for j in columns]
        part = DenseMap(self.A.restricted(range(self.size), cells), (len(rows), len(columns)))
        part.all_cells = self.all_cells
        return part

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_i A_i``."""
        flat, width = y.T @ self.A, self.shape[1]
        return Matrix([flat.rows[0][k : k + width] for k in range(0, len(flat.rows[0]), width)], flat.unit)

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        X = P @ Q.T
        return self.A @ Matrix([[x] for row in X.rows for x in row], X.unit)

    def derivative(self, L: Matrix, R: Matrix) -> Matrix:
        """Return the matrix (m, r (d1 + d2)) of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        parts = []
        for M in (self._stacked(False) @ L, self._stacked(True) @ R):
            block = len(M.rows) // self.size
            lines = (M.rows[k : k + block] for k in range(0, len(M.rows), block))
            parts.append(Matrix([list(chain(*zip(*line, strict=True))) for line in lines], M.unit))
        return in_blocks([parts])

    def normal(self, L: Matrix, R: Matrix) -> Matrix:
        """Return ``JᵀJ`` for the derivative J."""
        return self.derivative(L, R).T.gram()

    def inner_products(self, symmetric: bool) -> Matrix:
        """Return ``⟨A_i, A_j⟩``; for large A a smaller matrix: the sums over 2m of the cells."""
        total = len(self.all_cells.rows[0])
        count = total if symmetric else min(total, 2 * self.size)
        cells = [j * total // count for j in range(count)]
        return self.all_cells.restricted(range(self.size), cells).gram()


class VectorMap:
    """Sensing matrices ``x_i y_iᵀ``; complex ones ``x_i x_i*`` as ``u_i u_iᵀ + v_i v_iᵀ``, all u_i before all v_i."""

    def __init__(self, left: Matrix, right: Matrix, copies: int = 1) -> None:
        self.left, self.right, self.copies = left, right, copies
        self.shape, self.size = (left.shape[1], right.shape[1]), len(left.rows) // copies

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_i A_i*`` and ``Σ A_i* A_i``."""
        X, Y = self.left, self.right
        return X.T @ X.scaled_rows(_squared_rows(Y)), Y.T @ Y.scaled_rows(_squared_rows(X))

    def restricted(self, rows: Sequence[int], columns: Sequence[int]) -> VectorMap:
        """Return the measurements of these rows and columns of a matrix."""
        X, Y = self.left, self.right
        every = range(len(X.rows))
        return VectorMap(X.restricted(every, rows), Y.restricted(every, columns), self.copies)

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_i A_i``."""
        return self.left.T @ self.right.scaled_rows(Matrix(y.rows * self.copies, y.unit))

    def _summed(self, M: Matrix) -> Matrix:
        """Return the sum of the parts of all u_i and all v_i."""
        parts = [Matrix(M.rows[k : k + self.size], M.unit) for k in range(0, len(M.rows), self.size)]
        return sum(parts[1:], parts[0])

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        X, Y = self.left @ P, self.right @ Q
        sums = [[sum(map(mul, x, y))] for x, y in zip(X.rows, Y.rows, strict=True)]
        return self._summed(Matrix(sums, X.unit * Y.unit))

    def derivative(self, L: Matrix, R: Matrix) -> Matrix:
        """Return the matrix (m, r (d1 + d2)) of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        X, Y = self.left, self.right
        parts = []
        for M, N in ((X @ L, Y), (Y @ R, X)):
            lines = ([x * y for x in row for y in line] for row, line in zip(M.rows, N.rows, strict=True))
            parts.append(self._summed(Matrix(list(lines), M.unit * N.unit)))
        return in_blocks([parts])

    def normal(self, L: Matrix, R: Matrix) -> Matrix:
        """Return ``JᵀJ`` for the derivative J."""
        return self.derivative(L, R).T.gram()

    def inner_products(self, symmetric: bool) -> Matrix:
        """Return ``⟨A_i, A_j⟩`` for real vectors."""
        X, Y = self.left.gram(), self.right.gram()
        return Matrix([list(map(mul, x, y)) for x, y in zip(X.rows, Y.rows, strict=True)], X.unit * Y.unit)


def _squared_rows(M: Matrix) -> Matrix:
    """Return the column of squared lengths of rows."""
    return Matrix([[sum(map(mul, row, row))] for row in M.rows], M.unit**2)


class EntryMap:
    """Entries of a matrix, times weights: ``A_k(X) = w_k X[i_k, j_k]``."""

    def __init__(self, rows: Sequence[int], columns: Sequence[int], weights: Matrix, shape: tuple[int, int]) -> None:
        self.rows, self.columns, self.weights, self.shape, self.size = rows, columns, weights, shape, len(rows)

    @cached_property
    def twice(self) -> bool:
        """Whether some cell is measured twice."""
        return len(set(zip(self.rows, self.columns, strict=True))) < self.size

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_k A_kᵀ`` and ``Σ A_kᵀ A_k``, which are diagonal."""
        sums = [[[0] * d for _ in range(d)] for d in self.shape]
        for i, j, (w,) in zip(self.rows, self.columns, self.weights.rows, strict=True):
            sums[0][i][i] += w * w
            sums[1][j][j] += w * w
        return Matrix(sums[0], self.weights.unit**2), Matrix(sums[1], self.weights.unit**2)

    def restricted(self, rows: Sequence[int], columns: Sequence[int]) -> EntryMap:
        """Return the measurements of these rows and columns of a matrix, which contain all cells."""
        place, other = ({i: k for k, i in enumerate(kept)} for kept in (rows, columns))
        shape = (len(rows), len(columns))
        return EntryMap([place[i] for i in self.rows], [other[j] for j in self.columns], self.weights, shape)

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_k A_k``."""
        dense = [[0] * self.shape[1] for _ in range(self.shape[0])]
        cells = zip(self.rows, self.columns, self.weights.rows, y.rows, strict=True)
        for i, j, (w,), (x,) in cells:
            dense[i][j] += w * x
        return Matrix(dense, self.weights.unit * y.unit)

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        cells = zip(self.rows, self.columns, self.weights.rows, strict=True)
        column = [[w * sum(map(mul, P.rows[i], Q.rows[j]))] for i, j, (w,) in cells]
        return Matrix(column, self.weights.unit * P.unit * Q.unit)

    def normal(self, L: Matrix, R: Matrix) -> Matrix:
        """Return ``JᵀJ`` for the derivative J of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        (d1, d2), r = self.shape, L.shape[1]
        unit = common_unit(L, R)
        left, right = L.in_unit(unit), R.in_unit(unit)
        rows = [[0] * (r * (d1 + d2)) for _ in range(r * (d1 + d2))]
        for i, j, (w,) in zip(self.rows, self.columns, self.weights.rows, strict=True):
            places = [*range(j, r * d2, d2), *range(r * d2 + i, r * (d1 + d2), d1)]
            values = [w * x for x in chain(left[i], right[j])]
            for place, value in zip(places, values, strict=True):
                row = rows[place]
                for other, x in zip(places, values, strict=True):
                    row[other] += value * x
        return Matrix(rows, (self.weights.unit * unit) ** 2)


Measurement = DenseMap | VectorMap | EntryMap


# ---------------------------------------------------------------------------------------------------------------------
# 4. Theorems


@dataclass(frozen=True)
class Growth:
    """Constants of the lemma on uniqueness (`ProductTheorem.growth`): by how much the objective grows away from X̂.

    Attributes
    ----------
    rate : Fraction
        δ', growth for each unit of ``‖H_⊥‖_*``.
    tilt : Fraction
        ε/σ, loss for each unit of ``‖B(H)‖``.
    injectivity : Fraction
        σ, a lower bound on ``‖B(H)‖/‖H‖`` in the tangent space.
    spread : Fraction
        An upper bound on ``‖B(H)‖/‖H‖_*``.
    """

    rate: Fraction
    tilt: Fraction
    injectivity: Fraction
    spread: Fraction


class Theorem:
    """What a proof can say about an instance; each method returns the number that it proves, or raises `Refused`.

    Parameters
    ----------
    model : dict
        The model, as the proof has it.
    measurement : DenseMap, VectorMap or EntryMap
        The map A.
    data : Matrix, shape (m, 1)
        The vector b.
    proof : dict
        ``point``, ``duals`` and ``constants``, with arrays as matrices; a point None is the zero matrix.
    """

    factor: ClassVar[int] = 4
    hermitian: ClassVar[bool] = False

    def __init__(self, model: dict[str, Any], measurement: Measurement, data: Matrix, proof: dict[str, Any]) -> None:
        self.model, self.b, self.steps = model, data, list[str]()
        self.original, self.size = measurement.shape, measurement.size
        self.duals, self.constants, self.point = proof["duals"], proof["constants"], proof["point"]
        self._measure(measurement)
        self._place()

    def _measure(self, measurement: Measurement) -> None:
        """Form G1 and G2, without coordinates that no measurement sees."""
        M1, M2 = measurement.squares()
        self.rows = [i for i, row in enumerate(M1.rows) if row[i]]
        self.columns = [j for j, row in enumerate(M2.rows) if row[j]]
        require(bool(self.rows), "all sensing matrices are zero")
        self.unseen = (self.original[0] - len(self.rows), self.original[1] - len(self.columns))
        self.A = measurement.restricted(self.rows, self.columns) if any(self.unseen) else measurement
        self.M1, self.M2 = M1.restricted(self.rows, self.rows), M2.restricted(self.columns, self.columns)
        self.G1, self.G2 = self._metrics()

    def _metrics(self) -> tuple[Matrix, Matrix]:
        """Return G1 and G2, or G twice."""
        (d1, d2), m = (1, 1) if self.hermitian else self.original, self.size
        if self.model["metric_power"] == 1:
            return Fraction(1, m * d2) * self.M1, Fraction(1, m * d1) * self.M2
        mean = self.M1.trace() / (m * d2 * self.original[0])
        return Matrix.identity(len(self.rows), mean), Matrix.identity(len(self.columns), mean)

    def _place(self) -> None:
        """Form X̂ = L C Rᵀ, its measurements b̂ and the residual b − b̂."""
        if self.point is None:
            require(self.b.is_zero(), "the point is zero, so all data must be zero")
            return
        self.L, self.C, self.R = self._factors()
        sides = (self.L, set(self.rows)), (self.R, set(self.columns))
        self.vanishes_outside = not any(any(row) for M, seen in sides for i, row in enumerate(M.rows) if i not in seen)
        self.L = self.L.restricted(self.rows, range(self.L.shape[1]))
        self.R = self.R.restricted(self.columns, range(self.R.shape[1]))
        self.fit = self.A.forward(self.L @ self.C, self.R)
        self.residual = self.b - self.fit

    def _factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return the basis L of the columns, the core C and the basis R of the rows of X̂."""
        raise NotImplementedError

    def constant(self, name: str, positive: bool = True) -> Fraction:
        """Return a constant of the proof, which the caller must test."""
        if name not in self.constants:
            raise Refused(f"the constant {name!r} is missing")
        value: Fraction = self.constants[name]
        require(value > 0 or (value == 0 and not positive), f"the constant {name!r} is {float(value):g}, not positive")
        return value

    def test(self, holds: bool, what: str) -> None:
        """Note that a matrix inequality was proved, or refuse the proof."""
        require(holds, f"this was not proved: {what}")
        if what not in self.steps:
            self.steps.append(what)

    # -- The value

    def admissible_value(self) -> Fraction:
        """Return ``⟨b, λ⟩`` for a λ, whose matrix ``A*(λ)`` has been tested."""
        raise NotImplementedError

    def nuclear_norm(self) -> Fraction:
        """Return an upper bound on ``‖D1 X̂ D2‖_*``."""
        raise NotImplementedError

    def correction(self) -> Fraction:
        """Return an upper bound on the least ``‖D1 E D2‖_*`` with ``A(E) = b − b̂``."""
        raise NotImplementedError

    @property
    def alpha(self) -> Fraction:
        """The weight of the scaled trace in a penalised objective."""
        return Fraction(float.fromhex(self.model["alpha"]))

    @cached_property
    def lower(self) -> Fraction:
        """The lower bound: ``f ⟨b, λ⟩`` for exact fits, with f = 4 for products and 8 for Hermitian matrices.

        With a penalty, ``(1/m)‖v − b‖² + α f ⟨λ, v⟩`` is minimised over ``v = A(X)``: it is at least
        ``α f ⟨λ, b⟩ − m α² f² ‖λ‖²/4``.
        """
        if self.point is None:
            return Fraction(0)
        value = self.factor * self.admissible_value()
        if self.model["objective"] != "penalised":
            return value
        dual = self.value_dual()
        return self.alpha * value - self.size * (self.alpha * self.factor) ** 2 * dual.dot(dual) / 4

    @cached_property
    def upper(self) -> Fraction:
        """The upper bound: ``f ‖D1 (X̂ + E) D2‖_*`` where ``X̂ + E`` fits exactly, or the objective at X̂."""
        if self.point is None:
            return Fraction(0)
        if self.model["objective"] == "penalised":
            return self.residual.dot(self.residual) / self.size + self.alpha * self.factor * self.nuclear_norm()
        return self.factor * (self.nuclear_norm() + (0 if self.residual.is_zero() else self.correction()))

    def value_dual(self) -> Matrix:
        """Return λ for the value."""
        require("value" in self.duals, "the dual vector 'value' is missing")
        dual: Matrix = self.duals["value"]
        return dual

    def uniqueness_dual(self) -> Matrix:
        """Return λ for uniqueness."""
        return self.duals["uniqueness"] if "uniqueness" in self.duals else self.value_dual()

    # -- Uniqueness

    @cached_property
    def growth(self) -> Growth:
        """The constants of the lemma on uniqueness, all tested, with a positive rate."""
        raise NotImplementedError

    def backward(self) -> Fraction:
        """Return an upper bound on ``‖b̂ − b‖/‖b‖`` once X̂ is proved to be the unique minimum for b̂."""
        require(self.model["objective"] != "penalised", "uniqueness of penalised minima is not a statement of proofs")
        if self.point is None:
            self.metric_bounds()
            return Fraction(0)
        require(self.vanishes_outside, "X̂ does not vanish in rows or columns that no measurement sees")
        require(self.growth.rate > 0, "no growth was proved")
        change, size = self.change(), self.b.dot(self.b)
        require(size > 0 or change.is_zero(), "the data are zero, but X̂ does not fit them")
        return root_above(change.dot(change) / size) if size else size

    def change(self) -> Matrix:
        """Return b − b̂."""
        return self.residual

    def radius(self, level: Fraction) -> Fraction:
        """Return an upper bound on ``‖X' − X̂‖`` for all X' of this level."""
        raise NotImplementedError

    def metric_bounds(self) -> tuple[Fraction, Fraction]:
        """Return g1 and g2 with ``G1 ⪰ g1 I`` and ``G2 ⪰ g2 I``; twice the constant g1 if G1 = G2."""
        names = ("g1", "g1") if self.hermitian else ("g1", "g2")
        return self._bounded_below(self.G1, names[0]), self._bounded_below(self.G2, names[1])

    def _bounded_below(self, G: Matrix, name: str) -> Fraction:
        least = self.constant(name)
        self.test(is_semidefinite(G - Matrix.identity(len(G.rows), least)), f"{name.upper()} ⪰ {name} I, {name} > 0")
        return least


class ProductTheorem(Theorem):
    """Theorems on ``X = L Rᵀ``."""

    def _factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return ``L T1``, ``T1⁻¹ C T2⁻ᵀ`` and ``R T2``: whatever T1 and T2 are, X̂ is the same."""
        L, C, R = (self.point[name] for name in ("L", "C", "R"))
        if "T1" in self.point:
            C, L = inverse(self.point["T1"]) @ C, L @ self.point["T1"]
        if "T2" in self.point:
            C, R = C @ inverse(self.point["T2"]).T, R @ self.point["T2"]
        return L, C, R

    def admissible_value(self) -> Fraction:
        """Return ``⟨b, λ⟩ ≤ ‖D1 X D2‖_*`` for all X that fit.

        With ``Λ = A*(λ)`` and ``[[G1, −Λ], [−Λᵀ, G2]] ⪰ 0``, the columns of (L; R) give
        ``0 ≤ ‖D1 L‖² + ‖D2 R‖² − 2 ⟨Λ, L Rᵀ⟩``, and ``⟨Λ, L Rᵀ⟩ = ⟨λ, b⟩``. So the scaled trace is at least 4 ⟨b, λ⟩.
        """
        self._test_value_dual()
        return self.b.dot(self.value_dual())

    def _test_value_dual(self) -> None:
        Y = self.A.adjoint(self.value_dual())
        self.test(dominates(self.G1, Y, self.G2), "[[G1, −Λ], [−Λᵀ, G2]] ⪰ 0 with Λ = A*(λ)")

    def nuclear_norm(self) -> Fraction:
        """Return the smaller of two upper bounds on ``‖D1 X̂ D2‖_*``.

        ``‖P‖² ≤ 1 + η_a`` for ``P = D1 L`` and ``η_a = ‖LᵀG1L − I‖``, likewise for ``Q = D2 R``. If the symmetric part
        C_s of the core is ⪰ 0 and C_k is its skew part, then ``‖P C Qᵀ‖_*`` is at most
        ``√((1 + η_a)(1 + η_c)) (tr C_s + r ‖C_k‖)``. Besides, ``‖D1 L' Rᵀ D2‖_* ≤ (‖D1 L'‖² + ‖D2 R‖²)/2``, L' = L C.
        """
        a, c, r = *self.grams, self.C.shape[0]
        bound = ((self.C.T @ a @ self.C).trace() + c.trace()) / 2
        if "core" in self.constants:
            near = root_above((1 + self.defect(a)) * (1 + self.defect(c)))
            self.core_bound()
            bound = min(bound, near * (self.C.trace() + r * self.skew_part().norm()))
        return bound

    @cached_property
    def grams(self) -> tuple[Matrix, Matrix]:
        """The matrices ``a = LᵀG1L`` and ``c = RᵀG2R``."""
        return self.L.T @ self.G1 @ self.L, self.R.T @ self.G2 @ self.R

    def defect(self, a: Matrix) -> Fraction:
        """Return ``‖a − I‖``."""
        return (a - Matrix.identity(len(a.rows))).norm()

    def skew_part(self) -> Matrix:
        """Return the skew part of the core."""
        return Fraction(1, 2) * (self.C - self.C.T)

    def core_bound(self) -> Fraction:
        """Return the constant ``core`` after the test that the symmetric part of the core is at least that."""
        core = self.constant("core")
        shifted_core = Fraction(1, 2) * (self.C + self.C.T) - Matrix.identity(len(self.C.rows), core)
        self.test(is_semidefinite(shifted_core), "the core of X̂ has a positive definite symmetric part")
        return core

    def correction(self) -> Fraction:
        """Return an upper bound on the least ``‖D1 E D2‖_*`` with ``A(E) = b − b̂``.

        Cells: E consists of the misfits. Otherwise ``K = (⟨A_i, A_j⟩) ⪰ g I`` with g > 0, so that
        ``E = A*(K⁻¹(b − b̂))`` exists and ``‖E‖ ≤ ‖b − b̂‖/√g``; then
        ``‖D1 E D2‖_* ≤ √min(d1, d2) √(‖G1‖ ‖G2‖) ‖E‖``.
        """
        if isinstance(self.A, EntryMap):
            require(not self.A.twice, "a cell is measured twice, so that the misfits are not the cells of one matrix")
            roots = [[root_above(G.rows[i][i] * G.unit) for i in range(len(G.rows))] for G in (self.G1, self.G2)]
            left, right = (Matrix.of_fractions([line]) for line in roots)
            w, misfit, total = self.A.weights, self.residual, 0
            for i, j, (weight,), (x,) in zip(self.A.rows, self.A.columns, w.rows, misfit.rows, strict=True):
                total -= -(abs(x) * left.rows[0][i] * right.rows[0][j] << 64) // abs(weight)
            return total * misfit.unit * left.unit * right.unit / w.unit / 2**64
        g, K = self.constant("range_g"), self.A.inner_products(isinstance(self, SymmetricTheorem))
        self.test(is_semidefinite(K - Matrix.identity(self.size, g)), "(⟨A_i, A_j⟩) ⪰ g I with g > 0")
        largest_metric = self.G1.row_norm() * self.G2.row_norm()
        return root_above(min(self.A.shape) * largest_metric * self.residual.dot(self.residual) / g)

    # -- The lemma. T is the tangent space at Z = D1 X̂ D2 = P C Qᵀ, P = D1 L, Q = D2 R, and B(H) = A(D1⁻¹ H D2⁻¹).

    @cached_property
    def growth(self) -> Growth:
        """The constants of the lemma, all tested.

        Lemma. For all H with parts H_T in T and H_⊥ orthogonal to it,

            ‖Z + H‖_* − ‖Z‖_* ≥ ⟨λ, B(H)⟩ − ε ‖H_T‖ + δ ‖H_⊥‖_*,    ‖H_T‖ ≤ (‖B(H)‖ + spread ‖H_⊥‖_*)/σ.

        Proof. Let ``U Vᵀ`` be the polar factor of Z and ``Y = D1⁻¹ A*(λ) D2⁻¹``. There is a subgradient ``U Vᵀ + W``
        of the norm at Z with ``⟨W, H⟩ = ‖H_⊥‖_*``, and ``⟨λ, B(H)⟩ = ⟨Y, H⟩``. So the left side is at least
        ``⟨λ, B(H)⟩ − ⟨P_T(Y) − U Vᵀ, H_T⟩ + ‖H_⊥‖_* − ⟨Y, H_⊥⟩``. Bounds: ``‖P_T(Y) − U Vᵀ‖ ≤ ε`` (`tilt`), the norm of
        Y on the orthogonal complement is at most 1 − δ (`test_margin`), ``‖B(H)‖ ≥ σ ‖H‖`` in T (`injectivity`) and
        ``‖B(H)‖ ≤ spread ‖H‖_*`` (`spread`). ∎

        Hence the norm grows by ``⟨λ, B(H)⟩ − ε ‖B(H)‖/σ + δ' ‖H_⊥‖_*`` with ``δ' = δ − ε spread/σ``. If δ' > 0, X̂ is
        the unique minimum for the data b̂: ``B(H) = 0`` without growth gives H_⊥ = 0, then H_T = 0.
        """
        g1, g2 = self.metric_bounds()
        Y = self.A.adjoint(self.uniqueness_dual())
        delta = self.test_margin(Y)
        sigma = self.injectivity()
        ratio = self.tilt(Y, g1, g2) / sigma
        spread = self.spread(g1, g2)
        rate = self.rate(delta, ratio, spread)
        self.test(rate > 0, f"growth δ − ε spread/σ > 0, with δ = {shown(delta, 3)} and ε/σ = {shown(ratio, 3)}")
        return Growth(rate, ratio, sigma, spread)

    def rate(self, delta: Fraction, ratio: Fraction, spread: Fraction) -> Fraction:
        """Return ``δ' = δ − ε spread/σ``."""
        return delta - ratio * spread

    def test_margin(self, Y: Matrix) -> Fraction:
        """Return δ with ``‖(I − Π1) D1⁻¹ Λ D2⁻¹ (I − Π2)‖ ≤ 1 − δ``, Π1 and Π2 the projections on ranges of P and Q.

        If ``[[(1−δ)G1 + G1LLᵀG1, −Λ], [−Λᵀ, (1−δ)G2 + G2RRᵀG2]] ⪰ 0``, take p, q with LᵀG1p = 0 and RᵀG2q = 0: then
        ``2 pᵀΛq ≤ (1−δ)(pᵀG1p + qᵀG2q)``, and D1 p, D2 q are any vectors orthogonal to P and Q.
        """
        delta = self.constant("delta")
        require(delta <= 1, "the constant 'delta' is above 1")
        blocks = [(1 - delta) * G + (G @ M).gram() for G, M in ((self.G1, self.L), (self.G2, self.R))]
        what = "[[(1−δ)G1 + G1LLᵀG1, −Λ], [−Λᵀ, (1−δ)G2 + G2RRᵀG2]] ⪰ 0 with δ > 0"
        self.test(is_semidefinite(in_blocks([[blocks[0], -Y], [-Y.T, blocks[1]]])), what)
        return delta

    def injectivity(self) -> Fraction:
        """Return σ with ``‖B(H)‖ ≥ σ ‖H‖`` in T.

        H in T is ``P (D2E)ᵀ + (D1F) Qᵀ`` with LᵀG1F = 0. The two terms are orthogonal, so that
        ``‖H‖² = tr(a EᵀG2E) + tr(c FᵀG1F) ≤ (1+η)(tr EᵀG2E + tr FᵀG1F)`` with η ≥ η_a, η_c. The test is
        ``JᵀJ + γ diag(0, I ⊗ G1LLᵀG1) ⪰ σ² (1+η) diag(I ⊗ G2, I ⊗ G1)``, J the map ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``; the
        term with γ vanishes at this E and F.
        """
        square, gamma, r = self.constant("sigma2"), self.constant("gamma", False), self.L.shape[1]
        eta = max(map(self.defect, self.grams))
        less = square * (1 + eta)
        blocks = [-less * self.G2] * r + [gamma * (self.G1 @ self.L).gram() - less * self.G1] * r
        what = "JᵀJ + γ I⊗G1LLᵀG1 ⪰ σ²(1+η) diag(I⊗G2, I⊗G1) with σ > 0, J the derivative of A(LRᵀ)"
        self.test(is_semidefinite(self.free_cells().normal(self.L, self.R) + block_diagonal(blocks)), what)
        return root_below(square)

    def free_cells(self) -> Measurement:
        """Return the map whose injectivity on T is tested."""
        return self.A

    def tilt(self, Y: Matrix, g1: Fraction, g2: Fraction) -> Fraction:
        """Return ``ε ≥ ‖P_T(Y) − U Vᵀ‖``.

        ``‖P_T(M)‖² ≤ ‖Π1 M‖² + ‖M Π2‖²`` with M = Y − P Qᵀ. Here ``‖Π1 M‖² = tr(a⁻¹ E1 G2⁻¹ E1ᵀ)`` with
        ``E1 = LᵀΛ − a RᵀG2``, at most ``‖E1‖²/((1−η_a) g2)``; likewise ``E2 = ΛR − G1L c``. And
        ``‖P Qᵀ − U Vᵀ‖ ≤ 2Δ/core + τ`` with ``τ = η_a(1+η_c) + η_c`` and ``Δ = τ ‖C‖ + ‖C_k‖``: with the polar form
        ``z = a^½ C c^½ = O h`` and ``z = C_s + N``, ``‖N‖ ≤ Δ``, the matrix O − I solves the Sylvester equation
        ``C_s(O−I) + (O−I)h = N − NᵀO`` with C_s ⪰ core I and h ⪰ 0, and ``‖a^½ c^½ − I‖ ≤ τ``.
        """
        a, c = self.grams
        eta_a, eta_c = self.defect(a), self.defect(c)
        require(max(eta_a, eta_c) < 1, "the bases L and R of the point are not nearly orthonormal")
        E1 = self.L.T @ Y - a @ (self.G2 @ self.R).T
        E2 = Y @ self.R - self.G1 @ self.L @ c
        distance = root_above(E1.dot(E1) / ((1 - eta_a) * g2) + E2.dot(E2) / ((1 - eta_c) * g1))
        tau = eta_a * (1 + eta_c) + eta_c
        return distance + 2 * (tau * self.C.norm() + self.skew_part().norm()) / self.core_bound() + tau

    def spread(self, g1: Fraction, g2: Fraction) -> Fraction:
        """Return an upper bound on ``‖B(H)‖/‖H‖_*``.

        It suffices to take ``H = (D1u)(D2v)ᵀ``: ``Σ (uᵀA_iv)²`` is at most ``|v|² uᵀ(ΣA_iA_iᵀ)u`` and
        ``|u|² vᵀ(ΣA_iᵀA_i)v``, with |u|² ≤ |D1u|²/g1, |v|² ≤ |D2v|²/g2. With metric_power 1, ΣA_iA_iᵀ = m d2 G1.
        """
        (d1, d2), m = self.original, self.size
        if self.model["metric_power"] == 1:
            return root_above(min(m * d2 / g2, m * d1 / g1))
        return root_above(min(self.M1.row_norm(), self.M2.row_norm()) / (g1 * g2))

    def radius(self, level: Fraction) -> Fraction:
        """Return a bound on ``‖X' − X̂‖`` for all X' that fit b with scaled trace at most ``level``.

        With H = Z' − Z, B(H) = b − b̂ = res. The lemma and ``‖Z‖_* ≥ ⟨λ_V, b̂⟩``, for the dual vector of the value, give
        ``h = ‖H_⊥‖_* ≤ (level/f − ⟨λ_V, b̂⟩ − ⟨λ, res⟩ + ε ‖res‖/σ)/δ'`` and ``w = ‖H_T‖ ≤ (‖res‖ + spread h)/σ``. Last,
        ``‖X' − X̂‖ ≤ √(w² + h²)/√(g1 g2)``.
        """
        self.backward()
        require(self.point is not None, "a radius is not a statement about zero data")
        self._test_value_dual()
        growth, (g1, g2), misfit = self.growth, self.metric_bounds(), self.residual.norm()
        excess = level / self.factor - self.value_dual().dot(self.fit) - self.uniqueness_dual().dot(self.residual)
        h = max(Fraction(0), excess + growth.tilt * misfit) / growth.rate
        w = (misfit + growth.spread * h) / growth.injectivity
        return root_above((w * w + h * h) / (g1 * g2))


class SymmetricTheorem(ProductTheorem):
    """Theorems on symmetric ``X = U C Uᵀ``, written as ``L C' Rᵀ`` with L = U, R = U Σ, C' = C Σ, Σ = sign(diag C)."""

    factor, hermitian = 8, True

    def _factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return ``U T``, ``T⁻¹ C T⁻ᵀ Σ`` and ``U T Σ``."""
        U, C = self.point["U"], self.point["C"]
        require(C.is_symmetric(), "the core C is not symmetric")
        if "T" in self.point:
            back = inverse(self.point["T"])
            U, C = U @ self.point["T"], back @ C @ back.T
        signs = [1 if row[i] >= 0 else -1 for i, row in enumerate(C.rows)]
        R, core = (Matrix([list(map(mul, row, signs)) for row in M.rows], M.unit) for M in (U, C))
        return U, core, R

    def _test_value_dual(self) -> None:
        """Test ``−G ⪯ Λ ⪯ G``, so that ``8 tr(G(U₊U₊ᵀ + U₋U₋ᵀ)) ≥ 8 ⟨Λ, U₊U₊ᵀ − U₋U₋ᵀ⟩ = 8 ⟨λ, b⟩``."""
        Y = self.A.adjoint(self.value_dual())
        self.test(is_semidefinite(self.G1 - Y) and is_semidefinite(self.G1 + Y), "−G ⪯ Λ ⪯ G with Λ = A*(λ)")

    def test_margin(self, Y: Matrix) -> Fraction:
        """Return δ with ``|pᵀΛp| ≤ (1−δ) pᵀGp`` for all p with UᵀGp = 0."""
        delta = self.constant("delta")
        require(delta <= 1, "the constant 'delta' is above 1")
        bound = (1 - delta) * self.G1 + (self.G1 @ self.L).gram()
        what = "−(1−δ)G − GUUᵀG ⪯ Λ ⪯ (1−δ)G + GUUᵀG with δ > 0"
        self.test(is_semidefinite(bound - Y) and is_semidefinite(bound + Y), what)
        return delta

    def injectivity(self) -> Fraction:
        """Return σ with ``‖B(H)‖ ≥ σ ‖H‖`` for symmetric H in T.

        H is ``P (DE)ᵀ + (DE) Pᵀ``, and E can be chosen with UᵀGE symmetric, by adding U K with a skew K. Then
        ``‖H‖² ≤ 4 ‖P‖² tr EᵀGE`` and ``‖P‖² ≤ 1 + η``. The test is ``JᵀJ + γ Q ⪰ 4 σ² (1+η) I ⊗ G`` with J the map
        ``E ↦ A(U Eᵀ + E Uᵀ)`` and Q the squared norm of the skew part of UᵀGE, which vanishes.
        """
        square = self.constant("sigma2")
        less = 4 * square * (1 + self.defect(self.grams[0]))
        J = both_sides(self.A, self.L)
        skew = self.constant("gamma", False) * skew_square([self.G1 @ self.L])
        what = "JᵀJ + γ ‖skew part of UᵀGE‖² ⪰ 4σ²(1+η) I⊗G with σ > 0, J the derivative of A(UCUᵀ)"
        self.test(is_semidefinite(J.T.gram() + skew - block_diagonal([less * self.G1] * self.L.shape[1])), what)
        return root_below(square)

    def spread(self, g1: Fraction, g2: Fraction) -> Fraction:
        """Return an upper bound on ``‖B(H)‖/‖H‖_*``, as for `ProductTheorem`, with ``ΣA_i² = m G``."""
        if self.model["metric_power"] == 1:
            return root_above(self.size / g1)
        return root_above(self.M1.row_norm() / (g1 * g1))


def both_sides(A: Measurement, U: Matrix) -> Matrix:
    """Return the matrix of ``E ↦ A(U E* + E U*)`` for Hermitian sensing matrices, in real unknowns."""
    assert not isinstance(A, EntryMap)
    J = A.derivative(U, U)
    half = J.shape[1] // 2
    return 2 * J.restricted(range(J.shape[0]), range(half))


def skew_square(parts: list[Matrix]) -> Matrix:
    """Return the matrix of the quadratic form ``E ↦ ‖skew part of U*E‖²`` in columns of E, one after the other.

    The first part is U, real of height D; the second, for complex U, is the real form of i U. Then Re (U*E)_cd is
    ``u_c · e_d`` and Im (U*E)_cd is ``v_c · e_d``. The skew part has ½ (u_c · e_d − u_d · e_c) and
    ½ (v_c · e_d + v_d · e_c) at the places cd and dc.
    """
    (D, r), unit = parts[0].shape, parts[0].unit
    pairs: Rows = []
    for part, sign in zip(parts, (-1, 1), strict=False):
        columns = part.T.rows
        for c in range(r):
            for d in range(c + 1, r):
                row = [0] * (D * r)
                row[c * D : (c + 1) * D] = [sign * x for x in columns[d]]
                row[d * D : (d + 1) * D] = columns[c]
                pairs.append(row)
    square = Fraction(1, 2) * Matrix(pairs, unit).T.gram() if pairs else Matrix([[0] * (D * r)] * (D * r))
    for part in parts[1:]:
        columns = part.T.rows
        square += block_diagonal([Matrix([[x] for x in column], unit).gram() for column in columns])
    return square


class SplitTheorem(ProductTheorem):
    """Theorems on a table ``Y = X + S`` with sparse S: the cost of a split is ``‖X‖_* + weight Σ |Y − X|``, G = I."""

    factor = 1

    def _measure(self, measurement: Measurement) -> None:
        (d1, d2), self.A, self.unseen = self.original, measurement, (0, 0)
        self.rows, self.columns = list(range(d1)), list(range(d2))
        self.G1, self.G2 = Matrix.identity(d1), Matrix.identity(d2)

    @property
    def weight(self) -> Fraction:
        """The cost of a unit of error."""
        return Fraction(float.fromhex(self.model["weight"]))

    def _test_value_dual(self) -> None:
        """Test ``‖W‖ ≤ 1`` and ``|W_ij| ≤ weight``: then ``⟨W, Y⟩ = ⟨W, X⟩ + ⟨W, Y − X⟩`` is at most the cost."""
        super()._test_value_dual()
        dual = self.value_dual()
        self.test(largest(dual.rows) * dual.unit <= self.weight, "|W_ij| ≤ weight in all observed cells")

    @cached_property
    def upper(self) -> Fraction:
        """The cost of the split ``X̂, Y − X̂``."""
        if self.point is None:
            return Fraction(0)
        errors = sum(abs(x) for (x,) in self.residual.rows) * self.residual.unit
        return self.nuclear_norm() + self.weight * errors

    @cached_property
    def sparse(self) -> Matrix:
        """The errors Ŝ in the observed cells."""
        require("S" in self.point, "the point has no errors 'S'")
        place = {cell: k for k, cell in enumerate(zip(*self._cells(), strict=True))}
        rows, columns, values = self.point["S"]
        column = [[0] for _ in range(self.size)]
        for i, j, (x,) in zip(rows, columns, values.rows, strict=True):
            require((i, j) in place, "the errors 'S' have a cell that is not observed")
            require(x != 0 and column[place[i, j]] == [0], "the errors 'S' have a cell that is zero or given twice")
            column[place[i, j]] = [x]
        return Matrix(column, values.unit)

    def _cells(self) -> tuple[Sequence[int], Sequence[int]]:
        assert isinstance(self.A, EntryMap)
        return self.A.rows, self.A.columns

    def free_cells(self) -> EntryMap:
        """Return the observed cells without errors, whose injectivity on T is tested."""
        kept = [k for k, (x,) in enumerate(self.sparse.rows) if x == 0]
        require(bool(kept), "all observed cells have errors")
        rows, columns = self._cells()
        return EntryMap([rows[k] for k in kept], [columns[k] for k in kept], Matrix([[1]] * len(kept)), self.A.shape)

    def metric_bounds(self) -> tuple[Fraction, Fraction]:
        """Return 1 and 1: the metric is the identity."""
        return Fraction(1), Fraction(1)

    def rate(self, delta: Fraction, ratio: Fraction, spread: Fraction) -> Fraction:
        """Return ``min(δ, κ) − ε/σ``.

        Let F be the observed cells without errors, O all observed cells, and W the dual, zero elsewhere, with
        ``W = weight sign(Ŝ)`` at the errors and ``|W| ≤ weight − κ`` in F. Then the cost of ``X̂ + H, Ŝ − H`` exceeds
        that of ``X̂, Ŝ`` by at least

            ⟨UVᵀ, H⟩ + ‖H_⊥‖_* − weight ⟨sign Ŝ, H⟩ + weight ‖H_F‖_1  ≥  δ ‖H_⊥‖_* + κ ‖H_F‖_1 − ε ‖H_T‖,

        since ``weight ⟨sign Ŝ, H⟩ ≤ ⟨W, H⟩ + (weight − κ) ‖H_F‖_1`` and ⟨W, H⟩ is bounded as in the lemma. In T,
        ``‖H_F‖ ≥ σ ‖H‖``, so ``σ ‖H_T‖ ≤ ‖H_F‖_1 + ‖H_⊥‖_*``. If the rate is positive, no growth means H_F = 0,
        H_⊥ = 0, hence H = 0, in unobserved cells too.
        """
        kappa, W = self.constant("kappa"), self.uniqueness_dual()
        for (w,), (x,) in zip(W.rows, self.sparse.rows, strict=True):
            if x:
                require(w * W.unit == (self.weight if x > 0 else -self.weight), "W differs from weight sign(S) at S")
            else:
                require(abs(w) * W.unit <= self.weight - kappa, "|W_ij| ≤ weight − κ fails in a cell without error")
        self.test(True, "W = weight sign(Ŝ) at errors, |W_ij| ≤ weight − κ in other observed cells, with κ > 0")
        return min(delta, kappa) - ratio

    def spread(self, g1: Fraction, g2: Fraction) -> Fraction:
        """Return 1: the norm of some cells of H is at most the nuclear norm of H."""
        return Fraction(1)

    def change(self) -> Matrix:
        """Return ``Y − X̂ − Ŝ`` in observed cells."""
        return self.residual - self.sparse

    def radius(self, level: Fraction) -> Fraction:
        """Refuse: there is no such statement."""
        raise Refused("a radius is not a statement about splits of tables")


class SemidefiniteTheorem(Theorem):
    """Theorems on ``X = U U* ⪰ 0``, real or complex."""

    factor, hermitian = 8, True

    @property
    def trace_is_determined(self) -> bool:
        """Whether all fits are equally flat: for vectors, ``tr(GX) = (1/m) Σ |x_i|² x_i*Xx_i``."""
        return isinstance(self.A, VectorMap) and self.model["metric_power"] == 1

    def _factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return U, C ⪰ 0 and U; in the complex case real forms, and C/2 since ``u u* + v v*`` counts X̂ twice."""
        U = self.point["U"]
        C = self.point.get("C", Matrix.identity(U.shape[1]))
        if "C" in self.point:
            self.test(is_semidefinite(C), "the core C of X̂ is ⪰ 0")
        return U, Fraction(1, 2 if self.model["complex"] else 1) * C, U

    def admissible_value(self) -> Fraction:
        """Return ``⟨b, λ⟩ ≤ tr(GX)`` for all X ⪰ 0 that fit, as ``Λ = A*(λ) ⪯ G``; by default ``λ_i = |x_i|²/m``."""
        if "value" in self.duals:
            what = "Λ ⪯ G with Λ = A*(λ)"
            self.test(is_semidefinite(self.G1 - self.A.adjoint(self.value_dual())), what)
        return self.b.dot(self.value_dual())

    def value_dual(self) -> Matrix:
        """Return λ for the value; if the proof has none, the one with Λ = G."""
        if "value" in self.duals or not self.trace_is_determined:
            return super().value_dual()
        assert isinstance(self.A, VectorMap)
        squares = _squared_rows(self.A.left)
        return Fraction(1, self.size) * Matrix(squares.rows[: self.size], squares.unit)

    def nuclear_norm(self) -> Fraction:
        """Return ``tr(G X̂)``."""
        return (self.L.T @ self.G1 @ self.L @ self.C).trace()

    def correction(self) -> Fraction:
        """Refuse: ``X̂ + E`` need not be positive semidefinite."""
        raise Refused("X̂ does not fit the data exactly, which an upper bound for semidefinite matrices needs")

    @cached_property
    def parts(self) -> list[Matrix]:
        """The matrix U as real columns; for complex U, those of i U too."""
        height, width = self.L.shape
        r = width // 2 if self.model["complex"] else width
        return [self.L.restricted(range(height), range(k, k + r)) for k in range(0, width, r)]

    @cached_property
    def growth(self) -> Growth:
        """The constants of the lemma, all tested.

        Lemma. Let X' ⪰ 0, H = X' − X̂, H_T its part in ``T = {U E* + E U*}``, and H_⊥ ⪰ 0 the rest, Π the projection on
        the range of U. If ``W + c U U* ⪰ t I``, then

            ⟨W, H⟩ ≥ t tr H_⊥ − ε ‖H_T‖,    ‖H_T‖ ≤ (‖A(H)‖ + spread tr H_⊥)/σ,    ε² = 2 ‖W U‖²/u,  U*U ⪰ u I.

        Proof. ``v*Wv ≥ t |v|²`` if U*v = 0. And ``‖P_T(W)‖² ≤ 2 ‖W Π‖²``, ``‖W Π‖² = tr(U*W²U (U*U)⁻¹)``. ∎

        With ``W = A*(λ)``, ``⟨W, H⟩ = ⟨λ, A(H)⟩``. With ``W = G − A*(λ)``, ``⟨W, H⟩ = tr(GX') − tr(GX̂) − ⟨λ, A(H)⟩``.
        In both cases A(H) = 0 without growth and ``t > ε spread/σ`` give H_⊥ = 0, then H_T = 0.
        """
        W = self.A.adjoint(self.uniqueness_dual())
        W, name = (W, "A*(λ)") if self.trace_is_determined else (self.G1 - W, "G − A*(λ)")
        t, c, order = self.constant("t"), self.constant("c", False), len(W.rows)
        margin = W + c * self.L.gram() - Matrix.identity(order, t)
        self.test(is_semidefinite(margin), f"W + c UU* ⪰ t I with W = {name} and t > 0")
        u, inner = self.constant("u"), self.L.T.gram()
        self.test(is_semidefinite(inner - Matrix.identity(len(inner.rows), u)), "U*U ⪰ u I with u > 0")
        sigma, turned = self.injectivity(), W @ self.parts[0]
        ratio = root_above(2 * turned.dot(turned) / u) / sigma
        # |A(vv*)|² = Σ (v*A_iv)² ≤ |v|² Σ |A_iv|² ≤ ‖ΣA_i²‖ |v|⁴, so this is at most spread² (tr vv*)²
        spread = root_above(self.M1.row_norm())
        rate = t - ratio * spread
        self.test(rate > 0, f"growth t − ε spread/σ > 0, with t = {shown(t, 3)} and ε/σ = {shown(ratio, 3)}")
        return Growth(rate, ratio, sigma, spread)

    def injectivity(self) -> Fraction:
        """Return σ with ``‖A(H)‖ ≥ σ ‖H‖`` in T, as for `SymmetricTheorem`, with ``‖H‖² ≤ 4 ‖U‖² ‖E‖²``."""
        square = self.constant("sigma2")
        U = self.parts[0]
        less = 4 * square * U.dot(U)
        J = both_sides(self.A, U)
        skew = self.constant("gamma", False) * skew_square(self.parts)
        what = "JᵀJ + γ ‖skew part of U*E‖² ⪰ 4σ²‖U‖² I with σ > 0, J the derivative of A(UU*)"
        self.test(is_semidefinite(J.T.gram() + skew - Matrix.identity(J.shape[1], less)), what)
        return root_below(square)

    def radius(self, level: Fraction) -> Fraction:
        """Return a bound on ``‖X' − X̂‖`` for all X' ⪰ 0 with ``‖A(X') − b‖ ≤ level``.

        ``‖A(H)‖ ≤ η = level + ‖b − b̂‖`` and the lemma give ``tr H_⊥ ≤ h = (‖λ‖ η + ε η/σ)/(t − ε spread/σ)``, and
        ``‖H‖² ≤ ((η + spread h)/σ)² + h²``.
        """
        self.backward()
        require(self.point is not None, "a radius is not a statement about zero data")
        require(self.trace_is_determined, "a radius with noise needs measurements by vectors and metric_power 1")
        growth, eta = self.growth, level + self.residual.norm()
        h = (self.uniqueness_dual().norm() + growth.tilt) * eta / growth.rate
        w = (eta + growth.spread * h) / growth.injectivity
        return root_above(w * w + h * h)


# ---------------------------------------------------------------------------------------------------------------------
# 5. Files


@dataclass(frozen=True)
class Array:
    """Numbers of a file, row by row; the imaginary parts are None for real ones, and NaN occurs only if allowed."""

    shape: tuple[int, ...]
    real: Sequence[float]
    imaginary: Sequence[float] | None
    integer: bool

    @property
    def matrix(self) -> Matrix:
        """A real array as a matrix: the first axis counts rows, and vectors are columns."""
        return Matrix.of(self.real, prod(self.shape[1:]))

    @property
    def real_form(self) -> Matrix:
        """A complex matrix M as ``[[Re M, −Im M], [Im M, Re M]]``."""
        columns, count = prod(self.shape[1:]), len(self.real)
        both = Matrix.of([*self.real, *(self.imaginary or [0] * count)], columns)
        half = count // columns
        real, imaginary = (Matrix(rows, both.unit) for rows in (both.rows[:half], both.rows[half:]))
        return in_blocks([[real, -imaginary], [imaginary, real]])


def decoded(data: bytes, kind: str, shape: tuple[int, ...], name: str, missing: bool = False) -> Array:
    """Return an array from its bytes and a type such as ``<f8``."""
    found = re.fullmatch(r"([<>|])([fciub])([0-9]{1,2})", kind)
    letters = {"f": "efd", "c": " fd", "i": "bhiq", "u": "BHIQ", "b": "?"}
    sizes = {"f": (2, 4, 8), "c": (4, 8, 16), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}
    if found is None or int(found[3]) not in sizes[found[2]] or kind == "<c4":
        raise Refused(f"the array {name!r} has the type {kind!r}, expected numbers")
    size, count = int(found[3]), prod(shape)
    require(count > 0, f"the array {name!r} is empty")
    require(len(data) == count * size, f"the array {name!r} has {len(data)} bytes, expected {count * size}")
    letter = letters[found[2]][sizes[found[2]].index(size)]
    require(letter != " ", f"the array {name!r} has the type {kind!r}, expected numbers")
    values = struct.unpack(f"{found[1].replace('|', '<')}{count * (2 if found[2] == 'c' else 1)}{letter}", data)
    low, high = 2.0**-RANGE, 2.0**RANGE
    good = all(x == 0 or low <= abs(x) <= high or (missing and x != x) for x in values)
    require(good, f"the array {name!r} has numbers that are not finite, or outside of 2^±{RANGE}; scale them")
    if found[2] == "c":
        return Array(shape, values[::2], values[1::2], False)
    return Array(shape, values, None, found[2] in "iu")


def read_instance(data: bytes) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file."""
    parts: list[tuple[str, bytes]] = []
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            require(sum(entry.file_size for entry in entries) <= MAX_BYTES, "the arrays of the instance are too large")
            for entry in entries:
                plain = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                require(plain, "the instance is compressed by a method other than deflate")
                parts.append((entry.filename.removesuffix(".npy"), archive.read(entry)))
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError, ValueError) as error:
        raise Refused(f"the instance is not a readable .npz file: {error}") from None
    arrays = {name: read_npy(content, name) for name, content in parts}
    require(len(arrays) == len(parts), "the instance has two arrays of one name")
    return arrays


def read_npy(data: bytes, name: str) -> Array:
    """Return the array of an ``.npy`` file."""
    problem = f"the array {name!r} of the instance has no readable header"
    require(len(data) >= 12 and data[:6] == b"\x93NUMPY" and data[6] in (1, 2, 3), problem)
    start = 10 if data[6] == 1 else 12
    end = start + int.from_bytes(data[8:start], "little")
    require(end <= min(len(data), 10_000), problem)
    try:
        header = ast.literal_eval(data[start:end].decode("latin-1").strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Refused(problem) from None
    require(isinstance(header, dict) and header.keys() == {"descr", "fortran_order", "shape"}, problem)
    kind, shape = header["descr"], header["shape"]
    require(isinstance(kind, str) and _is_shape(shape, tuple), problem)
    require(header["fortran_order"] is False, f"the array {name!r} is stored by columns, expected rows (C order)")
    return decoded(data[end:], kind, shape, name, missing=name == "Y")


def _is_shape(shape: Any, kind: type[list[int]] | type[tuple[int, ...]]) -> bool:
    return isinstance(shape, kind) and len(shape) <= 3 and all(type(n) is int and 0 <= n < 2**40 for n in shape)


def canonical(document: Any) -> bytes:
    """Return the only text that a document may have in a file, without its last line break."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.encode("ascii")


def read_proof(data: bytes) -> dict[str, Any]:
    """Return the document of a proof, whose text is canonical and whose seal is right."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require(len(dict(pairs)) == len(pairs), "the proof has a key twice")
        return dict(pairs)

    try:
        document = json.loads(data.decode("ascii"), object_pairs_hook=once)
        text = canonical(document)
    except (ValueError, RecursionError):
        raise Refused("the proof is not readable JSON") from None
    require(data == text + b"\n", "the proof is not in canonical form")
    expect_keys(document, "flatmin_proof instance model point duals constants statements seal", "", "the proof")
    require(type(document["flatmin_proof"]) is int and document["flatmin_proof"] == 1, "expected a proof of format 1")
    inside = {key: value for key, value in document.items() if key != "seal"}
    require(document["seal"] == hashlib.sha256(canonical(inside)).hexdigest(), "the seal of the proof is wrong")
    return inside


def expect_keys(found: Any, required: str, optional: str, name: str) -> None:
    """Raise `Refused` unless something is a dictionary with the required keys and no others than optional ones."""
    require(isinstance(found, dict), f"{name} is not a JSON object")
    missing = set(required.split()) - found.keys()
    unknown = found.keys() - set(required.split()) - set(optional.split())
    require(not missing, f"{name} has no {', '.join(sorted(missing))}")
    require(not unknown, f"{name} has the unknown keys {', '.join(sorted(unknown))}")


def read_array(found: Any, name: str, *axes: int | None, kinds: str = "f8 i8") -> Array:
    """Return an array of a proof; None is any length of an axis."""
    expect_keys(found, "shape dtype base64", "", f"the array {name!r}")
    require(_is_shape(found["shape"], list), f"the array {name!r} has no readable shape")
    shape = tuple(found["shape"])
    fits = len(shape) == len(axes) and all(axis in (None, n) for axis, n in zip(axes, shape, strict=True))
    require(fits, f"the array {name!r} has the shape {shape}, expected {axes}")
    require(found["dtype"] in kinds.split(), f"the array {name!r} has the type {found['dtype']!r}, expected {kinds}")
    try:
        data = base64.b64decode(found["base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise Refused(f"the array {name!r} is not readable base64") from None
    require(base64.b64encode(data).decode() == found["base64"], f"the array {name!r} is not in canonical base64")
    return decoded(data, "<" + found["dtype"], shape, name)


def read_float(text: Any, name: str) -> Fraction:
    """Return a number from the form of ``float.hex``."""
    try:
        value = float.fromhex(text)
    except (TypeError, ValueError, OverflowError):
        raise Refused(f"{name} is {text!r}, expected a number in the form of float.hex") from None
    require(value.hex() == text, f"{name} is {text!r}, expected a number in the form of float.hex")
    require(value == 0 or 2.0**-RANGE <= abs(value) <= 2.0**RANGE, f"{name} is {text}, outside of 2^±{RANGE}")
    return Fraction(value)


def read_decimal(text: Any, name: str) -> Fraction:
    """Return a number from a decimal such as ``-12.5`` or ``3.1e-12``."""
    good = isinstance(text, str) and re.fullmatch(r"-?[0-9]{1,400}(\.[0-9]{1,400})?(e[+-]?[0-9]{1,3})?", text)
    require(bool(good), f"{name} is {text!r}, expected a decimal number in quotes")
    return Fraction(text)


FAMILIES = {
    "matrix-sensing": ("dense", "rectangular"),
    "bilinear-sensing": ("vectors", "rectangular"),
    "matrix-completion": ("entries", "rectangular"),
    "phase-retrieval": ("vectors", "semidefinite"),
    "covariance": ("vectors", "semidefinite"),
    "quadratic-network": ("vectors", "symmetric"),
    "robust-pca": ("cells", "rectangular"),
}


def check_model(model: Any) -> None:
    """Raise `Refused` unless the model is one of those that theorems are about."""
    names = "family measurement cone complex metric_power objective alpha weight"
    expect_keys(model, names, "", "the model")
    kind, cone, objective = model["measurement"], model["cone"], model["objective"]
    require(kind in ("dense", "vectors", "entries", "cells"), f"the measurement {kind!r} is unknown")
    require(cone in ("rectangular", "semidefinite", "symmetric"), f"the cone {cone!r} is unknown")
    require(objective in ("interpolating", "penalised", "robust"), f"the objective {objective!r} is unknown")
    require(type(model["complex"]) is bool, "complex must be true or false")
    require(type(model["metric_power"]) is int and model["metric_power"] in (0, 1), "metric_power must be 0 or 1")
    family = model["family"]
    require(family is None or family in FAMILIES, f"the family {family!r} is unknown")
    require(family is None or FAMILIES[family] == (kind, cone), f"{family} is not about {kind} and {cone} matrices")
    require((kind == "cells") == (objective == "robust"), "cells and the robust objective belong together")
    require(kind in ("dense", "vectors") or cone == "rectangular", f"{kind} and {cone} matrices do not go together")
    require(not model["complex"] or (kind, cone) == ("vectors", "semidefinite"), "only A_i = x_i x_i* may be complex")
    for name, wanted in (("alpha", "penalised"), ("weight", "robust")):
        if objective == wanted:
            require(read_float(model[name], name) > 0, f"{name} must be positive")
        else:
            require(model[name] is None, f"{name} must be null for this objective")


def measurement_of(model: dict[str, Any], arrays: dict[str, Array]) -> tuple[Measurement, Matrix]:
    """Return the map A and the data b of an instance."""
    kind = model["measurement"]
    keys = {"dense": ("A b", ""), "vectors": ("left b", "right"), "entries": ("rows cols shape b", "weights")}
    expect_keys(arrays, *keys.get(kind, ("Y", "")), "the instance")
    complex_names = {"left"} if model["complex"] else set()
    wrong = [name for name, array in arrays.items() if array.imaginary is not None and name not in complex_names]
    require(not wrong, f"the instance has complex numbers in {', '.join(wrong)}")

    def shaped(name: str, *axes: int | None) -> Array:
        array = arrays[name]
        fits = len(array.shape) == len(axes) and all(a in (None, n) for a, n in zip(axes, array.shape, strict=True))
        require(fits, f"the array {name!r} of the instance has the shape {array.shape}, expected {axes}")
        return array

    if kind == "cells":
        Y = shaped("Y", None, None)
        d1, d2 = Y.shape
        seen = [k for k, x in enumerate(Y.real) if x == x]
        require(bool(seen), "no cell of Y is observed")
        ones = Matrix([[1]] * len(seen))
        cells = EntryMap([k // d2 for k in seen], [k % d2 for k in seen], ones, (d1, d2))
        return cells, Matrix.of([Y.real[k] for k in seen])
    if kind == "dense":
        A = shaped("A", None, None, None)
        m, d1, d2 = A.shape
        dense = DenseMap(A.matrix, (d1, d2))
        if model["cone"] != "rectangular":
            require(d1 == d2, "the sensing matrices are not square")
            transposed = [j * d1 + i for i in range(d1) for j in range(d1)]
            symmetric = all([row[k] for k in transposed] == row for row in dense.A.rows)
            require(symmetric, "the sensing matrices are not symmetric; use (A_i + A_iᵀ)/2")
        return dense, shaped("b", m).matrix
    if kind == "vectors":
        left = shaped("left", None, None)
        m = left.shape[0]
        require(("right" in arrays) == (model["cone"] == "rectangular"), "'right' belongs to rectangular matrices only")
        b = shaped("b", m).matrix
        if "right" in arrays:
            return VectorMap(left.matrix, shaped("right", m, None).matrix), b
        if not model["complex"]:
            X = left.matrix
            return VectorMap(X, X), b
        conjugate = Array(left.shape, left.real, [-y for y in left.imaginary or [0] * len(left.real)], False)
        X = conjugate.real_form
        return VectorMap(X, X, 2), b
    shape = shaped("shape", 2)
    rows, m = shaped("rows", None), arrays["rows"].shape[0]
    columns, b = shaped("cols", m), shaped("b", m).matrix
    require(rows.integer and columns.integer and shape.integer, "rows, cols and shape must be integers")
    d1, d2 = (int(n) for n in shape.real)
    require(0 < d1 <= 2 * MAX_ORDER and 0 < d2 <= 2 * MAX_ORDER, f"the shape {(d1, d2)} of the matrix is impossible")
    inside = all(0 <= i < d1 and 0 <= j < d2 for i, j in zip(rows.real, columns.real, strict=True))
    require(inside, "some cells lie outside of the matrix")
    weights = shaped("weights", m).matrix if "weights" in arrays else Matrix([[1]] * m)
    require(all(w != 0 for (w,) in weights.rows), "some weights are zero")
    return EntryMap([int(i) for i in rows.real], [int(j) for j in columns.real], weights, (d1, d2)), b


def point_of(model: dict[str, Any], found: Any, shape: tuple[int, int]) -> dict[str, Any] | None:
    """Return the matrices of a point."""
    if found is None:
        return None
    d1, d2 = shape
    if model["cone"] == "rectangular":
        robust = "S" if model["objective"] == "robust" else ""
        expect_keys(found, "L C R", f"T1 T2 {robust}", "the point")
        L = read_array(found["L"], "L", d1, None)
        r = L.shape[1]
        sides = {"L": (d1, r), "C": (r, r), "R": (d2, r), "T1": (r, r), "T2": (r, r)}
    else:
        expect_keys(found, *(("U C", "T") if model["cone"] == "symmetric" else ("U", "C")), "the point")
        if model["complex"]:
            r = read_array(found["U"], "U", d1 // 2, None, kinds="f8 c16 i8").shape[1]
            sides = {"U": (d1 // 2, r), "C": (r, r)}
            return {name: read_array(found[name], name, *sides[name], kinds="f8 c16 i8").real_form for name in found}
        r = read_array(found["U"], "U", d1, None).shape[1]
        sides = {"U": (d1, r), "C": (r, r), "T": (r, r)}
    point: dict[str, Any] = {name: read_array(found[name], name, *sides[name]).matrix for name in found if name != "S"}
    if "S" in found:
        expect_keys(found["S"], "rows cols values", "", "the errors 'S'")
        values = read_array(found["S"]["values"], "values", None)
        places = [read_array(found["S"][name], name, *values.shape, kinds="i8") for name in ("rows", "cols")]
        point["S"] = (*([int(x) for x in place.real] for place in places), values.matrix)
    return point


def theorem_of(document: dict[str, Any], arrays: dict[str, Array]) -> Theorem:
    """Return what a proof can say about an instance; its statements are not looked at.

    Parameters
    ----------
    document : dict
        The JSON object of a proof, of which model, point, duals and constants are read.
    arrays : dict
        The arrays of the instance, from `read_instance`.
    """
    model = document["model"]
    check_model(model)
    measurement, b = measurement_of(model, arrays)
    expect_keys(document["duals"], "", "value uniqueness", "duals")
    duals = {name: read_array(dual, name, len(b.rows)).matrix for name, dual in document["duals"].items()}
    expect_keys(document["constants"], "", "g1 g2 core delta sigma2 gamma range_g kappa t c u", "constants")
    constants = {name: read_float(text, f"the constant {name!r}") for name, text in document["constants"].items()}
    point = point_of(model, document["point"], measurement.shape)
    kind = SplitTheorem if model["objective"] == "robust" else ProductTheorem
    by_cone: dict[str, type[Theorem]] = {
        "rectangular": kind,
        "symmetric": SymmetricTheorem,
        "semidefinite": SemidefiniteTheorem,
    }
    return by_cone[model["cone"]](model, measurement, b, {"point": point, "duals": duals, "constants": constants})


# ---------------------------------------------------------------------------------------------------------------------
# 6. Statements

#: The numbers that each kind of statement claims.
CLAIMS = {"V": "lower", "U": "upper", "gap": "gap", "B": "beta", "F": "radius", "T": ""}


def check(document: dict[str, Any], arrays: dict[str, Array]) -> tuple[list[str], list[str]]:
    """Check all statements of a proof.

    Returns
    -------
    sentences, steps : lists of str
        The theorem in words, and the matrix inequalities that were proved.

    Raises
    ------
    Refused
        If a statement fails.
    """
    statements = document["statements"]
    require(isinstance(statements, list) and len(statements) > 0, "the proof states nothing")
    claims: dict[str, dict[str, Any]] = {}
    theorem = theorem_of(document, arrays)
    noisy = isinstance(theorem, SemidefiniteTheorem)
    for statement in statements:
        kind = str(statement.get("kind")) if isinstance(statement, dict) else ""
        require(kind in CLAIMS, f"the kind of statement {kind!r} is unknown")
        extra = ("noise" if noisy else "upper") if kind == "F" else ""
        expect_keys(statement, f"kind {CLAIMS[kind]} {extra}", "", f"statement {kind}")
        require(kind not in claims, f"statement {kind} stands twice")
        claims[kind] = {key: read_decimal(text, f"{kind}: {key}") for key, text in statement.items() if key != "kind"}
        claims[kind] = {"text": statement, **claims[kind]}
    sentences = [introduction(theorem)]
    for kind, claim in claims.items():
        try:
            sentences.append(f"{kind}. {prove(theorem, kind, claim, claims)}")
        except Refused as refusal:
            raise Refused(f"statement {kind} fails: {refusal}") from None
    return sentences, theorem.steps


def prove(theorem: Theorem, kind: str, claim: dict[str, Any], claims: dict[str, dict[str, Any]]) -> str:
    """Return a statement in words after its proof."""
    words, text = Words(theorem), claim["text"]
    if kind == "V":
        at_least("the lower bound", theorem.lower, claim["lower"])
        return words.lower(text["lower"])
    if kind == "U":
        at_most("the upper bound", theorem.upper, claim["upper"])
        return words.upper(text["upper"])
    if kind == "gap":
        require({"V", "U"} <= claims.keys(), "it needs statements V and U")
        lower, upper = claims["V"]["lower"], claims["U"]["upper"]
        at_most("the difference of the bounds in V and U", upper - lower, claim["gap"] * upper)
        return f"These two bounds differ by at most {text['gap']} of the upper one."
    if kind == "B":
        at_most("the backward error", theorem.backward(), claim["beta"])
        return words.backward(text["beta"])
    if kind == "F":
        level = claim["noise" if "noise" in claim else "upper"]
        require(level >= 0, "the level is negative")
        at_most("the radius", theorem.radius(level), claim["radius"])
        return words.radius(text)
    require("B" in claims and claims["B"]["beta"] == 0, "it needs statement B with beta 0")
    at_most("the backward error", theorem.backward(), Fraction(0))
    return words.truth()


def at_most(name: str, proved: Fraction, claimed: Fraction) -> None:
    """Raise `Refused` unless a claimed upper bound is at least the proved one."""
    require(proved <= claimed, f"{name} is claimed to be {shown(claimed)}, but {shown(proved)} is proved")


def at_least(name: str, proved: Fraction, claimed: Fraction) -> None:
    """Raise `Refused` unless a claimed lower bound is at most the proved one."""
    require(proved >= claimed, f"{name} is claimed to be {shown(claimed)}, but {shown(proved)} is proved")


def shown(x: Fraction, digits: int = 17) -> str:
    """Return a number for a sentence, which may be too large for a double."""
    return f"{Context(prec=digits).divide(Decimal(x.numerator), Decimal(x.denominator)):g}"


def introduction(theorem: Theorem) -> str:
    """Return the sentences that say what the theorem is about."""
    model, m = theorem.model, theorem.size
    half = 2 if model["complex"] else 1
    d1, d2 = (d // half for d in theorem.original)
    kinds = {
        "dense": f"{m} linear measurements ⟨A_i, X⟩ = b_i, with the matrices A_i of the instance,",
        "vectors": f"{m} measurements {'x_iᵀ X y_i' if model['cone'] == 'rectangular' else 'x_i* X x_i'} = b_i, "
        "with the vectors of the instance exactly as stored there,",
        "entries": f"{m} measured cells",
        "cells": f"a table with {m} observed cells",
    }
    cone = {"rectangular": "", "semidefinite": "positive semidefinite ", "symmetric": "symmetric "}[model["cone"]]
    number = "complex " if model["complex"] else ""
    text = f"Theorem. The instance has {kinds[model['measurement']]} of a {number}{cone}{d1} × {d2} matrix X."
    if model["objective"] == "penalised":
        alpha = float.fromhex(model["alpha"])
        text += f" The objective of factors is (1/m) ‖A(X) − b‖² + alpha · (scaled trace), with alpha = {alpha!r}."
    if model["objective"] == "robust":
        weight = float.fromhex(model["weight"])
        text += f" The cost of a split Y = X + S is ‖X‖_* + weight · Σ|S_ij| over observed cells, weight = {weight!r}."
    elif model["metric_power"] == 0:
        text += " The scaled trace has metric_power 0: matrices D1 and D2 are multiples of the identity."
    if any(theorem.unseen):
        rows, columns = (n // half for n in theorem.unseen)
        text += f" No measurement sees {rows} of the rows and {columns} of the columns."
    return text


class Words:
    """The statements about one theorem in words."""

    def __init__(self, theorem: Theorem) -> None:
        self.theorem, self.objective = theorem, theorem.model["objective"]
        cone = theorem.model["cone"]
        self.matrix = {"semidefinite": "positive semidefinite matrix", "symmetric": "symmetric matrix"}.get(
            cone, "matrix"
        )
        self.among = " among matrices that vanish in rows and columns that no measurement sees"
        self.among = self.among if any(theorem.unseen) else ""
        self.only = isinstance(theorem, SemidefiniteTheorem) and theorem.trace_is_determined
        self.point = "the zero matrix" if theorem.point is None else "X̂"

    def lower(self, lower: str) -> str:
        """Say a lower bound."""
        if self.objective == "penalised":
            return f"No factors have an objective below {lower}."
        if self.objective == "robust":
            return f"No split of the table costs less than {lower}."
        return f"Every {self.matrix} that fits the data exactly has scaled trace at least {lower}."

    def upper(self, upper: str) -> str:
        """Say an upper bound."""
        if self.objective == "penalised":
            return f"Some factors of {self.point} have an objective of at most {upper}."
        if self.objective == "robust":
            return f"The split with X = {self.point} costs at most {upper}."
        return f"Some {self.matrix} that fits the data exactly has scaled trace at most {upper}."

    def backward(self, beta: str) -> str:
        """Say uniqueness for nearby data."""
        if self.objective == "robust":
            what = f"({self.point}, Ŝ) is the only cheapest split of Ŷ = X̂ + Ŝ"
            return f"{what}, and ‖Ŷ − Y‖ ≤ {beta} ‖Y‖ on observed cells."
        what = f"the only {self.matrix} with the measurements" if self.only else "the unique flat minimum of the data"
        return f"{self.point} is {what} b̂ = A(X̂), exactly{self.among}, and ‖b̂ − b‖ ≤ {beta} ‖b‖."

    def radius(self, claim: dict[str, str]) -> str:
        """Say a distance."""
        if "noise" in claim:
            return (
                f"Every {self.matrix} X' with ‖A(X') − b‖ ≤ {claim['noise']} lies within {claim['radius']} of X̂ in "
                f"Frobenius norm{self.among}."
            )
        return (
            f"Every {self.matrix} that fits the data exactly and has scaled trace at most {claim['upper']} lies within "
            f"{claim['radius']} of X̂ in Frobenius norm{self.among}."
        )

    def truth(self) -> str:
        """Say uniqueness for the data."""
        if self.objective == "robust":
            return f"({self.point}, Ŝ) is the only cheapest split of the table Y, exactly."
        if self.only:
            return f"{self.point} fits the data exactly, and is the only {self.matrix} that does{self.among}."
        return (
            f"{self.point} fits the data exactly, and no other {self.matrix} that fits is as flat{self.among}: "
            "the truth is the unique flat minimum."
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="checker.py", description="Check an exact proof about flat minima.")
    parser.add_argument("proof", type=Path, metavar="PROOF.json")
    parser.add_argument("instance", type=Path, metavar="INSTANCE.npz")
    parser.add_argument("--sha256", metavar="HEX", help="hash that the instance must have")
    parser.add_argument("--no-numpy", action="store_true", help="use the standard library only, which is slower")
    options = parser.parse_args(arguments)
    with_numpy = use_numpy(not options.no_numpy)
    try:
        proof, instance = (path.read_bytes() for path in (options.proof, options.instance))
    except OSError as error:
        sys.stderr.write(f"checker.py: {error.filename}: {error.strerror}\n")
        return 2
    try:
        lines = check_files(proof, instance, options.sha256)
    except Refused as refusal:
        sys.stdout.write(f"Refused: {refusal}.\n")
        return 1
    helped = "NumPy guessed factors and multiplied integers" if with_numpy else "the standard library alone"
    sys.stdout.write("\n".join([*lines, f"Arithmetic: exact integers; {helped}."]) + "\n")
    return 0


def check_files(proof: bytes, instance: bytes, expected: str | None = None) -> list[str]:
    """Return the lines that a checked proof prints, from the bytes of both files and a hash of the instance."""
    require(max(len(proof), len(instance)) <= MAX_BYTES, "a file is too large")
    found = hashlib.sha256(instance).hexdigest()
    if expected is not None:
        require(expected.lower() == found, f"the instance has the hash {found}, expected {expected}")
    document = read_proof(proof)
    expect_keys(document["instance"], "sha256", "", "the instance in the proof")
    require(
        document["instance"]["sha256"] == found, f"the proof is about another instance than the one with hash {found}"
    )
    sentences, steps = check(document, read_instance(instance))
    pinned = "as given" if expected is not None else "not given with --sha256; compare it with your own"
    return [
        *sentences,
        "",
        f"Instance: sha256 {found} ({pinned}).",
        "Proved in integers:",
        *(f"  {step}" for step in steps),
    ]


if __name__ == "__main__":
    sys.exit(main())
