"""PairIds: the ids of rows and columns, which are numbers, strings or dates in arrays, lists and data frames."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError

__all__ = ["PairIds"]

#: Largest size up to which all whole numbers are distinct floating-point numbers.
WHOLE = 2.0**53
#: Names of the kinds of arrays in messages.
KINDS = {"i": "numbers", "f": "numbers", "u": "numbers", "U": "strings", "M": "dates", "m": "durations"}


@dataclass(frozen=True, eq=False)
class PairIds:
    """The ids of the rows and columns of a matrix.

    Attributes
    ----------
    row_ids, column_ids : ndarray, shapes (d1,) and (d2,)
        The distinct ids, ascending; their position is the index of the row or column.

    Examples
    --------
    >>> ids = PairIds.from_pairs([("anna", 7), ("bob", 3), ("anna", 3)])
    >>> ids.codes([("bob", 3), ("carla", 7)])
    (array([ 1, -1]), array([0, 1]))
    """

    row_ids: Array
    column_ids: Array

    @classmethod
    def from_pairs(cls, X: Any) -> Self:
        """Collect the ids in pairs (m, 2), or raise `InputError`."""
        return cls(*(np.unique(ids) for ids in _pairs(X)))

    def codes(self, X: Any) -> tuple[Array, Array]:
        """Return the positions (n,) of the rows and of the columns of pairs (n, 2); −1 for unknown ids.

        Raises
        ------
        InputError
            If ids are missing, or of another kind than the known ones, such as strings instead of numbers.
        """
        rows, columns = _pairs(X)
        return _positions(self.row_ids, rows, 0), _positions(self.column_ids, columns, 1)


def _pairs(X: Any) -> tuple[Array, Array]:
    """Return the two columns of pairs, each as an array that can be sorted."""
    if hasattr(X, "iloc") or hasattr(X, "get_column"):
        shape = X.shape
        columns = [np.asarray(X.iloc[:, k] if hasattr(X, "iloc") else X[:, k]) for k in range(min(2, shape[-1]))]
    else:
        if hasattr(X, "tocsr"):
            raise InputError("X is sparse, expected pairs of ids in two columns; with input='table' it may be sparse")
        table = _table(X)
        shape, columns = table.shape, list(table.T[:2]) if table.ndim == 2 else []
    if len(shape) != 2 or shape[1] != 2:
        raise InputError(f"X has shape {tuple(shape)}, expected two columns: the ids of a row and of a column")
    if shape[0] == 0:
        raise InputError("X has 0 pairs (shape=(0, 2)) while a minimum of 1 is required, expected at least one")
    return _sortable(columns[0], 0), _sortable(columns[1], 1)


def _table(X: Any) -> Array:
    """Return pairs as an array that keeps numbers as numbers if there are strings too."""
    if isinstance(X, np.ndarray):
        return X
    try:
        table = np.asarray(X)
        exact = table.dtype.kind in "iubM" or (table.dtype.kind == "f" and np.all(np.abs(table) < WHOLE))
        return table if exact else np.array(X, dtype=object)
    except ValueError:
        raise InputError("X is ragged, expected pairs of ids in two columns") from None


def _sortable(ids: Array, place: int) -> Array:
    """Return a column of ids as an array of whole numbers, numbers, strings or dates."""
    if ids.dtype.kind == "O":
        ids = _of_one_kind(ids, place)
    if ids.dtype.kind in "cV":
        raise InputError(f"column {place} of X holds {ids.dtype.name} values, expected ids such as strings or numbers")
    if ids.dtype.kind in "fmM" and not np.isfinite(ids).all():
        raise _missing(place)
    if ids.dtype.kind == "S":
        return ids.astype(str)
    if ids.dtype.kind == "f" and np.all(ids == np.rint(ids)) and np.max(np.abs(ids)) < WHOLE:
        return ids.astype(np.int64)
    return ids.astype(np.int64) if ids.dtype.kind == "b" else ids


def _of_one_kind(ids: Array, place: int) -> Array:
    """Return Python objects as an array of one kind if they have one."""
    if any(i is None or type(i).__name__ in ("NAType", "NaTType") or (isinstance(i, float) and i != i) for i in ids):
        raise _missing(place)
    for kind, dtype in ((str, str), (int | float | np.number | np.bool_, None), (np.datetime64, None)):
        if all(isinstance(i, kind) for i in ids):
            array = np.array(list(ids), dtype=dtype)
            whole = array.dtype.kind == "f" and all(isinstance(i, int | np.integer) for i in ids)
            return ids if whole else array  # float64 would not tell all of them apart
    found = sorted({type(i).__name__ for i in ids})
    if len(found) == 1:
        try:
            np.sort(ids)
            return ids
        except TypeError:
            pass
    raise InputError(f"column {place} of X holds {' and '.join(found)}, expected ids of one kind that can be sorted")


def _kind(ids: Array) -> str:
    """Return the name of a kind of ids."""
    return "numbers" if isinstance(ids[0], int | float) else KINDS.get(ids.dtype.kind, type(ids[0]).__name__)


def _missing(place: int) -> InputError:
    return InputError(f"column {place} of X contains NaN or missing ids, expected an id in every pair")


def _positions(known: Array, ids: Array, place: int) -> Array:
    """Return the positions of ids among the known ones, −1 for unknown ids."""
    kinds = [_kind(array) for array in (known, ids)]
    if kinds[0] != kinds[1]:
        raise InputError(f"column {place} of X holds {kinds[1]}, expected {kinds[0]} as in fit")
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, at, -1)
