"""Splits of the measurements of a problem into training and held-out ones."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import integers, shown
from flatmin.errors import InputError
from flatmin.measurements import Entries
from flatmin.problem import Problem

__all__ = ["TrainingSplit", "splits"]


@dataclass(frozen=True, eq=False)
class TrainingSplit:
    """The indices of the measurements to fit and of those held out."""

    training: Array
    held_out: Array


def splits(problem: Problem, folds: Any, groups: Any, seed: int) -> list[TrainingSplit]:
    """Return the splits of a problem's measurements.

    ``folds`` is a number of folds; or m labels, negative for measurements that are never held out; or pairs of index
    arrays, training and held out. With a number of folds, ``groups`` (m,) are labels of measurements that are held out
    together.
    """
    m = len(problem.data)
    if isinstance(folds, int | np.integer) and not isinstance(folds, bool):
        if not 2 <= folds <= m:
            raise InputError(f"folds is {shown(folds)}, expected a number from 2 to that of measurements, {m}")
        labels = _dealt(problem, int(folds), groups, np.random.default_rng(seed))
        return _from_labels(labels, int(folds))
    if groups is not None:
        raise InputError("groups were given together with explicit folds, expected a number of folds with groups")
    if np.iterable(folds):
        given = folds if isinstance(folds, np.ndarray) else list(folds)
        if len(given) and (isinstance(given[0], str) or not np.iterable(given[0])):
            labels = integers(given, "folds")
            if labels.shape != (m,):
                raise InputError(
                    f"folds has {labels.size} labels, expected {m}: one for each measurement; or pass pairs of indices"
                )
            names = np.unique(labels[labels >= 0])
            return _from_labels(np.where(labels >= 0, np.searchsorted(names, labels), -1), len(names))
        return [_checked(pair, m, number) for number, pair in enumerate(given)] or _nothing()
    raise InputError(
        f"folds is {shown(folds)}, expected a number of folds, one label for each measurement, or pairs of index arrays"
    )


def _from_labels(labels: Array, count: int) -> list[TrainingSplit]:
    """Return the splits of labels 0 … count − 1; folds without measurements are left out."""
    found = [TrainingSplit(np.flatnonzero(labels != fold), np.flatnonzero(labels == fold)) for fold in range(count)]
    found = [split for split in found if len(split.held_out)]
    if any(len(split.training) == 0 for split in found):
        raise InputError("one fold holds out all measurements, expected at least two folds")
    return found or _nothing()


def _checked(pair: Any, m: int, number: int) -> TrainingSplit:
    """Return a pair of index arrays as a split, or raise `InputError`."""
    expected = f"expected two arrays of different indices from 0 to {m - 1}, training and held out"
    if not isinstance(pair, list | tuple) or len(pair) != 2:
        raise InputError(f"folds[{number}] is a {type(pair).__name__}, {expected}")
    sides = []
    for side in pair:
        side = np.asarray(side)
        side = np.flatnonzero(side) if side.dtype == bool and side.shape == (m,) else integers(side, f"folds[{number}]")
        if side.size == 0 or side.min() < 0 or side.max() >= m:
            raise InputError(
                f"folds[{number}] has an empty index array, or an index outside of the measurements; {expected}"
            )
        sides.append(side)
    if np.isin(sides[0], sides[1]).any():
        raise InputError(f"folds[{number}] trains on a measurement that it holds out; {expected}")
    return TrainingSplit(*sides)


def _dealt(problem: Problem, count: int, groups: Any, rng: np.random.Generator) -> Array:
    """Return the fold of each measurement, which is −1 if it must not be held out. Repeated cells share a fold."""
    m = len(problem.data)
    if groups is not None:
        try:
            labels = np.asarray(groups)
        except ValueError as error:
            raise InputError(f"groups is ragged, expected one label for each of {m} measurements") from error
        return _by_group(labels, m, count, rng)
    A = problem.measurement
    if isinstance(A, Entries):
        cells = A.rows.astype(np.int64) * A.shape[1] + A.cols
        _, first, cell = np.unique(cells, return_index=True, return_inverse=True)
        if len(first) < m:
            once = replace(problem, measurement=A.take(first), data=problem.data[first])
            return _dealt(once, count, None, rng)[cell.ravel()]
    order = rng.permutation(m)
    if isinstance(A, Entries):
        order = order[np.argsort(A.rows[order], kind="stable")]
    labels = np.empty(m, int)
    labels[order] = np.arange(m) % count
    if isinstance(A, Entries):
        labels[_lost(A, labels, count, square=problem.parametrization.cone.is_hermitian)] = -1
    return labels


def _by_group(groups: Array, m: int, count: int, rng: np.random.Generator) -> Array:
    """Return the fold of each measurement: groups, large ones first, go to the fold with the fewest measurements."""
    if groups.shape != (m,):
        raise InputError(f"groups has shape {groups.shape}, expected ({m},): one label for each measurement")
    names, positions, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < count:
        raise InputError(f"there are {len(names)} groups for {count} folds, expected at least as many groups as folds")
    order = rng.permutation(len(names))
    filled, folds = np.zeros(count, int), np.empty(len(names), int)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        folds[group] = int(np.argmin(filled))
        filled[folds[group]] += sizes[group]
    return folds[positions]


def _lost(A: Entries, labels: Array, count: int, square: bool) -> Array:
    """Return which held-out cells lie in a row or column without training cells, where the solution is zero."""
    lost = np.zeros(A.size, bool)
    for fold in range(count):
        held = labels == fold
        seen = [np.bincount(i[~held], minlength=d) > 0 for i, d in zip((A.rows, A.cols), A.shape, strict=True)]
        if square:
            seen = [seen[0] | seen[1]] * 2
        lost |= held & ~(seen[0][A.rows] & seen[1][A.cols])
    return lost


def _nothing() -> list[TrainingSplit]:
    raise InputError("no measurement can be held out, expected training cells in every row and column, or other folds")
