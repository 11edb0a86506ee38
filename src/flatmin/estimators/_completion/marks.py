"""`marked`: tables with NaN in missing cells; cells that are not numbers raise an error that names the column."""

import datetime as dt
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import is_whole, real_number, shown
from flatmin.errors import InputError

__all__ = ["are_complete_pairs", "marked"]

DATES = (dt.date, dt.timedelta, np.datetime64, np.timedelta64)


def marked(X: Any, missing_values: Any) -> Any:
    """Return a table with NaN in missing cells; frames keep their columns.

    ``missing_values`` is NaN, None, pandas' NA, a number or a string. NaN, None and masked cells of a masked array are
    always missing. Dates, and text that is no number, raise `InputError`.
    """
    try:
        several = np.ndim(missing_values) > 0
    except ValueError:  # a ragged list
        several = True
    if several or (is_whole(missing_values) and np.isinf(real_number(missing_values))):
        raise InputError(
            f"missing_values is {shown(missing_values)}, expected one number or string, None, NaN or pandas.NA"
        )
    unmarked = missing_values is None or _is_nan(missing_values)
    if hasattr(X, "tocsr"):
        if unmarked:
            return X
        X = X.tocsr().astype(float, copy=True)
        X.data[X.data == missing_values] = np.nan
        return X
    if hasattr(X, "iloc") and getattr(X, "ndim", 0) == 2:
        return _frame(X, missing_values, unmarked)
    if hasattr(X, "__dataframe__") or hasattr(X, "get_column"):
        return X if unmarked else _by_column(X, missing_values)
    if np.ma.isMaskedArray(X):
        kind = X.dtype.kind
        X = np.ma.filled(X.astype(float if kind in "biu" else X.dtype if kind in "fc" else object), np.nan)
    try:
        array = np.asarray(X)
    except ValueError:
        raise InputError("X is ragged, expected rows of equal length") from None
    if array.dtype.kind in "mM":
        raise _dates("X")
    if not unmarked:
        text = array.dtype.kind in "OUS"
        array = array.astype(object) if text else array
        found = missing_values == array
        X = array = np.where(found, np.nan, array) if text or np.any(found) else array
    if array.dtype.kind not in "OUS" or array.ndim != 2:
        return X
    columns = [_number_like(column, f"column {j} of X") for j, column in enumerate(array.T)]
    return np.stack(columns, axis=1) if columns else X


def are_complete_pairs(X: Any, missing_values: Any) -> bool:
    """Return whether X could be pairs of ids: two columns, no cell of which is missing or could be marked as missing.

    ``missing_values`` other than NaN shows that X is a table, since ids are never missing.
    """
    if hasattr(X, "tocsr") or not (missing_values is None or _is_nan(missing_values)):
        return False
    try:
        table = np.asarray(X)
    except ValueError:  # a ragged list
        return False
    if table.ndim != 2 or table.shape[1] != 2 or not table.size:
        return False
    if table.dtype.kind == "f":
        return not bool(np.isnan(table).any())
    return table.dtype.kind != "O" or not any(value is None or _is_nan(value) for value in table.flat)


def _frame(X: Any, missing_values: Any, unmarked: bool) -> Any:
    """Return a pandas frame with NaN in missing cells; objects stay objects."""
    kinds = [dtype.kind for dtype in X.dtypes]
    for j, kind in enumerate(kinds):
        if kind in "mM":
            raise _dates(f"column {X.columns[j]!r} of X")
    if "O" in kinds:  # text, categories and mixtures
        X = X.astype(object)
        X = X.mask(X.isna(), np.nan)
    if not unmarked:
        X = X.mask(missing_values == X)
    for j in range(X.shape[1]) if "O" in kinds else ():
        _number_like(X.iloc[:, j].to_numpy(), f"column {X.columns[j]!r} of X")
    return X


def _by_column(X: Any, missing_values: Any) -> Any:
    """Return a frame of another library, such as polars, with NaN in marked cells."""
    columns = {}
    for name in X.columns:
        column = np.asarray(X[name].to_numpy())
        if column.dtype.kind in "mM":
            raise _dates(f"column {name!r} of X")
        column = np.where(missing_values == column, np.nan, column)
        columns[name] = _number_like(column, f"column {name!r} of X").astype(
            column.dtype if column.dtype.kind == "f" else float
        )
    return type(X)(columns)


def _number_like(column: Array, name: str) -> Array:
    """Return a column with NaN for None and pandas' NA, or raise `InputError` for text that is no number."""
    if column.dtype.kind not in "OUS":
        return column
    column = column.astype(object)
    for i, value in enumerate(column):
        if isinstance(value, str | bytes):
            try:
                float(value)
            except ValueError:
                raise InputError(
                    f"{name} holds {value!r}: could not convert it to a number; encode categories as numbers first, "
                    "and pass the mark of missing cells as missing_values; values of pairs of ids, such as ratings, "
                    "are for PairRegressor"
                ) from None
        elif value is None or _is_nan(value):
            column[i] = np.nan
        elif isinstance(value, DATES) or type(value).__name__ == "Period":
            raise _dates(name)
    return column


def _is_nan(value: Any) -> bool:
    """Return whether a value is NaN or pandas' NA, which do not equal themselves."""
    try:
        return not bool(value == value)
    except TypeError:
        return True
    except ValueError:  # an array
        return False


def _dates(name: str) -> InputError:
    return InputError(f"{name} holds dates or durations, expected numbers, such as days since the first date")
