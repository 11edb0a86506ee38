"""Ids of rows and columns: numbers, strings or dates, in arrays, lists and data frames."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_array, check_consistent_length, column_or_1d

from flatmin._core.arrays import Array
from flatmin._core.validation import in_one_line, shown
from flatmin.errors import InputError

__all__ = ["PairIds", "id_array", "positions_of", "values_of_pairs"]

#: Whole numbers up to this size are exact as floats; larger ids could be confused with each other.
MAX_EXACT = 2.0**53
#: What error messages call the two columns of pairs.
PLACES = ("column 0 of X", "column 1 of X")
#: What error messages call the kinds of arrays (``dtype.kind``).
KINDS = {"i": "numbers", "f": "numbers", "u": "numbers", "U": "strings", "M": "dates", "m": "durations"}


@dataclass(frozen=True, eq=False)
class PairIds:
    """The distinct ids of the d1 rows and the d2 columns of a matrix, ascending; the matrix has the same order.

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

    @classmethod
    def from_triples(cls, X: Any, y: Any) -> tuple[Self, Array, Array, Array]:
        """Return the ids in pairs (m, 2), the positions of the pairs (m,), and the values (m,), or raise an error."""
        ids = cls.from_pairs(X)
        i, j = ids.codes(X)
        return ids, i, j, values_of_pairs(y, i)

    def codes(self, X: Any) -> tuple[Array, Array]:
        """Return the positions (n,) of the rows and of the columns of pairs (n, 2); −1 for unknown ids.

        Missing ids, and strings in place of numbers, raise `InputError`.
        """
        rows, columns = _pairs(X)
        return positions_of(self.row_ids, rows, PLACES[0]), positions_of(self.column_ids, columns, PLACES[1])

    def row(self, row: Any) -> int:
        """Return the position of a row, or raise `InputError` if its id is unknown."""
        return _position(self.row_ids, row, "row")

    def column(self, column: Any) -> int:
        """Return the position of a column, or raise `InputError` if its id is unknown."""
        return _position(self.column_ids, column, "column")

    def row_codes(self, rows: Any) -> Array:
        """Return the positions (n,) of rows, −1 for unknown ones."""
        return positions_of(self.row_ids, rows, PLACES[0])

    def new_rows(self, X: Any, counts: Array) -> tuple[Self, Array, Array]:
        """Return the ids of the rows in pairs (m, 2), and the positions of the pairs among these ids.

        Rows that are known, except for those whose number of observations in ``counts`` is 0, and columns that are not
        known, raise `InputError`. Without counts all known rows do.
        """
        rows, columns = _pairs(X)
        at, j = self.codes(X)
        fitted = (at >= 0) & (counts[at] > 0 if len(counts) else True)
        if np.any(fitted):
            found = shown(rows[fitted][:1].tolist()[0])
            raise InputError(f"row {found} was fitted already, expected new rows; to change it, fit all pairs again")
        if np.any(j < 0):
            raise InputError(f"column {shown(columns[j < 0][:1].tolist()[0])} was not fitted, expected known columns")
        new, i = np.unique(rows, return_inverse=True)
        return type(self)(new, self.column_ids), i, j


def values_of_pairs(y: Any, rows: Array) -> Array:
    """Return the values (m,) of pairs as numbers, one for each of ``rows`` (m,), or raise an error."""
    if y is None:
        raise InputError(
            "PairRegressor requires y to be passed, but the target y is None, expected a value for every pair in X"
        )
    with in_one_line():
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=float, input_name="y"), warn=True)
    check_consistent_length(rows, y)
    return np.asarray(y)


def _pairs(X: Any) -> tuple[Array, Array]:
    """Return the two columns of pairs, each as an array that can be sorted."""
    if hasattr(X, "iloc") or hasattr(X, "get_column"):
        shape = X.shape
        columns = [np.asarray(X.iloc[:, k] if hasattr(X, "iloc") else X[:, k]) for k in range(min(2, shape[-1]))]
    else:
        if hasattr(X, "tocsr"):
            raise InputError("X is sparse, expected pairs of ids in two columns; MatrixCompletion takes sparse tables")
        table = _table(X)
        if table.dtype.kind == "c":
            raise InputError("Complex data not supported, expected ids such as strings or numbers")
        shape, columns = table.shape, list(table.T[:2]) if table.ndim == 2 else []
    wanted = "expected two columns: the ids of a row and of a column"
    if len(shape) != 2:
        raise InputError(f"Reshape your data: X has shape {tuple(shape)}, {wanted}")
    if shape[1] != 2:
        few = " while a minimum of 2 is required" if shape[1] < 2 else ""
        raise InputError(f"X has {shape[1]} feature(s) (shape={tuple(shape)}){few}, {wanted}")
    if shape[0] == 0:
        raise InputError("X has 0 pairs (shape=(0, 2)) while a minimum of 1 is required, expected at least one")
    return id_array(columns[0], PLACES[0]), id_array(columns[1], PLACES[1])


def _table(X: Any) -> Array:
    """Return pairs as an array. Numbers stay numbers if the other column holds strings."""
    if isinstance(X, np.ndarray):
        return X
    try:
        table = np.asarray(X)
        exact = table.dtype.kind in "iubM" or (table.dtype.kind == "f" and np.all(np.abs(table) < MAX_EXACT))
        return table if exact else np.array(X, dtype=object)
    except ValueError:
        raise InputError("X is ragged, expected pairs of ids in two columns") from None


def id_array(given: Any, name: str) -> Array:
    """Return ids (n,) as an array of whole numbers, numbers, strings or dates, or raise `InputError`."""
    ids: Array = np.empty(len(given), dtype=object) if isinstance(given, list) else np.asarray(given)
    if isinstance(given, list):
        ids[:] = given
    if ids.dtype.kind == "O":
        ids = _of_one_kind(ids, name)
    if ids.dtype.kind in "cV":
        raise InputError(f"{name} holds {ids.dtype.name} values, expected ids such as strings or numbers")
    if ids.dtype.kind in "fmM" and not np.isfinite(ids).all():
        raise _missing(name)
    if ids.dtype.kind == "S":
        return ids.astype(str)
    if ids.dtype == np.float16:
        ids = ids.astype(float)
    if ids.dtype.kind == "f" and np.all(ids == np.rint(ids)) and np.max(np.abs(ids)) < MAX_EXACT:
        return ids.astype(np.int64)
    return ids.astype(np.int64) if ids.dtype.kind == "b" else ids


def _of_one_kind(ids: Array, name: str) -> Array:
    """Return Python objects as an array of numbers, strings or dates, or raise `InputError` for a mixture."""
    if any(i is None or type(i).__name__ in ("NAType", "NaTType") or (isinstance(i, float) and i != i) for i in ids):
        raise _missing(name)
    for kind, dtype in ((str, str), (int | float | np.number | np.bool_, None), (np.datetime64, None)):
        if all(isinstance(i, kind) for i in ids):
            array = np.array(list(ids), dtype=dtype)
            whole = array.dtype.kind == "f" and all(isinstance(i, int | np.integer) for i in ids)
            return ids if whole else array  # float64 would merge some of them
    found = sorted({type(i).__name__ for i in ids})
    if len(found) == 1:
        try:
            np.sort(ids)
            return ids
        except TypeError:
            pass
    raise InputError(f"{name} holds {' and '.join(found)}, expected ids of one kind that can be sorted")


def _missing(name: str) -> InputError:
    return InputError(f"{name} contains NaN or missing ids, expected an id in every pair")


def positions_of(known: Array, ids: Array, name: str) -> Array:
    """Return the positions of ids among the known ones, −1 for unknown ids."""
    kinds = [
        "numbers" if isinstance(array[0], int | float) else KINDS.get(array.dtype.kind, type(array[0]).__name__)
        for array in (known, ids)
    ]
    if kinds[0] != kinds[1]:
        raise InputError(f"{name} holds {kinds[1]}, expected {kinds[0]} as in fit")
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, at, -1)


def _position(known: Array, wanted: Any, name: str) -> int:
    """Return the position of one id among the known ones, or raise `InputError`."""
    ids = np.empty(1, dtype=object)
    ids[0] = wanted.item() if isinstance(wanted, np.number | np.str_ | np.bool_) else wanted
    wanted = ids[0]
    if known.dtype.kind == "M":
        try:
            ids = ids.astype(known.dtype)
        except (TypeError, ValueError):
            raise InputError(f"{name} {shown(wanted)} is no date, expected a date as in fit") from None
    at = int(positions_of(known, id_array(ids, f"the {name}"), f"the {name}")[0])
    if at < 0:
        first, last = known[:1].tolist()[0], known[-1:].tolist()[0]
        raise InputError(
            f"{name} {shown(wanted)} is unknown, expected one of the {len(known)} that were fitted, "
            f"from {shown(first)} to {shown(last)}"
        )
    return at
