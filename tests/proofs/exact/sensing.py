"""Measurements of an instance file in exact numbers."""

from fractions import Fraction
from functools import cached_property

import numpy as np

from tests.proofs.exact.elimination import exact, times
from tests.proofs.exact.proof_file import real, require


class Dense:
    """Dense sensing matrices; ``half`` is ½ for the real form of complex ones."""

    def __init__(self, A, half):
        self.A, self.half, self.size, self.shape = A, half, len(A), A.shape[1:]

    def forward(self, X):
        return times(self.A.reshape(self.size, -1), X.ravel()) * self.half

    def adjoint(self, y):
        return times(y, self.A.reshape(self.size, -1)).reshape(self.shape)

    @cached_property
    def squares(self):
        """``Σ A Aᵀ`` and ``Σ Aᵀ A``."""
        wide = self.A.transpose(1, 0, 2).reshape(self.shape[0], -1)
        tall = self.A.reshape(-1, self.shape[1])
        return times(wide, wide.T), times(tall.T, tall)

    @cached_property
    def gram(self):
        """``A A*``, of order m."""
        flat = self.A.reshape(self.size, -1)
        return times(flat, flat.T) * self.half

    def within(self, rows, cols):
        return Dense(self.A[:, rows][:, :, cols], self.half)


class Vectors:
    """Sensing matrices ``x y*``; the real form of a complex vector has two columns."""

    def __init__(self, left, right, half):
        self.left, self.right, self.half = left, right, half
        self.size, self.shape = len(left), (left.shape[1], right.shape[1])
        self.columns = left.shape[2]

    @staticmethod
    def _stack(x):
        return x.transpose(0, 2, 1).reshape(-1, x.shape[1])

    def forward(self, X):
        products = times(self._stack(self.left), X) * self._stack(self.right)
        return products.reshape(self.size, -1).sum(axis=1) * self.half

    def adjoint(self, y):
        return times(self._stack(self.left).T * np.repeat(y, self.columns), self._stack(self.right))

    @cached_property
    def lengths(self):
        """``|x|²`` and ``|y|²``."""
        return tuple((x[:, :, 0] ** 2).sum(axis=1) for x in (self.left, self.right))

    @cached_property
    def squares(self):
        left, right = self._stack(self.left), self._stack(self.right)
        x, y = (np.repeat(lengths, self.columns) for lengths in self.lengths)
        return times(left.T * y, left), times(right.T * x, right)

    @cached_property
    def gram(self):
        left, right = self.left[:, :, 0], self.right[:, :, 0]
        require(self.columns == 1, "complex vectors")
        return times(left, left.T) * times(right, right.T)

    def within(self, rows, cols):
        return Vectors(self.left[:, rows], self.right[:, cols], self.half)


class Cells:
    """Weighted entries of a matrix."""

    def __init__(self, rows, cols, weights, shape):
        self.rows, self.cols, self.weights = rows, cols, weights
        self.size, self.shape = len(rows), shape

    def forward(self, X):
        return self.weights * X[self.rows, self.cols]

    def adjoint(self, y):
        out = exact(np.zeros(self.shape, int))
        for i, j, value in zip(self.rows, self.cols, self.weights * y, strict=True):
            out[i, j] += value
        return out

    @cached_property
    def squares(self):
        counts = [[Fraction(0)] * n for n in self.shape]
        for i, j, w in zip(self.rows, self.cols, self.weights, strict=True):
            counts[0][i] += w * w
            counts[1][j] += w * w
        return tuple(np.diag(np.array(c, object)) for c in counts)

    def within(self, rows, cols):
        places = np.cumsum(rows) - 1, np.cumsum(cols) - 1
        kept = rows[self.rows] & cols[self.cols]  # others have weight 0
        return Cells(
            places[0][self.rows[kept]],
            places[1][self.cols[kept]],
            self.weights[kept],
            (int(rows.sum()), int(cols.sum())),
        ), kept


def cells(arrays):
    """Return the measurement of entries."""
    shape = tuple(int(n) for n in arrays["shape"])
    rows, cols = (np.asarray(arrays[name]) for name in ("rows", "cols"))
    for index, n in zip((rows, cols), shape, strict=True):
        require(index.dtype.kind in "iu" and index.ndim == 1 and len(index), "positions")
        require(index.min() >= 0 and index.max() < n, "a position outside the matrix")
    require(len(rows) == len(cols), "positions of different lengths")
    weights = arrays.get("weights", np.ones(len(rows), int))
    require(weights.shape == rows.shape, "weights")
    return Cells(rows.astype(int), cols.astype(int), exact(weights), shape)


def measured(proof, arrays):
    """Return the measurement and the data of an instance."""
    model = proof["model"]
    is_complex, kind = model["complex"], model["measurement"]
    require(
        all(np.isfinite(a).all() for name, a in arrays.items() if name != "Y"),
        "the instance has numbers that are not finite",
    )
    half = Fraction(1, 2) if is_complex else Fraction(1)
    if kind == "cells":
        Y = arrays["Y"]
        seen = ~np.isnan(Y)
        require(Y.ndim == 2 and seen.any() and np.isfinite(Y[seen]).all(), "Y")
        rows, cols = np.nonzero(seen)
        return Cells(rows, cols, exact(np.ones(len(rows), int)), Y.shape), exact(Y[seen])
    if kind == "entries":
        A = cells(arrays)
    elif kind == "dense":
        require(arrays["A"].ndim == 3, "A")
        A = Dense(real(arrays["A"], is_complex), half)
    else:
        require(kind == "vectors", "measurement")
        left = real(arrays["left"][:, :, None], is_complex)
        right = real(arrays["right"][:, :, None], is_complex) if "right" in arrays else left
        require(len(left) == len(right), "vectors of different number")
        A = Vectors(left, right, half)
    require(arrays["b"].shape == (A.size,) and not np.iscomplexobj(arrays["b"]), "b")
    return A, exact(arrays["b"])


def require_hermitian(A):
    """Refuse sensing matrices that are not Hermitian."""
    if isinstance(A, Vectors):
        require(np.array_equal(A.left, A.right), "the sensing matrices are not Hermitian")
    elif isinstance(A, Cells):
        require(np.array_equal(A.rows, A.cols), "the sensing matrices are not Hermitian")
    else:
        require(np.array_equal(A.A, A.A.transpose(0, 2, 1)), "the sensing matrices are not Hermitian")
