r"""Scores of single rows and columns in completion; a score above 1 proves that a matrix is not the flattest fit.

Let ``D1 X D2 = U S Vᵀ`` for a matrix X of rank r that fits the observed cells. Change it along ``e_i wᵀ``, where w is
zero at the observed cells of row i. The nuclear norm changes at the rate

    ``u_iᵀ Vᵀ w + √(1 − |u_i|²) ‖(I − V Vᵀ) w‖``.

For ``Vᵀ w = a`` the second norm is at least ``√(aᵀ G (I − G)⁻¹ a)``, with ``G = Σ v_j v_jᵀ`` over the observed cells.
The largest ``(u_iᵀ a)² / aᵀ G (I − G)⁻¹ a`` is ``u_iᵀ G⁻¹ u_i − |u_i|²``. So some w lowers the norm exactly if

    ``s_i = u_iᵀ G⁻¹ u_i > 1``:

Then X is not flattest, whatever the other rows are. A row that its cells do not determine has an infinite score.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.stats import beta, binom

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.linalg.metric import svd_of_product
from flatmin.measurements.entries import Entries
from flatmin.problem import Problem

__all__ = ["line_scores", "lines_that_hold", "threshold_of_cells", "threshold_of_scores"]

#: Number of quadrature points of an integral over a smooth density.
POINTS = 2000


def line_scores(problem: Problem, L: Array, R: Array) -> Array:
    """Return the scores (d1 + d2,) of every row, then of every column, of a completion problem at ``X = L Rᵀ``.

    The factors (d1, r) and (d2, r) must have full rank, and X must fit. If a score is above 1, X is not flattest. A
    measurement that is not `Entries`, or factors of other shapes, raise `InputError`.

    Examples
    --------
    In a matrix of ones two cells of the first two rows are observed, and one of the third:

    >>> import flatmin as fm
    >>> ones = fm.Problem(fm.measurements.Entries([0, 0, 1, 1, 2], [0, 1, 0, 1, 0], (3, 2)), np.ones(5))
    >>> line_scores(ones, np.ones((3, 1)), np.ones((2, 1))).round(3).tolist()
    [0.4, 0.4, 0.333, 0.6, 0.5]
    """
    measurement = problem.measurement
    if not isinstance(measurement, Entries):
        raise InputError(f"the measurement is a {type(measurement).__name__}, expected Entries")
    if (len(L), len(R)) != problem.shape or L.shape[1:] != R.shape[1:]:
        raise InputError(f"the factors have shapes {L.shape} and {R.shape}, expected two for {problem.shape}")
    D1, D2 = problem.metric
    U, _, V = svd_of_product(D1 @ L, D2 @ R)
    lines, rank = np.vstack([U, V]), L.shape[1]
    blocks = measurement.curvature_blocks(U, V)
    determined = np.concatenate(measurement.gram_diagonals()) >= rank
    scores = np.full(len(lines), np.inf)
    solved = np.linalg.solve(blocks[determined], lines[determined][..., None])[..., 0]
    scores[determined] = np.einsum("ia,ia->i", lines[determined], solved)
    return scores


def lines_that_hold(squares: Array, share: float) -> int:
    """Return how many of the largest rows and columns hold a given share of the sum of a nonnegative matrix.

    Examples
    --------
    >>> one_row, even = np.outer([1.0, 0, 0, 0], np.ones(4)), np.ones((4, 4))
    >>> lines_that_hold(one_row, 0.9), lines_that_hold(even, 0.9)
    (1, 4)
    """
    left = squares.copy()
    rows, columns = left.sum(axis=1), left.sum(axis=0)
    rest, lines = (1 - share) * float(left.sum()), 0
    while rows.sum() > rest:
        if rows.max() >= columns.max():
            line = int(rows.argmax())
            columns = columns - left[line]
            left[line], rows[line] = 0.0, 0.0
        else:
            line = int(columns.argmax())
            rows = rows - left[:, line]
            left[:, line], columns[line] = 0.0, 0.0
        lines += 1
    return lines


@cache
def threshold_of_scores(d: int, rank: int) -> float:
    r"""Return the number of cells per degree of freedom at which half of the draws have no score above 1.

    The matrix is square with Gaussian factors, and cells are drawn uniformly, n = m/d in each row. Then ``|u_i|²`` is
    distributed as Beta(r/2, (d − r)/2). The ratio ``|u_i|² / u_iᵀ G⁻¹ u_i`` is a Schur complement of G, distributed as
    Beta((n − r + 1)/2, (d − n)/2). Both are independent, and a score is above 1 if ``|u_i|²`` exceeds the ratio.
    Different numbers of cells in the rows cancel with flat weights: both u_i and the root of G grow with the number's
    root. Rows and columns are treated as independent, so that half of the draws have no score above 1 if

        ``2 d P(s > 1) = log 2``.

    The number is in units of ``r (2d − r)``. A rank that is not from 1 to d − 1, or a dimension at which all cells
    would not be enough, raises `InputError`.

    Examples
    --------
    >>> threshold_of_scores(300, 5) < threshold_of_scores(1000, 5)
    True
    """

    def excess(n: float) -> float:
        size, share = beta(rank / 2, (d - rank) / 2), beta((n - rank + 1) / 2, (d - n) / 2)
        middle = n / d
        x = np.geomspace(1e-3 * middle, min(1.0, 50 * middle), POINTS)
        chance = trapezoid(size.pdf(x) * share.cdf(x) * x, np.log(x))
        return 2 * d * float(chance) - math.log(2)

    return _solved(excess, d, rank)


@cache
def threshold_of_cells(d: int, rank: int) -> float:
    """Return the number of cells per degree of freedom at which half of the draws have r cells in each row and column.

    The number is the bound of the coupon collector: a row with fewer than r cells is not determined, even if all other
    rows are known. Arguments, units and errors are those of `threshold_of_scores`.

    Examples
    --------
    >>> threshold_of_cells(300, 5) < threshold_of_scores(300, 5)
    True
    """

    def excess(n: float) -> float:
        return 2 * d * float(binom.cdf(rank - 1, d, n / d)) - math.log(2)

    return _solved(excess, d, rank)


def _solved(excess: Callable[[float], float], d: int, rank: int) -> float:
    """Return the cells per degree of freedom at which a decreasing function of the cells per row is zero."""
    if not 1 <= rank < d:
        raise InputError(f"rank is {rank}, expected a whole number from 1 to {d - 1}, below the dimension")
    if excess(0.999 * d) > 0:
        raise InputError(f"the matrix is {d}×{d} of rank {rank}, expected a larger dimension for this rank")
    cells = float(brentq(excess, rank, 0.999 * d))
    return cells * d / (rank * (2 * d - rank))
