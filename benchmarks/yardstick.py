"""The yardstick of MatrixIRLS: ill-conditioned matrices of rank 5 from few of their cells.

python -m benchmarks.yardstick [--draws 20]

Kümmerle, Mayrink Verdun, "A scalable second order method for ill-conditioned matrix completion from few samples", ICML
2021.
"""

from __future__ import annotations

import numpy as np

import flatmin as fm

#: The yardstick's size, rank, condition numbers and cells for each degree of freedom.
DIMENSION, RANK = 1000, 5
CONDITIONS = (10.0, 1e5)
OVERSAMPLINGS = (2.0, 2.5, 3.0, 4.0)


def instance(
    condition: float, oversampling: float, seed: int, *, dimension: int = DIMENSION, rank: int = RANK
) -> fm.families.Instance:
    """Draw a matrix and the cells that are seen of it.

    Singular vectors are uniform; singular values go from the condition number down to 1, evenly on a logarithmic scale
    as in the reference. Cells are drawn uniformly without replacement, ``oversampling`` times as many as a matrix of
    this rank has degrees of freedom. At twice as many, about one draw in thirty has a row or column with fewer cells
    than its rank, which no method can complete; the reference draws again, this function does not.

    Parameters
    ----------
    condition : float
        Largest over smallest singular value.
    oversampling : float
        Cells over ``rank (2 dimension − rank)``.
    seed : int
        Of everything that is drawn.
    dimension, rank : int
        Of the square matrix.
    """
    rng = np.random.default_rng(seed)
    U, V = (np.linalg.qr(rng.standard_normal((dimension, rank)))[0] for _ in range(2))
    truth = (U * np.geomspace(condition, 1.0, rank)) @ V.T
    count = round(oversampling * rank * (2 * dimension - rank))
    cells = np.sort(rng.choice(dimension**2, count, replace=False))
    seen = fm.measurements.Entries(*np.divmod(cells, dimension), truth.shape)
    return fm.families.Instance(fm.Problem(seen, seen.forward(truth)), truth)
