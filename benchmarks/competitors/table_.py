"""The data of robust PCA as the table that other packages take."""

import numpy as np


def table(problem):
    """Return the matrix, zero where missing, and which cells are observed."""
    A, Y = problem.measurement, np.zeros(problem.shape)
    seen = np.zeros(problem.shape, dtype=bool)
    Y[A.rows, A.cols], seen[A.rows, A.cols] = problem.data, True
    return Y, seen
