"""The standard error of a level of noise, from the spread of squared residuals."""

import numpy as np

from flatmin._core.arrays import Array

__all__ = ["relative_error"]


def relative_error(residual: Array, free: int) -> float:
    """Return the relative standard error of the root mean square of independent numbers, or 0 if all are 0.

    The error is computed from the spread of the squares, with ``free`` degrees of freedom. The numbers are first
    divided by the largest one, so that their squares neither overflow nor vanish.
    """
    largest = float(np.max(np.abs(residual), initial=0.0))
    squares = (residual / (largest or 1.0)) ** 2
    mean = float(squares.mean())
    return float(np.sqrt(max(squares.var() / mean**2, 0.0) / (4 * free))) if mean else 0.0
