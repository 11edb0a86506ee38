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
`Theorem` itself, `SymmetricTheorem`, `SplitTheorem` and `SemidefiniteTheorem`. Methods return the numbers that they
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
import hashlib
import importlib.util
import inspect
import io
import json
import re
import struct
import sys
import zipfile
from collections.abc import Sequence
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property
from itertools import chain, pairwise
from itertools import product as cartesian
from math import gcd, isqrt, lcm, prod, sqrt
from operator import mul, sub
from pathlib import Path
from typing import Any, NamedTuple

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
    _numpy = importlib.import_module("numpy") if wanted and importlib.util.find_spec("numpy") else None
    return bool(_numpy)


class Refused(Exception):
    """A file or a claim that does not hold up; the message is the sentence that is printed."""


def require(holds: object, sentence: str) -> None:
    """Raise `Refused` with the sentence unless the condition holds."""
    if not holds:
        raise Refused(sentence)


# ---------------------------------------------------------------------------------------------------------------------
# 1. Matrices of integers with one rational unit


class Matrix:
    """A rational matrix: rows of Python integers times one positive unit."""

    def __init__(self, rows: Rows, unit: Fraction = Fraction(1)) -> None:
        self.rows, self.unit = rows, unit

    @classmethod
    def from_rows(cls, values: Sequence[float | Fraction], columns: int = 1) -> Matrix:
        """Return numbers, given row by row, as a matrix."""
        ratios = [x.as_integer_ratio() for x in values]
        bottom = lcm(*{q for _, q in ratios})
        ints = [p * (bottom // q) for p, q in ratios]
        return cls([ints[i : i + columns] for i in range(0, len(ints), columns)], Fraction(1, bottom))

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
        factor = (self.unit / unit).numerator
        return self.rows if factor == 1 else [[factor * x for x in row] for row in self.rows]

    def __add__(self, other: Matrix) -> Matrix:
        unit = common_unit(self, other)
        pairs = zip(self.in_unit(unit), other.in_unit(unit), strict=True)
        return Matrix([[x + y for x, y in zip(row, line, strict=True)] for row, line in pairs], unit)

    def __neg__(self) -> Matrix:
        return Matrix([[-x for x in row] for row in self.rows], self.unit)

    def __sub__(self, other: Matrix) -> Matrix:
        return self + -other

    def __rmul__(self, scalar: Fraction | int) -> Matrix:
        if scalar <= 0:
            return -(-scalar * self) if scalar else Matrix([[0] * len(row) for row in self.rows])
        return Matrix(self.rows, self.unit * scalar)

    def __matmul__(self, other: Matrix) -> Matrix:
        return Matrix(product(self.rows, other.rows), self.unit * other.unit)

    def gram(self) -> Matrix:
        """Return ``M Mᵀ``."""
        return self @ self.T

    def scaled_rows(self, scales: Matrix) -> Matrix:
        """Return ``diag(s) M`` for a column s."""
        pairs = zip(self.rows, scales.rows, strict=True)
        return Matrix([[s * x for x in row] for row, (s,) in pairs], self.unit * scales.unit)

    def dot(self, other: Matrix) -> Fraction:
        """Return the sum of the products of the entries of two matrices."""
        return self.unit * other.unit * sum(sum(map(mul, x, y)) for x, y in zip(self.rows, other.rows, strict=True))

    def trace(self) -> Fraction:
        """Return the trace."""
        return self.unit * sum((row[i] for i, row in enumerate(self.rows)), 0)

    def norm(self) -> Fraction:
        """Return an upper bound on the Frobenius norm."""
        return root(self.dot(self))

    def row_norm(self) -> Fraction:
        """Return the largest sum of absolute values in a row, an upper bound on the norm of a symmetric matrix."""
        return self.unit * max(sum(map(abs, row)) for row in self.rows)

    def is_diagonal(self) -> bool:
        """Say whether all entries outside the diagonal are zero."""
        return not any(any(row[:i]) or any(row[i + 1 :]) for i, row in enumerate(self.rows))


def diagonal(values: Sequence[int], scale: Fraction = Fraction(1)) -> Matrix:
    """Return a diagonal matrix with these values times a positive scale."""
    return Matrix([[0] * i + [x] + [0] * (len(values) - i - 1) for i, x in enumerate(values)], scale)


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
    widths = [M.shape[1] for M in blocks]
    zeros = [[Matrix([[0] * width] * len(M.rows), M.unit) for width in widths] for M in blocks]
    return in_blocks([[*line[:i], M, *line[i + 1 :]] for i, (M, line) in enumerate(zip(blocks, zeros, strict=True))])


def largest(rows: Rows) -> int:
    """Return the largest absolute value of an entry."""
    return max((max(map(abs, row), default=0) for row in rows), default=0)


def product(A: Rows, B: Rows) -> Rows:
    """Return ``A B``.

    Without NumPy each row of B becomes one long integer with an entry in each slot of so many bytes. Row i of the
    product is then ``Σ_k A_ik B_k``, so that the inner loop is inside the multiplication of long integers.
    """
    if _numpy is not None and len(A) * len(B) * len(B[0]) > 200_000:
        return _digit_products(_digits(A), _digits(B))
    slot, width = (largest(A).bit_length() + largest(B).bit_length() + len(B).bit_length() + 9) // 8, len(B[0])
    half = 1 << (8 * slot - 1)
    halves = int.from_bytes(half.to_bytes(slot, "little") * width, "little")
    lines = (b"".join((x + half).to_bytes(slot, "little") for x in row) for row in B)
    packed = [int.from_bytes(line, "little") - halves for line in lines]
    totals = (sum(x * line for x, line in zip(row, packed, strict=True) if x) + halves for row in A)
    data = (total.to_bytes(width * slot, "little") for total in totals)
    return [[int.from_bytes(row[k : k + slot], "little") - half for k in range(0, width * slot, slot)] for row in data]


#: Digits have DIGIT bits and a sign; a sum of DEPTH products of two digits is below 2^53, so doubles hold it exactly.
DIGIT, DEPTH = 20, 2**13


def _digits(rows: Rows) -> list[Any]:
    """Return arrays of doubles, the digits of the entries in base 2^DIGIT, lowest first."""
    bits = max(1, largest(rows).bit_length())
    array = _numpy.array(rows, dtype=_numpy.int64 if bits < 63 else object)
    sign, array, found = _numpy.where(array < 0, -1.0, 1.0), abs(array), []
    for shift in range(0, bits, 3 * DIGIT):
        chunk = ((array >> shift) & (2 ** (3 * DIGIT) - 1)).astype(_numpy.int64)
        found += [((chunk >> k) & (2**DIGIT - 1)) * sign for k in range(0, min(3 * DIGIT, bits - shift), DIGIT)]
    return found


def _digit_products(A: list[Any], B: list[Any]) -> Rows:
    """Return ``A B`` from the digits of A and of B, whose products are added without carries first."""
    depth, count = A[0].shape[1], len(A) + len(B) - 1
    require(count * (depth // DEPTH + 1) < 2**9, "the integers in this proof are too long")
    sums = [_numpy.zeros((len(A[0]), B[0].shape[1]), dtype=_numpy.int64) for _ in range(count + 1 + -count % 3)]
    for (i, P), (j, Q) in cartesian(enumerate(A), enumerate(B)):
        for k in range(0, depth, DEPTH):
            sums[i + j] += (P[:, k : k + DEPTH] @ Q[k : k + DEPTH]).astype(_numpy.int64)
    for low, high in pairwise(sums):
        high += low >> DIGIT
        low &= 2**DIGIT - 1
    total = sums[-1].astype(object)
    for k in range(len(sums) - 4, -1, -3):
        total = (total << 3 * DIGIT) + (sums[k] | (sums[k + 1] << DIGIT) | (sums[k + 2] << 2 * DIGIT))
    return [list(row) for row in total.tolist()]


def inverse(M: Matrix) -> Matrix:
    """Return the exact inverse of a small square matrix, by elimination in integers (Bareiss).

    After step k all entries are minors of order k + 1 of the matrix with the identity at its side. So the division by
    the pivot of the step before leaves no remainder, and the diagonal becomes the determinant.
    """
    order, last = len(M.rows), 1
    work = [[*row, *(int(i == j) for j in range(order))] for i, row in enumerate(M.rows)]
    for k in range(order):
        pivot = max(range(k, order), key=lambda i: abs(work[i][k]))
        require(work[pivot][k], "a change of basis in the point is singular")
        work[k], work[pivot] = work[pivot], work[k]
        for i in {*range(order)} - {k}:
            work[i] = [(work[k][k] * x - work[i][k] * y) // last for x, y in zip(work[i], work[k], strict=True)]
        last = work[k][k]
    return 1 / (M.unit * last) * Matrix([row[order:] for row in work])


def root(x: Fraction, above: bool = True) -> Fraction:
    """Return a number slightly above the square root, or slightly below it; exactly 0 for 0."""
    shift = max(0, 64 - (x.numerator.bit_length() - x.denominator.bit_length()) // 2)
    below = isqrt((x.numerator << 2 * shift) // x.denominator)
    return Fraction(below + int(above and x > 0), 1 << shift)


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
    rows, order = M.rows, len(M.rows)
    require(order <= MAX_ORDER and rows == M.T.rows, f"a matrix of order {order} is too large, or not symmetric")
    seen = [i for i, row in enumerate(rows) if slack or any(row)]
    if any(rows[i][i] <= 0 for i in seen):
        return False
    places = [(i, (rows[i][i].bit_length() + 1) // 2) for i in seen]
    scaled = [[shifted(rows[i][j], 2 * GRID - h - k) for j, k in places] for i, h in places]
    changed = [order + sum(shifted(slack, 2 * GRID - h - k) + 1 for _, k in places if slack) for _, h in places]
    G = guessed_factor(scaled, (order + 8) * 2.0**-52 + max(changed, default=0) * 2.0 ** (1 - 2 * GRID))
    if not G:
        return G is not None
    errors = [list(map(sub, row, square)) for row, square in zip(scaled, Matrix(G).gram().rows, strict=True)]
    return all(2 * row[i] - sum(map(abs, row)) >= changed[i] for i, row in enumerate(errors))


def shifted(x: int, bits: int) -> int:
    """Return ``x 2^bits``, rounded to an integer with an error of at most ½."""
    return x << bits if bits >= 0 else (x + (1 << (-bits - 1))) >> -bits


def guessed_factor(scaled: Rows, shift: float) -> Rows | None:
    """Return a lower triangular integer matrix G with ``2^-106 G Gᵀ ≈ 2^-106 S − shift I``, or None: only a guess."""
    order, unit, lower = len(scaled), 2.0 ** (-2 * GRID), list[list[float]]()
    try:
        if _numpy is not None and order > 40:
            floats = _numpy.array(scaled, dtype=float) * unit - shift * _numpy.eye(order)
            lower = _numpy.linalg.cholesky(floats).tolist()
        for i in range(len(lower), order):
            line: list[float] = []
            for x, above in zip(scaled[i], lower, strict=False):
                line.append((x * unit - sum(map(mul, line, above))) / above[-1])
            lower.append([*line, sqrt(scaled[i][i] * unit - shift - sum(map(mul, line, line)))])
        return [[round(x * 2.0**GRID) for x in line] + [0] * (order - len(line)) for line in lower]
    except (ArithmeticError, ValueError):  # in floating point it is not positive definite
        return None


def dominates(G1: Matrix, Y: Matrix, G2: Matrix) -> bool:
    """Say whether ``[[G1, −Y], [−Yᵀ, G2]] ⪰ 0`` is proved.

    If G1 = G2 and Y is symmetric, this is ``−G1 ⪯ Y ⪯ G1``; if a block is diagonal, a Schur complement is tested.
    """
    if (G1.rows, G1.unit, Y.rows) == (G2.rows, G2.unit, Y.T.rows):
        return is_semidefinite(G1 - Y) and is_semidefinite(G1 + Y)
    if G1.is_diagonal() and (len(G1.rows) > len(G2.rows) or not G2.is_diagonal()):
        return _schur(G2, Y.T, G1)
    return _schur(G1, Y, G2) if G2.is_diagonal() else is_semidefinite(in_blocks([[G1, -Y], [-Y.T, G2]]))


#: Bits after the point of inverse square roots, and of the matrix whose square is subtracted, in `_schur`.
ROOT, SCHUR = 60, 78


def _schur(G1: Matrix, Y: Matrix, G2: Matrix) -> bool:
    """Say whether ``G1 − Y G2⁻¹ Yᵀ ⪰ 0`` is proved for a diagonal ``G2 ⪰ 0``, without zero rows and columns.

    After scaling with powers of two, ``M = Y diag(w)`` with ``w_j ≥ 1/√(G2)_jj`` is rounded to integers with errors of
    at most ½. They change an entry of ``M Mᵀ`` by at most ``k (|M|_∞ + 1)`` units, k the number of columns.
    """
    unit = common_unit(G1, Y, G2)
    P, R, q = G1.in_unit(unit), Y.in_unit(unit), [row[j] for j, row in enumerate(G2.in_unit(unit))]
    rows = [i for i, row in enumerate(P) if any(row) or any(R[i])]
    columns = [j for j, x in enumerate(q) if x or any(row[j] for row in R)]
    if any(P[i][i] <= 0 for i in rows) or any(q[j] <= 0 for j in columns):
        return False
    places = [(i, (P[i][i].bit_length() + 1) // 2) for i in rows]
    weights = [(j, k := (q[j].bit_length() + 1) // 2, isqrt((1 << 2 * (ROOT + k)) // q[j]) + 1) for j in columns]
    M = [[shifted(R[i][j] * w, SCHUR - ROOT - h - k) for j, k, w in weights] for i, h in places]
    S = Matrix([[shifted(P[i][j], 2 * SCHUR - h - k) for j, k in places] for i, h in places]) - Matrix(M).gram()
    return is_semidefinite(S, len(columns) * (largest(M) + 1) + 1)


# ---------------------------------------------------------------------------------------------------------------------
# 3. Measurements


class DenseMap:
    """Sensing matrices given entry by entry: the rows of A are the A_i, row after row.

    Definitions
    -----------
    given : The instance has m numbers b_i (array b) and m matrices A_i of shape d1 × d2 (array A).
    """

    def __init__(self, A: Matrix, shape: tuple[int, int]) -> None:
        self.A, self.shape, self.size, (d1, d2) = A, shape, len(A.rows), shape
        #: The columns of all A_i, and the rows of all A_i, as rows of one matrix.
        columns = [row[j::d2] for row in A.rows for j in range(d2)]
        lines = [row[k : k + d2] for row in A.rows for k in range(0, d1 * d2, d2)]
        self.sides = Matrix(columns, A.unit), Matrix(lines, A.unit)

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_i A_iᵀ`` and ``Σ A_iᵀ A_i``."""
        return self.sides[0].T.gram(), self.sides[1].T.gram()

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_i A_i``."""
        flat, (d1, width) = y.T @ self.A, self.shape
        return Matrix([flat.rows[0][k : k + width] for k in range(0, d1 * width, width)], flat.unit)

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        X = P @ Q.T
        return self.A @ Matrix([[x] for x in chain(*X.rows)], X.unit)

    def derivative(self, L: Matrix, R: Matrix) -> Matrix:
        """Return the matrix (m, r (d1 + d2)) of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        parts = []
        for M in (self.sides[0] @ L, self.sides[1] @ R):
            lines = (M.rows[k : k + len(M.rows) // self.size] for k in range(0, len(M.rows), len(M.rows) // self.size))
            parts.append(Matrix([list(chain(*zip(*line, strict=True))) for line in lines], M.unit))
        return in_blocks([parts])

    def inner_products(self) -> Matrix:
        """Return the matrix of ``⟨A_i, A_j⟩``."""
        return self.A.gram()


class VectorMap:
    """Sensing matrices ``x_i y_iᵀ``; complex ones ``x_i x_i*`` as ``u_i u_iᵀ + v_i v_iᵀ``, all u_i before all v_i.

    Definitions
    -----------
    given : The instance has m numbers b_i (array b) and m vectors x_i (rows of the array left), y_i (rows of the array
        right; without it, y_i = x_i). The matrix A_i is x_i y_i{t}.
    """

    def __init__(self, left: Matrix, right: Matrix, copies: int = 1) -> None:
        self.left, self.right, self.copies = left, right, copies
        self.shape, self.size = (left.shape[1], right.shape[1]), len(left.rows) // copies
        #: The squared lengths of all vectors.
        self.lengths = [Matrix([[sum(map(mul, row, row))] for row in X.rows], X.unit**2) for X in (left, right)]

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_i A_i*`` and ``Σ A_i* A_i``."""
        x, y = self.lengths
        return self.left.T @ self.left.scaled_rows(y), self.right.T @ self.right.scaled_rows(x)

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_i A_i``."""
        return self.left.T @ self.right.scaled_rows(Matrix(y.rows * self.copies, y.unit))

    def _summed(self, rows: Rows, unit: Fraction) -> Matrix:
        """Return the sum of the parts of all u_i and all v_i."""
        parts = [Matrix(rows[k : k + self.size], unit) for k in range(0, len(rows), self.size)]
        return sum(parts[1:], parts[0])

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        X, Y = self.left @ P, self.right @ Q
        return self._summed([[sum(map(mul, x, y))] for x, y in zip(X.rows, Y.rows, strict=True)], X.unit * Y.unit)

    def derivative(self, L: Matrix, R: Matrix) -> Matrix:
        """Return the matrix (m, r (d1 + d2)) of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        parts = []
        for M, N in ((self.left @ L, self.right), (self.right @ R, self.left)):
            pairs = zip(M.rows, N.rows, strict=True)
            parts.append(self._summed([[x * y for x in row for y in line] for row, line in pairs], M.unit * N.unit))
        return in_blocks([parts])

    def inner_products(self) -> Matrix:
        """Return the matrix of ``⟨A_i, A_j⟩`` for real vectors."""
        X, Y = self.left.gram(), self.right.gram()
        return Matrix([list(map(mul, x, y)) for x, y in zip(X.rows, Y.rows, strict=True)], X.unit * Y.unit)


class EntryMap:
    """Entries of a matrix, times weights: ``A_k(X) = w_k X[i_k, j_k]``.

    Definitions
    -----------
    given : The instance has m measured cells: rows_i and cols_i, counted from 0 (arrays rows, cols), and numbers b_i
        (array b). The matrix A_i of shape d1 × d2 has the entry weights_i there (1 if there is no array weights), and
        zeros elsewhere.
    """

    def __init__(self, cells: list[tuple[int, int]], weights: Matrix, shape: tuple[int, int]) -> None:
        self.cells, self.weights, self.shape, self.size = cells, weights, shape, len(cells)

    def _sums(self, values: Matrix, row: int, column: int) -> Matrix:
        """Return the matrix with the sums of values, one a cell, at the places named by parts of the cell."""
        dense = [[0] * self.shape[column] for _ in range(self.shape[row])]
        for cell, (x,) in zip(self.cells, values.rows, strict=True):
            dense[cell[row]][cell[column]] += x
        return Matrix(dense, values.unit)

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_k A_kᵀ`` and ``Σ A_kᵀ A_k``, which are diagonal."""
        squares = self.weights.scaled_rows(self.weights)
        return self._sums(squares, 0, 0), self._sums(squares, 1, 1)

    def adjoint(self, y: Matrix) -> Matrix:
        """Return ``Σ y_k A_k``."""
        return self._sums(y.scaled_rows(self.weights), 0, 1)

    def forward(self, P: Matrix, Q: Matrix) -> Matrix:
        """Return the column ``A(P Qᵀ)``."""
        values = [[sum(map(mul, P.rows[i], Q.rows[j]))] for i, j in self.cells]
        return Matrix(values, P.unit * Q.unit).scaled_rows(self.weights)

    def normal(self, L: Matrix, R: Matrix) -> Matrix:
        """Return ``JᵀJ`` for the derivative J of ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``: columns of E, then columns of F."""
        (d1, d2), r, unit = self.shape, L.shape[1], common_unit(L, R)
        left, right, order = L.in_unit(unit), R.in_unit(unit), r * (d1 + d2)
        rows = [[0] * order for _ in range(order)]
        for (i, j), (w,) in zip(self.cells, self.weights.rows, strict=True):
            places = [*range(j, r * d2, d2), *range(r * d2 + i, order, d1)]
            entries = list(zip(places, (w * x for x in chain(left[i], right[j])), strict=True))
            for place, value in entries:
                for other, x in entries:
                    rows[place][other] += value * x
        return Matrix(rows, (self.weights.unit * unit) ** 2)


Measurement = DenseMap | VectorMap | EntryMap


# ---------------------------------------------------------------------------------------------------------------------
# 4. Theorems


class Theorem:
    """Theorems on ``X = L Rᵀ``, and what they share with other models; methods return the numbers that they prove.

    Parameters
    ----------
    model : dict
        The model, as the proof has it.
    A : DenseMap, VectorMap or EntryMap
        The measurements.
    b : Matrix, shape (m, 1)
        The data.
    point, duals, constants : dict
        Matrices and fractions of the proof; an empty point is the zero matrix.

    Definitions
    -----------
    size : Let m = {m}, d1 = {d1} and d2 = {d2}. X stands for any {field} {cone}matrix of shape d1 × d2.
    given : {given}
    fit : X fits the data exactly if A(X) = b, where A(X) is the vector of the m numbers ⟨A_i, X⟩ = tr(A_i{t} X).
    unseen : In {unseen1} of the rows and {unseen2} of the columns all A_i are zero: no measurement sees them.
    trace : The scaled trace of X is 4 ‖D1 X D2‖_*, where ‖·‖_* is the sum of the singular values, and D1 and D2 are the
        positive semidefinite square roots of G1 = Σ A_i A_iᵀ/(m d2) and G2 = Σ A_iᵀ A_i/(m d1).
    power 0 : Here G1 and G2 are replaced by their mean eigenvalues times the identity, with zeros where no measurement
        sees.
    flat : A flat minimum of the data is an X that fits them exactly and has the smallest scaled trace of all that do.
    penalised : The objective of X is ‖A(X) − b‖²/m + α (scaled trace of X), where α is the floating-point
        number {alpha!r}.
    point : X̂ is the matrix L C Rᵀ of the arrays L, C, R in the proof (key "point").
    zero : X̂ is the zero matrix.
    norm : ‖·‖ is the Euclidean norm of vectors and the Frobenius norm of matrices.

    Statements
    ----------
    V : Every {cone}matrix that fits the data exactly, if there is one, has scaled trace at least {lower}.
    U : Some {cone}matrix that fits the data exactly has scaled trace at most {upper}.
    penalised V : Every {cone}matrix has objective at least {lower}.
    penalised U : X̂ has objective at most {upper}.
    gap : The bound in V is smaller than the bound in U by at most {gap} times the bound in U.
    B : X̂ is the unique flat minimum of the data b̂ = A(X̂), exactly, and ‖b̂ − b‖ ≤ {beta} ‖b‖.{among}
    F : Every {cone}matrix that fits the data exactly and has scaled trace at most {upper} lies within {radius} of X̂ in
        Frobenius norm.{among}
    T : X̂ fits the data exactly, and no other {cone}matrix that fits is as flat, that is, has a scaled trace as small.
        If X̂ is what was measured, this says: the truth is the unique flat minimum.{among}

    Symbols
    -------
    λ, Λ : λ is a vector of m numbers in the proof (key "duals"): "value" for V, "uniqueness" for B, F and T, or "value"
        without it. Λ = Σ λ_i A_i.
    M ⪰ N : M and N are symmetric, and M − N is positive semidefinite. I is an identity matrix, ⊗ the Kronecker product.
    L, C, R : factors of X̂ = L C Rᵀ after a change of basis, such that LᵀG1L and RᵀG2R are I up to η in norm. In the
        line with core, C is another core, for bases that are orthonormal up to η².
    g, g1, g2, core, δ, γ, σ : numbers in the proof (key "constants"); range_g is g, and sigma2 is σ².
    J : the derivative (E, F) ↦ A(L Eᵀ + F Rᵀ), a matrix that acts on the columns of E and F.
    T : the space of all H = D1 (L Eᵀ + F Rᵀ) D2; it is the tangent space of matrices of one rank at Z = D1 X̂ D2.
    ε, spread : ε bounds the norm of the part in T of D1⁻¹ Λ D2⁻¹ − U Vᵀ, where U Vᵀ is the polar factor of Z. Always
        ‖A(D1⁻¹ H D2⁻¹)‖ ≤ spread ‖H‖_*.
    growth : if H changes no measurement, ‖Z + H‖_* exceeds ‖Z‖_* by at least growth times ‖part of H outside of T‖_*.
    """

    factor, hermitian = 4, False

    def __init__(self, model: dict[str, Any], A: Measurement, b: Matrix, *proof: dict[str, Any]) -> None:
        self.model, self.A, self.b, self.steps = model, A, b, dict[str, None]()
        self.point, self.duals, self.constants = proof
        self.alpha, self.weight = (Fraction(float.fromhex(model[name] or "0x0p+0")) for name in ("alpha", "weight"))
        self.m, (self.d1, self.d2) = A.size, A.shape
        #: Whether all fits X ⪰ 0 are equally flat, as ``tr(GX) = (1/m) Σ |x_i|² x_i*Xx_i`` for vectors.
        self.is_determined = model["cone"] == "semidefinite" and isinstance(A, VectorMap) and model["metric_power"] == 1
        #: What the metrics G1 and G2 are multiplied by in ``Σ A_i A_iᵀ`` and ``Σ A_iᵀ A_i``.
        self.counts = [self.m, self.m] if self.hermitian else [self.m * self.d2, self.m * self.d1]
        self.M1, self.M2 = self.squares()
        #: Ones for the rows, and the columns, that some measurement sees.
        self.seen = [[int(row[i] != 0) for i, row in enumerate(M.rows)] for M in (self.M1, self.M2)]
        require(any(self.seen[0]), "all sensing matrices are zero")
        self.G1, self.G2 = self.metrics()
        if not self.point:
            require(not b.dot(b), "the point is zero, so all data must be zero")
            self.lower = self.upper = Fraction(0)
            return
        self.L, self.C, self.R = self.factors()
        self.fit = A.forward(self.L @ self.C, self.R)
        self.residual = b - self.fit

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return ``Σ A_i A_iᵀ`` and ``Σ A_iᵀ A_i``."""
        return self.A.squares()

    def metrics(self) -> list[Matrix]:
        """Return G1 and G2, or G twice."""
        sums, mean = (self.M1, self.M2), self.M1.trace() / (self.counts[0] * self.d1)
        if self.model["metric_power"] == 1:
            return [Fraction(1, n) * M for n, M in zip(self.counts, sums, strict=True)]
        return [diagonal(seen, mean) for seen in self.seen]

    def factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return ``L T1``, ``T1⁻¹ C T2⁻ᵀ`` and ``R T2``: whatever T1 and T2 are, X̂ is the same."""
        L, C, R = (self.point[name] for name in "LCR")
        if "T1" in self.point:
            C, L = inverse(self.point["T1"]) @ C, L @ self.point["T1"]
        if "T2" in self.point:
            C, R = C @ inverse(self.point["T2"]).T, R @ self.point["T2"]
        return L, C, R

    def constant(self, name: str, least: int | None = None) -> Fraction:
        """Return a constant of the proof, which the caller must test; it is positive, or at least ``least``."""
        require(name in self.constants, f"the constant {name!r} is missing")
        value: Fraction = self.constants[name]
        require(value > 0 or value == least, f"the constant {name!r} is {float(value):g}, not positive")
        return value

    def test(self, holds: bool, what: str) -> None:
        """Note that an inequality was proved, or refuse the proof."""
        require(holds, f"this was not proved: {what}")
        self.steps[what] = None

    # -- The value

    def value_dual(self) -> Matrix:
        """Return λ for the value."""
        require("value" in self.duals, "the dual vector 'value' is missing")
        return Matrix(self.duals["value"].rows, self.duals["value"].unit)

    def test_value_dual(self) -> None:
        """Test ``[[G1, −Λ], [−Λᵀ, G2]] ⪰ 0`` with ``Λ = A*(λ)``: then ``⟨b, λ⟩ ≤ ‖D1 X D2‖_*`` for all X that fit.

        The columns of (L; R) give ``0 ≤ ‖D1 L‖² + ‖D2 R‖² − 2 ⟨Λ, L Rᵀ⟩``, and ``⟨Λ, L Rᵀ⟩ = ⟨λ, b⟩``. So all factors
        of X have a scaled trace of at least 4 ⟨b, λ⟩.
        """
        Y = self.A.adjoint(self.value_dual())
        self.test(dominates(self.G1, Y, self.G2), "[[G1, −Λ], [−Λᵀ, G2]] ⪰ 0")

    @cached_property
    def lower(self) -> Fraction:
        """The lower bound: ``f ⟨b, λ⟩`` for exact fits, with f = 4 for products and 8 for Hermitian matrices.

        With a penalty, ``(1/m)‖v − b‖² + α f ⟨λ, v⟩`` is minimised over ``v = A(X)``: it is at least
        ``α f ⟨λ, b⟩ − m α² f² ‖λ‖²/4``.
        """
        self.test_value_dual()
        dual, f = self.value_dual(), self.factor * (self.alpha or 1)
        return f * self.b.dot(dual) - (self.m * f**2 * dual.dot(dual) / 4 if self.alpha else 0)

    @cached_property
    def upper(self) -> Fraction:
        """The upper bound: ``f ‖D1 (X̂ + E) D2‖_*`` where ``X̂ + E`` fits exactly, or the objective at X̂."""
        misfit, value = self.residual.dot(self.residual), self.nuclear_norm()
        if self.alpha:
            return misfit / self.m + self.alpha * self.factor * value
        return self.factor * (value + self.correction() if misfit else value)

    @cached_property
    def grams(self) -> tuple[Matrix, Matrix]:
        """The matrices ``a = LᵀG1L`` and ``c = RᵀG2R``."""
        return self.L.T @ self.G1 @ self.L, self.R.T @ self.G2 @ self.R

    def defects(self) -> list[Fraction]:
        """Return ``η_a = ‖a − I‖`` and ``η_c = ‖c − I‖``, which must be below 1."""
        found = [(M - diagonal([1] * len(M.rows))).norm() for M in self.grams]
        require(max(found) < 1, "the bases L and R of the point are not nearly orthonormal")
        return found

    def core_parts(self, C: Matrix) -> tuple[Fraction, Fraction]:
        """Return the constant ``core``, with ``C_s ⪰ core I`` for the symmetric part of C, and ``‖C_k‖``."""
        core = self.constant("core")
        symmetric = Fraction(1, 2) * (C + C.T) - diagonal([1] * len(C.rows), core)
        self.test(is_semidefinite(symmetric), "(C + Cᵀ)/2 ⪰ core I with core > 0")
        return core, (C - C.T).norm() / 2

    @cached_property
    def corrected(self) -> tuple[Matrix, Matrix, Fraction]:
        """The matrices V and W and a number ν: P V⁻¹ and Q W⁻¹ are orthonormal up to η², with norms of product ≤ ν.

        Here ``P = D1 L``, so that PᵀP = a, ``Q = D2 R``, ``V = (a + I)/2`` and ``W = (c + I)/2``. As ``V² − a =
        (a − I)²/4`` and ``V ⪰ (1 − η_a/2) I``, the norm of ``(P V⁻¹)ᵀ(P V⁻¹) − I = V⁻¹(a − V²)V⁻¹`` is at most
        ``(η_a/(2 − η_a))²``.
        """
        V, W = (Fraction(1, 2) * (M + diagonal([1] * len(M.rows))) for M in self.grams)
        return V, W, root(Fraction(prod(1 + (eta / (2 - eta)) ** 2 for eta in self.defects())))

    def nuclear_norm(self) -> Fraction:
        """Return the smaller of two upper bounds on ``‖Z‖_*``, ``Z = D1 X̂ D2 = P C Qᵀ``.

        One is ``ν ‖C'‖_*`` with ``C' = V C W``. Let C_s be the symmetric part of C' and C_k its skew part. For
        ``C_s ⪰ core I``, ``2 ‖C'‖_* ≤ tr(C' C_s⁻¹ C'ᵀ) + tr C_s = 2 tr C_s + tr(C_k C_s⁻¹ C_kᵀ)``. So the norm of C' is
        at most ``tr C_s + ‖C_k‖²/(2 core)``. The other bound is ``(‖P C‖² + ‖Q‖²)/2``.
        """
        (a, c), C = self.grams, self.C
        bound = ((C.T @ a @ C).trace() + c.trace()) / 2
        if "core" in self.constants:
            V, W, near = self.corrected
            core, skew = self.core_parts(V @ C @ W)
            bound = min(bound, near * ((V @ C @ W).trace() + skew**2 / (2 * core)))
        return bound

    def least_norm(self) -> Fraction:
        """Return a lower bound on ``‖Z‖_*``: ``⟨P K Qᵀ, Z⟩ = tr(K a C c)`` over ``‖P K Qᵀ‖ ≤ ν ‖V K W‖``.

        With ``K = 2 I − (a + c)/2`` the matrix V K W is I up to η².
        """
        (a, c), (V, W, near), eye = self.grams, self.corrected, diagonal([1] * len(self.C.rows))
        K = 2 * eye - Fraction(1, 2) * (a + c)
        return (K @ a @ self.C @ c).trace() / (near * (1 + (V @ K @ W - eye).norm()))

    def correction(self) -> Fraction:
        """Return an upper bound on the least ``‖D1 E D2‖_*`` with ``A(E) = b − b̂``.

        Cells: E consists of the misfits. Otherwise ``K = (⟨A_i, A_j⟩) ⪰ g I`` with g > 0, so that
        ``E = A*(K⁻¹(b − b̂))`` exists and ``‖E‖ ≤ ‖b − b̂‖/√g``; then
        ``‖D1 E D2‖_* ≤ √min(d1, d2) √(‖G1‖ ‖G2‖) ‖E‖``.
        """
        if isinstance(self.A, EntryMap):
            cells, w = self.A.cells, self.A.weights
            require(len(set(cells)) == self.m, "a cell is measured twice, so that misfits are not cells of one matrix")
            roots = [[root(row[i] * G.unit) for i, row in enumerate(G.rows)] for G in (self.G1, self.G2)]
            left, right = map(Matrix.from_rows, roots)
            unit, total = self.residual.unit * left.unit * right.unit / w.unit, 0
            for (i, j), (weight,), (x,) in zip(cells, w.rows, self.residual.rows, strict=True):
                total -= -(abs(x) * left.rows[i][0] * right.rows[j][0] << 64) // abs(weight)
            return total * unit / 2**64
        g, K = self.constant("range_g"), self.A.inner_products()
        self.test(is_semidefinite(K - diagonal([1] * self.m, g)), "the matrix (⟨A_i, A_j⟩) ⪰ g I with g > 0")
        sizes = self.G1.row_norm() * self.G2.row_norm() * self.residual.dot(self.residual)
        return root(min(self.d1, self.d2) * sizes / g)

    # -- Uniqueness. T is the tangent space at Z = D1 X̂ D2 = P C Qᵀ, P = D1 L, Q = D2 R, and B(H) = A(D1⁻¹ H D2⁻¹).

    def metric_bounds(self) -> list[Fraction]:
        """Return g1 and g2 with ``G1 ⪰ g1 I`` and ``G2 ⪰ g2 I`` where measurements see; twice g1 if G1 = G2."""
        bounds = [self.constant("g1"), self.constant("g1" if self.hermitian else "g2")]
        for G, seen, g in zip((self.G1, self.G2), self.seen, bounds, strict=True):
            self.test(is_semidefinite(G - diagonal(seen, g)), "G1 ⪰ g1 I and G2 ⪰ g2 I with g1, g2 > 0")
        return bounds

    @cached_property
    def growth(self) -> tuple[Fraction, Fraction, Fraction, Fraction]:
        """The rate δ', ε/σ, σ and spread of a lemma, all tested, with δ' > 0.

        Lemma. For all H with parts H_T in T and H_⊥ orthogonal to it,

            ‖Z + H‖_* − ‖Z‖_* ≥ ⟨λ, B(H)⟩ − ε ‖H_T‖ + δ ‖H_⊥‖_*,    ‖H_T‖ ≤ (‖B(H)‖ + spread ‖H_⊥‖_*)/σ.

        Proof. Let ``U Vᵀ`` be the polar factor of Z and ``Y = D1⁻¹ A*(λ) D2⁻¹``. There is a subgradient ``U Vᵀ + W``
        of the norm at Z with ``⟨W, H⟩ = ‖H_⊥‖_*``, and ``⟨λ, B(H)⟩ = ⟨Y, H⟩``. So the left side is at least
        ``⟨λ, B(H)⟩ − ⟨P_T(Y) − U Vᵀ, H_T⟩ + ‖H_⊥‖_* − ⟨Y, H_⊥⟩``. Bounds: ``‖P_T(Y) − U Vᵀ‖ ≤ ε`` (`tilt`), the norm of
        Y on the orthogonal complement is at most 1 − δ (`margin`), ``‖B(H)‖ ≥ σ ‖H‖`` in T (`injectivity`) and
        ``‖B(H)‖ ≤ spread ‖H‖_*`` (`spread`). ∎

        Hence the norm grows by ``⟨λ, B(H)⟩ − ε ‖B(H)‖/σ + δ' ‖H_⊥‖_*`` with ``δ' = δ − ε spread/σ``. If δ' > 0, X̂ is
        the unique minimum for the data b̂: ``B(H) = 0`` without growth gives H_⊥ = 0, then H_T = 0.
        """
        (g1, g2), Y = self.metric_bounds(), self.A.adjoint(self.uniqueness_dual())
        delta, sigma, spread = self.margin(Y), self.injectivity(), self.spread(g1, g2)
        ratio = self.tilt(Y, g1, g2) / sigma
        rate = delta - ratio * spread
        self.test(rate > 0, f"growth δ − ε spread/σ > 0, with δ = {shown(delta, 3)} and ε/σ = {shown(ratio, 3)}")
        return rate, ratio, sigma, spread

    def uniqueness_dual(self) -> Matrix:
        """Return λ for uniqueness."""
        return self.duals["uniqueness"] if "uniqueness" in self.duals else self.value_dual()

    def margin(self, Y: Matrix) -> Fraction:
        """Return δ with ``‖(I − Π1) D1⁻¹ Λ D2⁻¹ (I − Π2)‖ ≤ 1 − δ``, Π1 and Π2 the projections on ranges of P and Q.

        If ``[[(1−δ)G1 + G1LLᵀG1, −Λ], [−Λᵀ, (1−δ)G2 + G2RRᵀG2]] ⪰ 0``, take p, q with LᵀG1p = 0 and RᵀG2q = 0: then
        ``2 pᵀΛq ≤ (1−δ)(pᵀG1p + qᵀG2q)``, and D1 p, D2 q are any vectors orthogonal to P and Q.
        """
        delta = self.constant("delta")
        P, Q = ((1 - delta) * G + (G @ M).gram() for G, M in ((self.G1, self.L), (self.G2, self.R)))
        self.test(dominates(P, Y, Q), "[[(1−δ)G1 + G1LLᵀG1, −Λ], [−Λᵀ, (1−δ)G2 + G2RRᵀG2]] ⪰ 0 with δ > 0")
        return delta

    def injectivity(self) -> Fraction:
        """Return σ with ``‖B(H)‖ ≥ σ ‖H‖`` in T.

        H in T is ``P (D2E)ᵀ + (D1F) Qᵀ`` with LᵀG1F = 0. The two terms are orthogonal, so that
        ``‖H‖² = tr(a EᵀG2E) + tr(c FᵀG1F) ≤ (1+η)(tr EᵀG2E + tr FᵀG1F)`` with η ≥ η_a, η_c. The test is
        ``JᵀJ + γ diag(0, I ⊗ G1LLᵀG1) ⪰ σ² (1+η) diag(I ⊗ G2, I ⊗ G1)``, J the map ``(E, F) ↦ A(L Eᵀ + F Rᵀ)``; the
        term with γ vanishes at this E and F.
        """
        square, gamma, r = self.constant("sigma2"), self.constant("gamma", 0), self.L.shape[1]
        less = square * (1 + max(self.defects()))
        blocks = [-less * self.G2] * r + [gamma * (self.G1 @ self.L).gram() - less * self.G1] * r
        what = "JᵀJ + γ diag(0, I⊗G1LLᵀG1) ⪰ σ²(1+η) diag(I⊗G2, I⊗G1) with γ ≥ 0 and σ > 0"
        self.test(is_semidefinite(self.normal(self.A) + block_diagonal(blocks)), what)
        return root(square, above=False)

    def normal(self, A: Measurement) -> Matrix:
        """Return ``JᵀJ``."""
        return A.normal(self.L, self.R) if isinstance(A, EntryMap) else A.derivative(self.L, self.R).T.gram()

    def tilt(self, Y: Matrix, g1: Fraction, g2: Fraction) -> Fraction:
        """Return ``ε ≥ ‖P_T(Y) − U Vᵀ‖``.

        ``‖P_T(M)‖² ≤ ‖Π1 M‖² + ‖M Π2‖²`` with M = Y − P Qᵀ. Here ``‖Π1 M‖² = tr(a⁻¹ E1 G2⁻¹ E1ᵀ)`` with
        ``E1 = LᵀΛ − a RᵀG2``, at most ``‖E1‖²/((1−η_a) g2)``; likewise ``E2 = ΛR − G1L c``. And
        ``‖P Qᵀ − U Vᵀ‖ ≤ 2Δ/core + τ`` with ``τ = η_a(1+η_c) + η_c`` and ``Δ = τ ‖C‖ + ‖C_k‖``: with the polar form
        ``z = a^½ C c^½ = O h`` and ``z = C_s + N``, ``‖N‖ ≤ Δ``, the matrix O − I solves the Sylvester equation
        ``C_s(O−I) + (O−I)h = N − NᵀO`` with C_s ⪰ core I and h ⪰ 0, and ``‖a^½ c^½ − I‖ ≤ τ``.
        """
        (a, c), (eta_a, eta_c), (core, skew) = self.grams, self.defects(), self.core_parts(self.C)
        E1 = self.L.T @ Y - a @ (self.G2 @ self.R).T
        E2 = Y @ self.R - self.G1 @ self.L @ c
        distance = root(E1.dot(E1) / ((1 - eta_a) * g2) + E2.dot(E2) / ((1 - eta_c) * g1))
        tau = eta_a * (1 + eta_c) + eta_c
        return distance + 2 * (tau * self.C.norm() + skew) / core + tau

    def spread(self, g1: Fraction, g2: Fraction) -> Fraction:
        """Return an upper bound on ``‖B(H)‖/‖H‖_*``.

        It suffices to take ``H = (D1u)(D2v)ᵀ``: ``Σ (uᵀA_iv)²`` is at most ``|v|² uᵀ(ΣA_iA_iᵀ)u`` and
        ``|u|² vᵀ(ΣA_iᵀA_i)v``, with |u|² ≤ |D1u|²/g1, |v|² ≤ |D2v|²/g2. With metric_power 1, ΣA_iA_iᵀ = m d2 G1, and
        ΣA_i² = m G for Hermitian matrices.
        """
        if self.model["metric_power"] == 1:
            return root(min(self.counts[0] / g2, self.counts[1] / g1))
        return root(min(self.M1.row_norm(), self.M2.row_norm()) / (g1 * g2))

    def backward(self) -> Fraction:
        """Return an upper bound on ``‖b̂ − b‖/‖b‖`` once X̂ is proved to be the unique minimum for b̂."""
        require(not self.alpha, "uniqueness of penalised minima is not a statement of proofs")
        if not self.point:
            self.metric_bounds()
            return Fraction(0)
        sides = ((M.rows, seen) for M, seen in zip((self.L, self.R), self.seen, strict=True))
        outside = (row for rows, seen in sides for row, inside in zip(rows, seen, strict=True) if not inside)
        require(not any(map(any, outside)), "X̂ does not vanish in rows or columns that no measurement sees")
        change, size = self.change(), self.b.dot(self.b)
        require(self.growth[0] > 0 and size > 0, "the data are zero, so the point must be")
        return root(change.dot(change) / size)

    def change(self) -> Matrix:
        """Return b − b̂."""
        return self.residual

    def radius(self, level: Fraction) -> Fraction:
        """Return a bound on ``‖X' − X̂‖`` for all X' that fit b with scaled trace at most ``level``.

        With H = Z' − Z, B(H) = b − b̂ = res. By the lemma, ``h = ‖H_⊥‖_* ≤ (level/f − ‖Z‖_* − ⟨λ, res⟩ + ε ‖res‖/σ)/δ'``
        and ``w = ‖H_T‖ ≤ (‖res‖ + spread h)/σ``. Last, ``‖X' − X̂‖ ≤ √(w² + h²)/√(g1 g2)``.
        """
        self.backward()
        (rate, ratio, sigma, spread), (g1, g2), misfit = self.growth, self.metric_bounds(), self.residual.norm()
        excess = level / self.factor - self.least_norm() - self.uniqueness_dual().dot(self.residual)
        h = max(Fraction(0), excess + ratio * misfit) / rate
        w = (misfit + spread * h) / sigma
        return root((w * w + h * h) / (g1 * g2))


class SymmetricTheorem(Theorem):
    """Theorems on symmetric ``X = U C Uᵀ``, written as ``L C' Rᵀ`` with L = U, R = U Σ, C' = C Σ, Σ = sign(diag C).

    For symmetric Λ the matrix ``[[G, −Λ], [−Λ, G]]`` is ⪰ 0 exactly if ``−G ⪯ Λ ⪯ G``, so that the tests of dual
    vectors are those of `Theorem`; in particular ``8 tr(G(U₊U₊ᵀ + U₋U₋ᵀ)) ≥ 8 ⟨Λ, U₊U₊ᵀ − U₋U₋ᵀ⟩ = 8 ⟨λ, b⟩``.


    Definitions
    -----------
    trace : The scaled trace of X is 8 ‖D X D‖_*, where ‖·‖_* is the sum of the singular values, and D is the positive
        semidefinite square root of G = Σ A_i²/m.
    power 0 : Here G is replaced by its mean eigenvalue times the identity, with zeros where no measurement sees.
    point : X̂ is the matrix U C Uᵀ of the arrays U, C in the proof (key "point").

    Symbols
    -------
    L, C, R : factors of X̂ = L C Rᵀ after a change of basis; R is L with other signs of columns. LᵀGL is I up to η in
        norm. In the line with core, C is another core, for bases that are orthonormal up to η².
    G1, G2, D1, D2 : G1 = G2 = G and D1 = D2 = D.
    J : the map E ↦ A(U Eᵀ + E Uᵀ) with U = L, a matrix that acts on the columns of E.
    Q, s, N : Q is the matrix of the quadratic form E ↦ ‖skew part of UᵀGE‖², s ≥ ‖UᵀGU‖, and N = G.
    """

    factor, hermitian = 8, True

    def factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return ``U T``, ``T⁻¹ C T⁻ᵀ Σ`` and ``U T Σ``."""
        U, C, _ = super().factors()
        require(C.rows == C.T.rows, "the core C is not symmetric")
        signs = diagonal([1 if row[i] >= 0 else -1 for i, row in enumerate(C.rows)])
        return U, C @ signs, U @ signs

    def injectivity(self) -> Fraction:
        """Return σ with ``‖B(H)‖ ≥ σ ‖H‖`` for symmetric H in T, that is ``P (DE)ᵀ + (DE) Pᵀ`` (`hermitian_test`)."""
        return self.hermitian_test(self.L, [self.G1 @ self.L], 1 + self.defects()[0], self.G1)

    def hermitian_test(self, U: Matrix, turned: list[Matrix], size: Fraction, G: Matrix) -> Fraction:
        """Return σ with ``‖A(X)‖ ≥ σ ‖D X D‖`` for all ``X = U E* + E U*``, where ``size ≥ ‖U*GU‖``.

        E can be chosen with U*GE Hermitian, by adding U K with a skew K. Then ``‖D X D‖² ≤ 4 ‖U*GU‖ tr E*GE``. The test
        is ``JᵀJ + γ Q ⪰ 4 σ² size I ⊗ G`` with J the map ``E ↦ A(U E* + E U*)`` and Q the squared norm of the skew part
        of U*GE, which vanishes. ``turned`` is G U, and for complex U also i G U, as real columns.
        """
        assert not isinstance(self.A, EntryMap)
        square, J = self.constant("sigma2"), self.A.derivative(U, U)
        normal = 4 * Matrix(J.T.rows[: J.shape[1] // 2], J.unit).gram()
        less = block_diagonal([4 * square * size * G] * U.shape[1]) - self.constant("gamma", 0) * skew_square(turned)
        self.test(is_semidefinite(normal - less), "JᵀJ + γ Q ⪰ 4σ² s I⊗N with γ ≥ 0 and σ > 0")
        return root(square, above=False)


def skew_square(parts: list[Matrix]) -> Matrix:
    """Return the matrix of the quadratic form ``E ↦ ‖skew part of U*E‖²`` in columns of E, one after the other.

    The first part is U, as real columns; the second, for complex U, is i U. Then Re (U*E)_cd is ``u_c · e_d`` and
    Im (U*E)_cd is ``v_c · e_d``, and the skew part has ½ (u_c · e_d − u_d · e_c) and ½ (v_c · e_d + v_d · e_c).
    """
    r, halves = parts[0].shape[1], []
    for part, sign in zip(parts, (-1, 1), strict=False):
        product = block_diagonal([part.T] * r)
        swapped = Matrix([product.rows[c * r + d] for d in range(r) for c in range(r)], product.unit)
        halves.append((product + sign * swapped).T)
    return Fraction(1, 4) * in_blocks([halves]).gram()


class SplitTheorem(Theorem):
    """Theorems on a table ``Y = X + S`` with sparse S: the cost of a split is ``‖X‖_* + weight Σ |Y − X|``, G = I.

    Definitions
    -----------
    given : The instance has a table Y of this shape, of which m cells are observed; the others are NaN.
    fit : A split of Y is an X with the errors S = Y − X in the observed cells.
    trace : It costs ‖X‖_* + w Σ |S_ij|, where ‖·‖_* is the sum of the singular values, the other sum is over the
        observed cells, and w is the floating-point number {weight!r}.
    flat : A split is the only cheapest one if every other split costs more.
    power 0 : The number metric_power of the proof has no effect here.
    point : X̂ is the matrix L C Rᵀ of the arrays L, C, R in the proof (key "point"); Ŝ are the errors S there, zero in
        other cells.
    zero : X̂ is the zero matrix, and so is Ŝ.

    Statements
    ----------
    V : Every split of Y costs at least {lower}.
    U : The split of Y with X = X̂ costs at most {upper}.
    B : X̂ with the errors Ŝ is the only cheapest split, exactly, of the table Ŷ = X̂ + Ŝ with the same observed cells,
        and ‖Ŷ − Y‖ ≤ {beta} ‖Y‖ in these cells.
    F : Every split of Y that costs at most {upper} has its X within {radius} of X̂ in Frobenius norm.
    T : X̂ with the errors Ŝ is a split of Y, exactly, and it is the only cheapest one.

    Symbols
    -------
    λ, Λ : λ is a vector of numbers in the proof (key "duals"), one for each observed cell: "value" for V, "uniqueness"
        for B, F and T. Λ is the matrix with these numbers in the observed cells, and zeros elsewhere.
    G1, G2, D1, D2 : identity matrices.
    κ : a number in the proof (key "constants").
    J : the map (E, F) ↦ L Eᵀ + F Rᵀ to the observed cells without errors, a matrix that acts on columns of E and F.
    ε, spread : ε bounds the norm of the part in T of Λ − U Vᵀ, where U Vᵀ is the polar factor of X̂; spread = 1.
    growth : a split X̂ + H of Ŷ costs more than X̂ by at least growth times ‖part of H outside of T‖_* + Σ |H_ij|, summed
        over observed cells without errors.
    """

    A: EntryMap
    factor = 1

    def squares(self) -> tuple[Matrix, Matrix]:
        """Return what makes the metrics G1 and G2 the identity."""
        return diagonal([self.m * self.d2] * self.d1), diagonal([self.m * self.d1] * self.d2)

    def spread(self, g1: Fraction, g2: Fraction) -> Fraction:
        """Return 1: the norm of some cells of H is at most the nuclear norm of H."""
        return Fraction(1)

    def test_value_dual(self) -> None:
        """Test ``‖W‖ ≤ 1`` and ``|W_ij| ≤ weight``: then ``⟨W, Y⟩ = ⟨W, X⟩ + ⟨W, Y − X⟩`` is at most the cost."""
        super().test_value_dual()
        size = largest((W := self.value_dual()).rows) * W.unit
        self.test(size <= self.weight, "|λ_i| ≤ w in all observed cells")

    def cost(self, S: Matrix) -> Fraction:
        """Return the cost ``weight Σ |S_ij|`` of errors."""
        return self.weight * S.unit * sum(abs(x) for (x,) in S.rows)

    def correction(self) -> Fraction:
        """Return the cost of the errors ``Y − X̂``."""
        return self.cost(self.residual)

    @cached_property
    def sparse(self) -> Matrix:
        """The errors Ŝ in the observed cells."""
        rows, columns, values = self.point.get("S", ((), (), Matrix([])))
        found = dict(zip(zip(rows, columns, strict=True), (x for (x,) in values.rows), strict=True))
        require(found.keys() <= {*self.A.cells}, "the errors 'S' have a cell that is not observed")
        require(len(found) == len(rows) and all(found.values()), "the errors 'S' have a zero, or a cell twice")
        return Matrix([[found.get(cell, 0)] for cell in self.A.cells], values.unit)

    def normal(self, A: Measurement) -> Matrix:
        """Return ``JᵀJ`` for the observed cells without errors."""
        free = [cell for cell, (x,) in zip(self.A.cells, self.sparse.rows, strict=True) if x == 0]
        return super().normal(EntryMap(free, Matrix([[1]] * len(free)), self.A.shape))

    def margin(self, Y: Matrix) -> Fraction:
        """Return ``min(δ, κ)``, from which the rate is ``min(δ, κ) − ε/σ``.

        Let F be the observed cells without errors, and W the dual, zero in cells that are not observed, with
        ``W = weight sign(Ŝ)`` at the errors and ``|W| ≤ weight − κ`` in F. Then the cost of ``X̂ + H, Ŝ − H`` exceeds
        that of ``X̂, Ŝ`` by at least

            ⟨UVᵀ, H⟩ + ‖H_⊥‖_* − weight ⟨sign Ŝ, H⟩ + weight ‖H_F‖_1  ≥  δ ‖H_⊥‖_* + κ ‖H_F‖_1 − ε ‖H_T‖,

        since ``weight ⟨sign Ŝ, H⟩ ≤ ⟨W, H⟩ + (weight − κ) ‖H_F‖_1`` and ⟨W, H⟩ is bounded as in the lemma. In T,
        ``‖H_F‖ ≥ σ ‖H‖``, so ``σ ‖H_T‖ ≤ ‖H_F‖_1 + ‖H_⊥‖_*``. If the rate is positive, no growth means H_F = 0,
        H_⊥ = 0, hence H = 0, in unobserved cells too.
        """
        delta, kappa, W = super().margin(Y), self.constant("kappa"), self.uniqueness_dual()
        for (w,), (x,) in zip(W.rows, self.sparse.rows, strict=True):
            at_error = w * W.unit == (self.weight if x > 0 else -self.weight)
            require(at_error if x else abs(w) * W.unit <= self.weight - kappa, "W is not as the errors 'S' demand")
        self.test(True, "λ_i = w sign(Ŝ) at errors, |λ_i| ≤ w − κ in other observed cells, with κ > 0")
        return min(delta, kappa)

    def change(self) -> Matrix:
        """Return ``Y − X̂ − Ŝ`` in observed cells."""
        return self.residual - self.sparse

    def radius(self, level: Fraction) -> Fraction:
        """Return a bound on ``‖X' − X̂‖`` for all splits ``Y = X' + S'`` that cost at most ``level``.

        Let H = X' − X̂ and ``Δ = Y − Ŷ``, so that S' = Ŝ − H + Δ in observed cells. Then ``X̂ + H, Ŝ − H`` splits Ŷ and
        costs at most ``weight ‖Δ‖_1`` more than level. With `margin`, ``h = ‖H_⊥‖_* + ‖H_F‖_1`` is at most
        ``(level + weight ‖Δ‖_1 − ‖X̂‖_* − weight ‖Ŝ‖_1)/rate``, and ``‖H_T‖ ≤ h/σ``, so ``‖H‖² ≤ h² + (h/σ)²``.
        """
        self.backward()
        excess = level + self.cost(self.change()) - self.least_norm() - self.cost(self.sparse)
        return max(Fraction(0), excess) / self.growth[0] * root(1 + 1 / self.growth[2] ** 2)


class SemidefiniteTheorem(SymmetricTheorem):
    """Theorems on ``X = U C U* ⪰ 0``, real or complex.

    Definitions
    -----------
    trace : The scaled trace of X is 8 tr(G X), where G = Σ A_i²/m.
    point : X̂ is the matrix U C U{t} of the arrays U, C in the proof (key "point"), or U U{t} if there is no C.

    Statements
    ----------
    determined B : X̂ is the only positive semidefinite matrix with the measurements b̂ = A(X̂), exactly, and
        ‖b̂ − b‖ ≤ {beta} ‖b‖.{among}
    determined F : Every positive semidefinite X with ‖A(X) − b‖ ≤ {noise} lies within {radius} of X̂ in Frobenius
        norm.{among}
    determined T : X̂ fits the data exactly, and is the only positive semidefinite matrix that does.{among}

    Symbols
    -------
    L, C, R : C is the core of X̂ = U C U{t}, or the identity.
    t, c, u, γ, σ : numbers in the proof (key "constants"); sigma2 is σ².
    J : the map E ↦ A(U E{t} + E U{t}), a matrix that acts on the columns of E, real parts before imaginary ones.
    Q, s, N : Q is the matrix of the quadratic form E ↦ ‖skew part of U{t}E‖², s = ‖U‖², and N = I.
    T : the space of all U E{t} + E U{t}.
    ε, spread : ε bounds the norm of the part of W in T. For all H, ‖A(H)‖ ≤ spread ‖H‖_*, with ‖·‖_* the sum of the
        singular values.
    growth : if X = X̂ + H ⪰ 0 has the measurements of X̂, ⟨W, H⟩ is at least growth times the trace of the part of H
        outside of T.
    * : the transpose, conjugated if matrices are complex. Complex matrices are tested as real ones of twice the order.
    """

    def factors(self) -> tuple[Matrix, Matrix, Matrix]:
        """Return U, C ⪰ 0 and U; in the complex case real forms, and C/2 since ``u u* + v v*`` counts X̂ twice."""
        C = self.point.get("C", diagonal([1] * (U := self.point["L"]).shape[1]))
        self.test(is_semidefinite(C), "C ⪰ 0")
        return U, Fraction(1, 2 if self.model["complex"] else 1) * C, U

    def value_dual(self) -> Matrix:
        """Return λ for the value; if the proof has none, ``λ_i = |x_i|²/m`` with Λ = G."""
        if "value" not in self.duals and self.is_determined and isinstance(self.A, VectorMap):
            return Matrix(self.A.lengths[0].rows[: self.m], self.A.lengths[0].unit / self.m)
        return super().value_dual()

    def test_value_dual(self) -> None:
        """Test ``Λ ⪯ G``, so that ``tr(GX) ≥ ⟨Λ, X⟩ = ⟨λ, b⟩`` for all X ⪰ 0 that fit."""
        if "value" in self.duals or not self.is_determined:
            self.test(is_semidefinite(self.G1 - self.A.adjoint(self.value_dual())), "G − Λ ⪰ 0")

    def nuclear_norm(self) -> Fraction:
        """Return ``tr(G X̂)``."""
        return (self.L.T @ self.G1 @ self.L @ self.C).trace()

    def correction(self) -> Fraction:
        """Refuse: ``X̂ + E`` need not be positive semidefinite."""
        raise Refused("X̂ does not fit the data exactly, which an upper bound for semidefinite matrices needs")

    @cached_property
    def growth(self) -> tuple[Fraction, Fraction, Fraction, Fraction]:
        """The rate t − ε spread/σ, ε/σ, σ and spread of a lemma, all tested, with a positive rate.

        Lemma. Let X' ⪰ 0, H = X' − X̂, H_T its part in ``T = {U E* + E U*}``, and H_⊥ ⪰ 0 the rest, Π the projection on
        the range of U. If ``W + c U U* ⪰ t I``, then

            ⟨W, H⟩ ≥ t tr H_⊥ − ε ‖H_T‖,    ‖H_T‖ ≤ (‖A(H)‖ + spread tr H_⊥)/σ,    ε² = 2 ‖W U‖²/u,  U*U ⪰ u I.

        Proof. ``v*Wv ≥ t |v|²`` if U*v = 0. And ``‖P_T(W)‖² ≤ 2 ‖W Π‖²``, ``‖W Π‖² = tr(U*W²U (U*U)⁻¹)``. The spread is
        ``‖ΣA_i²‖^½``, as ``|A(vv*)|² = Σ (v*A_iv)² ≤ |v|² Σ |A_iv|²``. ∎

        With ``W = A*(λ)``, ``⟨W, H⟩ = ⟨λ, A(H)⟩``. With ``W = G − A*(λ)``, ``⟨W, H⟩ = tr(GX') − tr(GX̂) − ⟨λ, A(H)⟩``.
        In both cases A(H) = 0 without growth and a positive rate give H_⊥ = 0, then H_T = 0.
        """
        Y, eye = self.A.adjoint(self.uniqueness_dual()), diagonal(self.seen[0])
        W, name = (Y, "Λ") if self.is_determined else (self.G1 - Y, "G − Λ")
        t, u, inner = self.constant("t"), self.constant("u"), self.L.T.gram()
        margin = W + self.constant("c", 0) * self.L.gram() - t * eye
        self.test(is_semidefinite(margin), f"W + c UU* ⪰ t I with W = {name}, c ≥ 0 and t > 0")
        self.test(is_semidefinite(inner - diagonal([1] * len(inner.rows), u)), "U*U ⪰ u I with u > 0")
        columns, r = self.L.T.rows, self.L.shape[1] // (1 + self.model["complex"])
        parts = [Matrix(columns[k : k + r], self.L.unit).T for k in range(0, len(columns), r)]
        sigma = self.hermitian_test(parts[0], parts, parts[0].dot(parts[0]), eye)
        turned, spread = W @ parts[0], root(self.M1.row_norm())
        ratio = root(2 * turned.dot(turned) / u) / sigma
        rate = t - ratio * spread
        self.test(rate > 0, f"growth t − ε spread/σ > 0, with t = {shown(t, 3)} and ε/σ = {shown(ratio, 3)}")
        return rate, ratio, sigma, spread

    def radius(self, level: Fraction) -> Fraction:
        """Return a bound on ``‖X' − X̂‖`` for X' ⪰ 0.

        If the data determine the trace, X' has ``‖A(X') − b‖ ≤ level``; then ``‖A(H)‖ ≤ η = level + ‖b − b̂‖`` and
        ``⟨W, H⟩ ≤ ‖λ‖ η``. Otherwise ``A(X') = b`` and ``8 tr(GX') ≤ level``; then ``‖A(H)‖ = η = ‖b − b̂‖`` and
        ``⟨W, H⟩ ≤ level/8 − tr(GX̂) − ⟨λ, b − b̂⟩``. In both cases the lemma gives ``tr H_⊥ ≤ h = (⟨W, H⟩ + ε η/σ)/rate``
        and ``‖H‖² ≤ ((η + spread h)/σ)² + h²``.
        """
        self.backward()
        (rate, ratio, sigma, spread), eta, dual = self.growth, self.residual.norm(), self.uniqueness_dual()
        excess = level / 8 - self.nuclear_norm() - dual.dot(self.residual)
        if self.is_determined:
            eta += level
            excess = dual.norm() * eta
        h = max(Fraction(0), excess + ratio * eta) / rate
        w = (eta + spread * h) / sigma
        return root(w * w + h * h)


# ---------------------------------------------------------------------------------------------------------------------
# 5. Files


class Array(NamedTuple):
    """Numbers of a file, row by row: real parts, and imaginary parts of complex ones."""

    shape: tuple[int, ...]
    parts: list[Sequence[float]]
    is_integer: bool

    def matrix(self) -> Matrix:
        """Return a real array as a matrix: the first axis counts rows, and vectors are columns."""
        return Matrix.from_rows(self.parts[0], prod(self.shape[1:]))

    def real_form(self, sign: int = 1) -> Matrix:
        """Return a complex matrix M, or its conjugate for sign −1, as ``[[Re M, −Im M], [Im M, Re M]]``."""
        real, imaginary = (Matrix.from_rows(p, self.shape[1]) for p in (*self.parts, [0] * len(self.parts[0]))[:2])
        return in_blocks([[real, -sign * imaginary], [sign * imaginary, real]])


def table(text: str) -> dict[str, str]:
    """Return a dictionary from a text such as ``a=1, b=2``."""
    return dict(item.split("=") for item in text.split(", "))


#: Types of arrays, and how `struct` names their numbers.
TYPES = table("f2=e, f4=f, f8=d, c8=ff, c16=dd, b1=?, u1=B, u2=H, u4=I, u8=Q, i1=b, i2=h, i4=i, i8=q")


def decoded(data: bytes, kind: str, shape: tuple[int, ...], name: str) -> Array:
    """Return an array from its bytes and a type such as ``<f8``; only the table Y may have NaN."""
    possible = len(shape) <= 3 and all(type(n) is int and 0 < n < 2**40 for n in shape)
    good = possible and (code := TYPES.get(kind[1:], "")) and kind[0] in "<>|"
    require(good, f"the array {name!r} has the type {kind!r} and the shape {shape}, expected a few numbers")
    size = (count := prod(shape)) * struct.calcsize("<" + code)
    require(len(data) == size, f"the array {name!r} has {len(data)} bytes, expected {size}")
    values = struct.unpack(f"{kind[0].replace('|', '<')}{count * len(code)}{code[0]}", data)
    good = all(2.0**-RANGE <= abs(x) <= 2.0**RANGE or x == 0 or (x != x and name == "Y") for x in values)
    require(good, f"the array {name!r} has numbers that are not finite, or outside of 2^±{RANGE}; scale them")
    return Array(shape, [values[k :: len(code)] for k in range(len(code))], code in "bhiqBHIQ")


def read_instance(data: bytes) -> dict[str, Array]:
    """Return the arrays of an ``.npz`` file."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            plain = {entry.compress_type for entry in entries} <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
            small = sum(entry.file_size for entry in entries) <= MAX_BYTES
            require(plain and small, "its arrays are too large, or compressed by a method other than deflate")
            parts = [(entry.filename.removesuffix(".npy"), archive.read(entry)) for entry in entries]
    except Exception as error:  # the archive is a stranger's, and its reader raises many kinds of errors
        raise Refused(f"the instance is not a readable .npz file: {error}") from None
    require(len(dict(parts)) == len(parts), "the instance has two arrays of one name")
    return {name: read_npy(content, name) for name, content in parts}


def read_npy(data: bytes, name: str) -> Array:
    """Return the array of an ``.npy`` file."""
    start = 10 if data[6:7] == b"\1" else 12
    end = start + int.from_bytes(data[8:start], "little")
    try:
        require(data[:6] == b"\x93NUMPY" and end < min(len(data), 10_000), "")
        header = ast.literal_eval(data[start:end].decode("latin-1").strip())
        kind, by_columns, shape = header["descr"], header["fortran_order"], header["shape"]
        require(isinstance(kind, str) and len(kind) > 1 and by_columns is False and isinstance(shape, tuple), "")
    except (Refused, ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise Refused(f"the array {name!r} has no header of numbers that are stored row by row (C order)") from None
    return decoded(data[end:], kind, shape, name)


def canonical(document: Any) -> bytes:
    """Return the only text that a document may have in a file, without its last line break."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def read_proof(data: bytes) -> dict[str, Any]:
    """Return the document of a proof, whose text is canonical, which excludes keys that stand twice, and sealed."""
    try:
        document = json.loads(data.decode("ascii"))
        require(data == canonical(document) + b"\n", "the proof is not in canonical form")
    except (ValueError, RecursionError):
        raise Refused("the proof is not readable JSON") from None
    expect_keys(document, "flatmin_proof instance model point duals constants statements seal", "", "the proof")
    require(canonical(document["flatmin_proof"]) == b"1", "the proof has an unknown format, expected 1")
    require(document.pop("seal") == hashlib.sha256(canonical(document)).hexdigest(), "the seal of the proof is wrong")
    return dict(document)


def expect_keys(found: Any, required: str, optional: str, name: str) -> None:
    """Raise `Refused` unless something is a dictionary with the required keys and no others than optional ones."""
    require(isinstance(found, dict), f"{name} is not a JSON object")
    wrong = (set(required.split()) - found.keys()) | (found.keys() - set(required.split()) - set(optional.split()))
    require(not wrong, f"{name} lacks, or has without need, {', '.join(map(ascii, sorted(wrong)))}")


def bind(sizes: dict[str, int], shape: tuple[int, ...], axes: str, name: str) -> None:
    """Give lengths to axes such as "m d1", or raise `Refused` if they have others."""
    pairs, limits = list(zip(axes.split(), shape, strict=False)), {"d": MAX_ORDER, "r": MAX_ORDER}
    fits = all(type(n) is int and sizes.setdefault(a, n) == n <= limits.get(a[0], 2**40) for a, n in pairs)
    fits = fits and len(shape) == len(axes.split())
    require(fits, f"the array {name!r} has the shape {shape}, expected ({axes}) with {sizes}")


def read_array(found: Any, name: str, axes: str, sizes: dict[str, int], types: str = "f8 i8") -> Array:
    """Return an array of a proof with such axes."""
    expect_keys(found, "shape dtype base64", "", f"the array {name!r}")
    good = isinstance(found["shape"], list) and found["dtype"] in types.split()
    require(good, f"the array {name!r} has no shape, or the type {found['dtype']!r}, expected {types}")
    shape = tuple(found["shape"])
    bind(sizes, shape, axes, name)
    try:
        data = base64.b64decode(found["base64"], validate=True)
        require(base64.b64encode(data).decode() == found["base64"], "")
    except (ValueError, TypeError, Refused):
        raise Refused(f"the array {name!r} is not in canonical base64") from None
    return decoded(data, "<" + found["dtype"], shape, name)


def read_float(text: Any, name: str) -> Fraction:
    """Return a number from the form of ``float.hex``."""
    form = isinstance(text, str) and re.fullmatch(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,3}", text)
    value = float.fromhex(text) if form else float("nan")
    require(value == 0 or 2.0**-RANGE <= abs(value) <= 2.0**RANGE, f"{name} is {text!r}, expected a moderate float.hex")
    return Fraction(value)


def read_decimal(text: Any, name: str) -> Fraction:
    """Return a number from a decimal such as ``-12.5`` or ``3.1e-12``."""
    good = isinstance(text, str) and re.fullmatch(r"-?[0-9]{1,400}(\.[0-9]{1,400})?(e[+-]?[0-9]{1,3})?", text)
    require(good, f"{name} is {text!r}, expected a decimal number in quotes")
    return Fraction(text)


#: The cones, and what matrices in them are called.
CONES = {"rectangular": "", "semidefinite": "positive semidefinite ", "symmetric": "symmetric "}
#: The values that each part of a model may have. No theorem depends on the name of a family, so there is none.
CHOICES: dict[str, tuple[Any, ...]] = {
    "family": (None,),
    "measurement": ("dense", "vectors", "entries", "cells"),
    "cone": (*CONES,),
    "complex": (False, True),
    "metric_power": (0, 1),
    "objective": ("interpolating", "penalised", "robust"),
}
#: The axes of the arrays of an instance, and of a point.
INSTANCE = table("A=m d1 d2, b=m, left=m d1, right=m d2, rows=m, cols=m, shape=two, Y=d1 d2, weights=m")
POINT = table("L=d1 r, C=r r, R=d2 r, U=d1 r, T1=r r, T2=r r, T=r r")


def check_model(model: Any) -> None:
    """Raise `Refused` unless the model is one of those that theorems are about."""
    expect_keys(model, "family measurement cone complex metric_power objective alpha weight", "", "the model")
    for name, values in CHOICES.items():
        known = any(type(model[name]) is type(value) and model[name] == value for value in values)
        require(known, f"{name} is {model[name]!r}, expected one of {values}")
    kind, cone, objective = (model[name] for name in ("measurement", "cone", "objective"))
    together = (kind == "cells") == (objective == "robust") and (kind in ("dense", "vectors") or cone == "rectangular")
    real = not model["complex"] or (kind, cone) == ("vectors", "semidefinite")
    require(together and real, "measurement, cone, objective and complex of the model do not go together")
    for name, wanted in (("alpha", "penalised"), ("weight", "robust")):
        good = read_float(model[name], name) > 0 if objective == wanted else model[name] is None
        require(good, f"{name} must be positive for the objective {wanted}, and null for others")


def measurement_of(model: dict[str, Any], arrays: dict[str, Array]) -> tuple[Measurement, Matrix, dict[str, int]]:
    """Return the map A, the data b and the sizes m, d1, d2 of an instance."""
    kind, square = model["measurement"], model["cone"] != "rectangular"
    keys = {"dense": ("A b", ""), "vectors": ("left b" if square else "left right b", ""), "cells": ("Y", "")}
    expect_keys(arrays, *keys.get(kind, ("rows cols shape b", "weights")), "the instance")
    sizes: dict[str, int] = {"two": 2}
    for name, array in arrays.items():
        bind(sizes, array.shape, INSTANCE[name], name)
        require(len(array.parts) == 1 or (name == "left" and model["complex"]), f"the array {name!r} is complex")
    if kind == "cells":
        d1, d2, Y = sizes["d1"], sizes["d2"], arrays["Y"].parts[0]
        seen = [k for k, x in enumerate(Y) if x == x]
        require(seen, "no cell of Y is observed")
        cells = EntryMap([divmod(k, d2) for k in seen], Matrix([[1]] * len(seen)), (d1, d2))
        return cells, Matrix.from_rows([Y[k] for k in seen]), {**sizes, "m": len(seen)}
    m, b = sizes["m"], arrays["b"].matrix()
    if kind == "dense":
        d1, d2, A = sizes["d1"], sizes["d2"], arrays["A"].matrix()
        flipped = [j * d1 + i for i in range(d1) for j in range(d1)]
        symmetric = not square or (d1 == d2 and all([row[k] for k in flipped] == row for row in A.rows))
        require(symmetric, "the sensing matrices are not symmetric; use (A_i + A_iᵀ)/2")
        return DenseMap(A, (d1, d2)), b, sizes
    if kind == "vectors":
        X = arrays["left"].real_form(-1) if model["complex"] else arrays["left"].matrix()
        other = X if square else arrays["right"].matrix()
        return VectorMap(X, other, 1 + model["complex"]), b, {"d2": sizes["d1"], **sizes}
    require(all(arrays[name].is_integer for name in ("rows", "cols", "shape")), "rows, cols, shape must be integers")
    (rows, columns, (d1, d2)) = ([int(i) for i in arrays[name].parts[0]] for name in ("rows", "cols", "shape"))
    require(min(d1, d2) > 0 and max(d1, d2) <= MAX_ORDER, f"the shape {(d1, d2)} of the matrix is impossible")
    weights = arrays["weights"].matrix() if "weights" in arrays else Matrix([[1]] * m)
    cells = EntryMap(list(zip(rows, columns, strict=True)), weights, (d1, d2))
    good = all(0 <= i < d1 and 0 <= j < d2 for i, j in cells.cells) and all(map(any, weights.rows))
    require(good, "some cells lie outside of the matrix, or have weight zero")
    return cells, b, {**sizes, "d1": d1, "d2": d2}


def point_of(model: dict[str, Any], found: Any, sizes: dict[str, int]) -> dict[str, Any]:
    """Return the matrices of a point."""
    keys = {"rectangular": ("L C R", "T1 T2"), "symmetric": ("U C", "T"), "semidefinite": ("U", "C")}[model["cone"]]
    errors = found.get("S") if isinstance(found, dict) and model["objective"] == "robust" else None
    expect_keys(found, keys[0], keys[1] + (" S" if errors else ""), "the point")
    types, form = ("f8 i8 c16", Array.real_form) if model["complex"] else ("f8 i8", Array.matrix)
    names = found.keys() - {"S"}
    point: dict[str, Any] = {name: form(read_array(found[name], name, POINT[name], sizes, types)) for name in names}
    point |= {new: point[name] for name, both in (("U", "LR"), ("T", ("T1", "T2"))) for new in both if name in point}
    if errors:
        expect_keys(errors, "rows cols values", "", "the errors 'S'")
        rows, columns = (read_array(errors[name], name, "errors", sizes, "i8").parts[0] for name in ("rows", "cols"))
        point["S"] = rows, columns, read_array(errors["values"], "values", "errors", sizes).matrix()
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
    check_model(model := document["model"])
    A, b, sizes = measurement_of(model, arrays)
    expect_keys(document["duals"], "", "value uniqueness", "duals")
    duals = {name: read_array(dual, name, "m", sizes).matrix() for name, dual in document["duals"].items()}
    expect_keys(document["constants"], "", "g1 g2 core delta sigma2 gamma range_g kappa t c u", "constants")
    constants = {name: read_float(text, f"the constant {name!r}") for name, text in document["constants"].items()}
    point = None if document["point"] is None else point_of(model, document["point"], sizes)
    kinds = {"rectangular": Theorem, "symmetric": SymmetricTheorem, "semidefinite": SemidefiniteTheorem}
    kind: type[Theorem] = SplitTheorem if model["objective"] == "robust" else kinds[model["cone"]]
    return kind(model, A, b, point or {}, duals, constants)


# ---------------------------------------------------------------------------------------------------------------------
# 6. Statements

#: The numbers that each kind of statement claims.
CLAIMS = {"V": "lower", "U": "upper", "gap": "gap", "B": "beta", "F": "radius", "T": ""}


def check(document: dict[str, Any], arrays: dict[str, Array]) -> tuple[list[str], list[str]]:
    """Check all statements of a proof.

    Returns
    -------
    sentences, steps : lists of str
        The theorem in words, and the inequalities that were proved, with their symbols.

    Raises
    ------
    Refused
        If a statement fails.
    """
    theorem, claims = theorem_of(document, arrays), dict[str, dict[str, Any]]()
    require(isinstance(document["statements"], list) and document["statements"], "the proof states nothing")
    for text in document["statements"]:
        kind = str(text.get("kind")) if isinstance(text, dict) else ""
        require(kind in CLAIMS and kind not in claims, f"the statement {kind!r} is unknown, or stands twice")
        level = ("noise" if theorem.is_determined else "upper") if kind == "F" else ""
        expect_keys(text, f"kind {CLAIMS[kind]} {level}", "", f"statement {kind}")
        claims[kind] = {"text": text} | {n: read_decimal(text[n], f"{kind}: {n}") for n in text if n != "kind"}
    sentences = [introduction(theorem)]
    for kind, claim in claims.items():
        try:
            sentences.append(f"{kind}. {prove(theorem, kind, claim, claims)}")
        except Refused as refusal:
            raise Refused(f"statement {kind} fails: {refusal}") from None
    symbols = (f"  {name}: {text.format_map(words_of(theorem))}" for name, text in written(theorem, "Symbols").items())
    return sentences, ["Proved in integers:", *(f"  {x}" for x in theorem.steps), "Symbols in these lines:", *symbols]


def prove(theorem: Theorem, kind: str, claim: dict[str, Any], claims: dict[str, dict[str, Any]]) -> str:
    """Return a statement in words after its proof."""
    if kind in ("V", "U"):
        proved: Fraction = getattr(theorem, CLAIMS[kind])
    elif kind == "gap":
        require({"V", "U"} <= claims.keys(), "it needs statements V and U")
        lower, upper = claims["V"]["lower"], claims["U"]["upper"]
        require(upper > 0 or lower == upper == 0, "the upper bound is not positive")
        proved = (upper - lower) / upper if upper else upper
    elif kind == "F":
        level = claim["noise" if "noise" in claim else "upper"]
        require(level >= 0 and theorem.point, "zero data and levels below 0 have no radius")
        proved = theorem.radius(level)
    else:
        require(kind == "B" or ("B" in claims and claims["B"]["beta"] == 0), "it needs statement B with beta 0")
        proved = theorem.backward()
    claimed = claim.get(CLAIMS[kind], Fraction(0))
    good = proved >= claimed if kind == "V" else proved <= claimed
    require(good, f"{CLAIMS[kind]} is claimed to be {shown(claimed)}, but {shown(proved)} is proved")
    return in_words(theorem, kind, claim["text"])


def shown(x: Fraction, digits: int = 17) -> str:
    """Return a number for a sentence, which may be too large for a double."""
    return f"{Context(prec=digits).divide(Decimal(x.numerator), Decimal(x.denominator)):g}"


def written(subject: object, title: str) -> dict[str, str]:
    """Return the entries "name : text" of a section in the docstring of a class, which may replace inherited ones."""
    found, rule = dict[str, str](), "-" * len(title)
    for kind in reversed(type(subject).__mro__):
        section = inspect.cleandoc(kind.__doc__ or "").partition(f"{title}\n{rule}\n")[2].partition("\n\n")[0]
        found |= {name: " ".join(text.split()) for name, text in re.findall(r"(?m)^(\S.*?) : (.*(?:\n .*)*)", section)}
    require(found, "the sentences of this program are in its docstrings; run it without the option -OO")
    return found


def words_of(theorem: Theorem) -> dict[str, Any]:
    """Return the words and numbers that sentences name in braces."""
    model, copies = theorem.model, 1 + theorem.model["complex"]
    words = {"m": theorem.m, "d1": theorem.d1 // copies, "d2": theorem.d2 // copies, "t": "ᵀ*"[copies - 1]}
    words |= {"alpha": float(theorem.alpha), "weight": float(theorem.weight), "cone": CONES[model["cone"]]}
    words |= {"field": ("real", "complex")[copies - 1], "given": written(theorem.A, "Definitions")["given"]}
    words |= {f"unseen{k}": seen.count(0) // copies for k, seen in enumerate(theorem.seen, 1)}
    about = " This is about matrices that vanish in rows and columns that no measurement sees."
    words["among"] = about * (not all(chain(*theorem.seen)))
    return words


def introduction(theorem: Theorem) -> str:
    """Return the sentences that define what the statements are about."""
    words, power = words_of(theorem), theorem.model["metric_power"]
    needed = {"penalised": theorem.alpha, "flat": not theorem.alpha, "power 0": not power, "unseen": words["among"]}
    needed |= {"point": theorem.point, "zero": not theorem.point}
    texts = (text for name, text in written(theorem, "Definitions").items() if needed.get(name, True))
    return f"Theorem. {' '.join(texts)}".replace("{given}", words["given"]).format_map(words)


def in_words(theorem: Theorem, kind: str, numbers: dict[str, Any]) -> str:
    """Return a statement in words."""
    sentences = written(theorem, "Statements")
    case = "penalised" if theorem.alpha else "determined" if theorem.is_determined else ""
    return sentences.get(f"{case} {kind}", sentences[kind]).format_map(words_of(theorem) | numbers)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    parser = argparse.ArgumentParser(prog="checker.py", description="Check an exact proof about flat minima.")
    parser.add_argument("files", nargs=2, type=Path, metavar="FILE", help="PROOF.json and INSTANCE.npz")
    parser.add_argument("--sha256", metavar="HEX", help="hash that the instance must have")
    parser.add_argument("--no-numpy", action="store_true", help="use the standard library only, which is slower")
    options = parser.parse_args(arguments)
    helped = "NumPy guessed and multiplied" if use_numpy(not options.no_numpy) else "the standard library alone"
    try:
        try:
            lines = check_files(options.files[0].read_bytes(), options.files[1].read_bytes(), options.sha256)
            status, lines = 0, [*lines, f"Arithmetic: exact integers; {helped}."]
        except Refused as refusal:
            status, lines = 1, [f"Refused: {refusal}."]
        # Characters that the encoding of the output lacks are written as backslash escapes.
        stream = sys.stdout or io.StringIO()
        encoding, text = stream.encoding or "utf-8", "\n".join([*lines, ""])
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except (OSError, MemoryError) as error:  # an uncaught error would have the exit status of a refusal
        parser.error(f"the check was not finished: {error or 'there is not enough memory'}")
    return status


def check_files(proof: bytes, instance: bytes, expected: str | None = None) -> list[str]:
    """Return the lines that a checked proof prints, from the bytes of both files and a hash of the instance."""
    found = hashlib.sha256(instance).hexdigest()
    require(expected is None or expected.lower() == found, f"the instance has the hash {found}, expected {expected}")
    document = read_proof(proof)
    require(document["instance"] == {"sha256": found}, f"the proof is about another instance than that of hash {found}")
    sentences, steps = check(document, read_instance(instance))
    pinned = "as given" if expected else "not given with --sha256; compare it with your own"
    return [*sentences, "", f"Instance: sha256 {found} ({pinned}).", *steps]


if __name__ == "__main__":
    sys.exit(main())
