"""What every model of the paper offers: samples, a file format, and a description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flatmin._validation import matrix_shape
from flatmin.errors import InputError
from flatmin.metric import Array
from flatmin.problem import Problem

__all__ = ["Family", "Instance", "check_sample", "noisy"]


@dataclass(frozen=True, eq=False)
class Instance:
    """A problem whose answer is known.

    Attributes
    ----------
    problem : Problem
        What a solver sees.
    truth : ndarray, shape (d1, d2), or None
        The matrix behind the data, where it is known.
    """

    problem: Problem
    truth: Array | None = None


@dataclass(frozen=True)
class Family:
    """A model of the paper as the command line sees it.

    Attributes
    ----------
    name : str
        Its name on the command line, for instance "matrix-sensing".
    title : str
        What it is, in a few words.
    keys : dict of str to str
        The arrays of an input file, each with its shape in words.
    build : callable
        Makes a `Problem` from a mapping of those arrays; raises `InputError` naming the key at fault.
    arrays : callable
        The inverse: the arrays of an `Instance`'s problem.
    sample : callable
        ``sample(shape, rank, n_measurements, *, noise=0.0, seed=0) -> Instance``.
    from_cells : callable or None
        ``from_cells(rows, cols, values, shape)`` makes the arrays of an input file from the known cells of a matrix, so
        that tables and pictures can be read; None where the model is not about the cells of a matrix.
    """

    name: str
    title: str
    keys: Mapping[str, str]
    build: Callable[[Mapping[str, Array]], Problem]
    arrays: Callable[[Problem], dict[str, Array]]
    sample: Callable[..., Instance]
    from_cells: Callable[[Array, Array, Array, tuple[int, int]], dict[str, Array]] | None = None


def check_sample(shape: object, rank: int, n_measurements: int, noise: float) -> tuple[int, int]:
    """Return the shape as a pair of whole numbers, or raise `InputError` if an argument is out of range."""
    d1, d2 = matrix_shape(shape)
    if not isinstance(rank, int | np.integer) or not 0 <= rank <= min(d1, d2):
        raise InputError(f"rank is {rank!r}, expected a whole number from 0 to {min(d1, d2)}, the smaller dimension")
    if not isinstance(n_measurements, int | np.integer) or n_measurements < 1:
        raise InputError(f"the number of measurements is {n_measurements!r}, expected a positive whole number")
    if not 0 <= noise < np.inf:
        raise InputError(f"noise is {noise!r}, expected a finite number of at least 0")
    return d1, d2


def noisy(clean: Array, noise: float, rng: np.random.Generator) -> Array:
    """Return the data plus Gaussian noise of ``noise`` times their root mean square."""
    if noise == 0:
        return clean
    return np.asarray(clean + noise * np.sqrt(np.mean(clean**2)) * rng.standard_normal(clean.shape))
