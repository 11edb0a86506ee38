"""Family: a model of the paper with its random instances, its input file and its names in messages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import is_whole, matrix_shape, nonnegative, shown
from flatmin.errors import InputError
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["Family", "Instance", "Usual", "check_sample", "noisy", "relative_distance", "square"]


@dataclass(frozen=True, eq=False)
class Instance:
    """A problem and the truth of its data.

    The truth is the true matrix (d1, d2) or, in phase retrieval, the true signal. It is None if the truth is unknown.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((4, 3), 1, 10, seed=0)
    >>> instance.truth.shape, instance.problem.measurement.size
    ((4, 3), 10)
    """

    problem: Problem
    truth: Array | None = None


def relative_distance(found: Array, truth: Array) -> float:
    """Return ``‖found − truth‖ / ‖truth‖``. It is 0 if both are zero, and infinite if only the truth is zero."""
    size, error = float(np.linalg.norm(truth)), float(np.linalg.norm(found - truth))
    return error / size if size else (0.0 if error == 0 else np.inf)


def _matrix_error(problem: Problem, solution: Solution, truth: Array) -> float:
    """Return the relative distance of the matrices."""
    return relative_distance(solution.matrix, truth)


def _matrix_shape(problem: Problem) -> tuple[int, ...]:
    """Return the shape of the matrix."""
    return problem.shape


def _four_times_freedom(shape: tuple[int, int], rank: int) -> int:
    """Return four times the degrees of freedom of a matrix, at most its number of entries."""
    return max(1, min(shape[0] * shape[1], 4 * rank * (sum(shape) - rank)))


@dataclass(frozen=True)
class Usual:
    """Default sizes at which an instance is recovered and certified.

    ``measurements(shape, rank)`` returns a sufficient number of measurements; None leaves the choice to `sample`.
    """

    shape: tuple[int, int] = (30, 20)
    rank: int = 2
    measurements: Callable[[tuple[int, int], int], int | None] = _four_times_freedom


@dataclass(frozen=True)
class Family:
    """A model as the command line and the reports use it.

    Attributes
    ----------
    name, title : str
        The name on the command line, for instance "matrix-sensing", and a short description of the model.
    keys : dict of str to str
        The arrays of an input file, each with its shape in words.
    build : callable
        Returns the `Problem` of a mapping of those arrays, or raises `InputError` that names the wrong key.
    arrays : callable
        The inverse of ``build``: the arrays of a problem.
    sample : callable
        ``sample(shape, rank, n_measurements, *, noise=0.0, seed=0) -> Instance``.
    from_cells : callable or None
        ``from_cells(rows, cols, values, shape)`` returns the arrays of an input file for the known cells of a table or
        picture; None if the model does not measure cells.
    optional, holes : frozenset of str
        ``optional`` are keys that a file may lack (``build`` checks their combinations). ``holes`` are keys whose
        arrays may contain NaN.
    parts : callable or None
        ``parts(problem, solution)`` returns further arrays by name for the solution file.
    check_truth : callable or None
        ``check_truth(truth, problem)`` returns the truth of a file as an array, or raises `InputError`. With None, the
        truth must be a matrix of the shape of the unknown.
    relative_error : callable
        ``relative_error(problem, solution, truth)`` returns the relative error of a solution, minimised over the
        symmetry of the model.
    unknown_shape : callable
        ``unknown_shape(problem)`` returns the shape of the unknown: that of the matrix by default, that of the signal
        in phase retrieval.
    answers : tuple of str
        Keys of a solution file. `flatmin.certify` needs one of them if the file lacks the factors.
    called : dict of str to str
        Replacements for the beginning of messages, for instance "the key 'y'" for "the data b".
    unseen : dict of str to str
        The fields of a summary that list unmeasured rows and columns, with their names in the printed table.
    usual : Usual
        The default sizes.
    is_square : bool
        Whether the unknown must be a square matrix.
    from_picture : callable or None
        ``from_picture(picture, count, *, noise=0.0, seed=0) -> Instance`` measures a grey picture (h, w) with ``count``
        masks; None if the model cannot measure pictures.

    Examples
    --------
    >>> import flatmin as fm
    >>> family = fm.families.find("matrix-sensing")
    >>> family.name, sorted(family.keys)
    ('matrix-sensing', ['A', 'b', 'shape'])
    """

    name: str
    title: str
    keys: Mapping[str, str]
    build: Callable[[Mapping[str, Array]], Problem]
    arrays: Callable[[Problem], dict[str, Array]]
    sample: Callable[..., Instance]
    from_cells: Callable[[Array, Array, Array, tuple[int, int]], dict[str, Array]] | None = None
    optional: frozenset[str] = frozenset()
    holes: frozenset[str] = frozenset()
    parts: Callable[[Problem, Solution], dict[str, Array]] | None = None
    check_truth: Callable[[Array, Problem], Array] | None = None
    relative_error: Callable[[Problem, Solution, Array], float] = _matrix_error
    unknown_shape: Callable[[Problem], tuple[int, ...]] = _matrix_shape
    answers: tuple[str, ...] = ("matrix",)
    called: Mapping[str, str] = field(default_factory=dict)
    unseen: Mapping[str, str] = field(
        default_factory=lambda: {"undetermined_rows": "unobserved rows", "undetermined_cols": "unobserved columns"}
    )
    usual: Usual = field(default_factory=Usual)
    is_square: bool = False
    from_picture: Callable[..., Instance] | None = None


def square(shape: object) -> object:
    """Return the shape ``(d, d)`` for a dimension d or a square shape, or raise `InputError`."""
    if isinstance(shape, int | np.integer) and not isinstance(shape, bool):
        return shape, shape
    if isinstance(shape, tuple | list) and len(shape) == 2 and shape[0] != shape[1]:
        raise InputError(f"shape is {tuple(shape)}, expected a dimension d or (d, d) for this model")
    return shape


def check_sample(shape: object, rank: int, n_measurements: int, noise: float) -> tuple[int, int]:
    """Return the shape as a pair of whole numbers, or raise `InputError` if an argument is out of range."""
    d1, d2 = matrix_shape(shape)
    if not is_whole(rank) or not 0 <= rank <= min(d1, d2):
        raise InputError(
            f"rank is {shown(rank)}, expected a whole number from 0 to {min(d1, d2)}, the smaller dimension"
        )
    if not is_whole(n_measurements) or not 1 <= n_measurements < 2**63:
        raise InputError(f"the number of measurements is {shown(n_measurements)}, expected a positive whole number")
    nonnegative(noise, "noise")
    return d1, d2


def noisy(clean: Array, noise: float, rng: np.random.Generator) -> Array:
    """Return the data plus Gaussian noise, whose standard deviation is ``noise`` times the root mean square of data."""
    if noise == 0:
        return clean
    with np.errstate(over="ignore"):  # `Problem` refuses data that are too large
        return np.asarray(clean + noise * np.sqrt(np.mean(clean**2)) * rng.standard_normal(clean.shape))
