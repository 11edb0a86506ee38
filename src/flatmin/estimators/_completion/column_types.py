"""`with_column_types`: a completed table as a data frame whose columns keep the nullable types of the input."""

from typing import Any

import numpy as np
from sklearn.utils._set_output import _get_output_config

from flatmin._core.arrays import Array

__all__ = ["with_column_types"]


def with_column_types(estimator: Any, values: Array, X: Any, sources: Array, names: Array) -> Any:
    """Return a completed table as the frame that ``set_output`` of an estimator asks for, or else as it is.

    Only frames of the library of X are made here, and only if X has a nullable type. Whole numbers and booleans keep
    their type if the completed column holds nothing else; otherwise the column has a nullable type of real numbers.

    Parameters
    ----------
    estimator : TransformerMixin
        The estimator, whose setting decides on the output.
    values : ndarray, shape (n, d)
        The completed table, perhaps with further columns at its end.
    X : object
        The table that was completed.
    sources : ndarray of int
        The positions of the columns of X in the first columns of ``values``.
    names : ndarray of str, shape (d,)
        The names of the columns of ``values``.
    """
    wanted = _get_output_config("transform", estimator)["dense"]
    if wanted == "pandas" and hasattr(X, "iloc"):
        return _pandas_frame(values, X, sources, names)
    if wanted == "polars" and hasattr(X, "get_column"):
        return _polars_frame(values, X, sources, names)
    return values


def _pandas_frame(values: Array, X: Any, sources: Array, names: Array) -> Any:
    import pandas as pd

    found = {k: X.dtypes.iloc[j] for k, j in enumerate(sources)}
    nullable = {k: dtype for k, dtype in found.items() if not isinstance(dtype, np.dtype) and dtype.kind in "iufb"}
    if not nullable:
        return values
    columns = [pd.Series(column, index=X.index) for column in values.T]
    for k, dtype in nullable.items():
        columns[k] = _cast(columns[k], dtype, "double[pyarrow]" if isinstance(dtype, pd.ArrowDtype) else "Float64")
    return pd.concat(columns, axis=1, keys=list(names))


def _cast(column: Any, dtype: Any, real: str) -> Any:
    """Return a pandas column in a nullable type, or in one of real numbers if that would change its values."""
    try:
        out = column.astype(dtype)
    except (TypeError, ValueError):  # fractions, or numbers outside the range of the type
        return column.astype(real)
    kept = dtype.kind == "f" or np.array_equal(out.to_numpy(dtype=float), column.to_numpy())
    return out if kept else column.astype(real)


def _polars_frame(values: Array, X: Any, sources: Array, names: Array) -> Any:
    """Return a polars frame. All its types are nullable."""
    import polars

    columns = [polars.Series(str(name), column) for name, column in zip(names, values.T, strict=True)]
    for k, j in enumerate(sources):
        dtype = X.dtypes[j]
        if dtype.is_float():
            columns[k] = columns[k].cast(dtype)
        elif dtype.is_integer() or dtype == polars.Boolean:
            out = columns[k].cast(dtype, strict=False)
            kept = out.null_count() == 0 and bool((out.cast(polars.Float64) == columns[k]).all())
            columns[k] = out if kept else columns[k]
    return polars.DataFrame(columns)
