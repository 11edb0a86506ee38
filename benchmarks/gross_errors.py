"""The data of robust PCA as the table that other packages take."""

from __future__ import annotations

import numpy as np

import flatmin as fm
from flatmin._core.arrays import Array


def table(problem: fm.Problem) -> tuple[Array, Array]:
    """Return the matrix, zero where cells are missing, and the mask of observed cells."""
    A, Y = problem.measurement, np.zeros(problem.shape)
    seen = np.zeros(problem.shape, dtype=bool)
    Y[A.rows, A.cols], seen[A.rows, A.cols] = problem.data, True
    return Y, seen
