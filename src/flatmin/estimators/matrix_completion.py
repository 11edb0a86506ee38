"""Matrix completion: a transformer that fills the missing cells of a table."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import in_one_line, integers
from flatmin.errors import InputError
from flatmin.estimators._completer import Completer
from flatmin.estimators._completion.column_types import with_column_types
from flatmin.estimators._completion.marks import are_complete_pairs, marked
from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._completion.predictor import RowFit
from flatmin.estimators._completion.table import Units, completed, hidden, holes, observed, weighted
from flatmin.estimators._declaration import estimator
from flatmin.estimators._intervals.missing_odds import missing_odds
from flatmin.estimators.base import user_level

__all__ = ["MatrixCompletion"]


@estimator
class MatrixCompletion(TransformerMixin, Completer):  # type: ignore[misc]
    """Fill the missing cells of a table by a low-rank matrix and offsets of columns.

    A transformer like `SimpleImputer`. The matrix minimises ``Σ (v_ij − X_ij)² + alpha (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)``,
    the loss plus the scaled trace, where n_i and n_j are the numbers of observed cells in row i and in column j.
    ALS-WR has the same objective; here it is minimised over factors of any width, with a certificate. Rank and strength
    need not be known.

    A cell is missing if it is NaN or ``missing_values``, or if a sparse matrix does not store it. Columns may have any
    units. New rows are completed like fitted ones. For values of pairs, such as ratings, use `PairRegressor`.

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty; 0 fits exactly, "auto" starts from the strength that follows from the noise (see
        ``refit``). With ``scale`` the strength refers to columns of standard deviation 1.
    scale : bool
        Whether to divide every column by its standard deviation.
    missing_values : float, str, None or pandas.NA
        The mark of a missing cell, in addition to NaN and None.
    add_indicator : bool
        Whether `transform` appends a column of zeros and ones for every column with missing cells in `fit`.
    keep_empty_features : bool
        Whether columns without observed cells in `fit` are kept, filled with 0, or left out.

    Attributes
    ----------
    mean_, scale_ : ndarray, shape (n_features,)
        The mean and the standard deviation of each column, which are the fit's origin and unit.

    References
    ----------
    Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative filtering for the Netflix Prize", AAIM 2008
    (ALS-WR). Salakhutdinov, Srebro, "Collaborative filtering in a non-uniform world", NIPS 2010 (the weighted norm).
    Schneider, "Analysis of incomplete climate data", Journal of Climate 14, 2001 (the normal distribution of rows).

    Examples
    --------
    >>> import numpy as np
    >>> from flatmin import MatrixCompletion
    >>> rng = np.random.default_rng(0)
    >>> table = rng.standard_normal((60, 2)) @ rng.standard_normal((2, 10)) * 1000.0 ** np.arange(10)
    >>> holes = np.where(rng.random(table.shape) < 0.3, np.nan, table)
    >>> filled = MatrixCompletion().fit_transform(holes)
    >>> bool(np.abs(filled / table - 1).max() < 1e-6)
    True
    """

    saved_classes: ClassVar[tuple[type, ...]] = (Units,)

    offsets: str = "columns"
    offset_alpha: Any = 0.0
    scale: bool = True
    missing_values: Any = np.nan
    add_indicator: bool = False
    keep_empty_features: bool = False

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit offsets and matrix to the observed cells.

        Parameters
        ----------
        X : array_like or sparse, shape (n, d)
            The table.
        y : object
            Ignored; pipelines pass it.
        sample_weight : array_like, shape (n,), optional
            Weights of the squared residuals of each row. If the strengths are numbers, a row of weight 2 equals two
            rows.

        Raises
        ------
        ValueError
            If X or a parameter cannot be used; the message says why.

        Warns
        -----
        UserWarning
            If y is given and X has two columns without a missing cell. Such data are pairs and values, of which this
            class would complete the ids.
        """
        if y is not None and are_complete_pairs(X, self.missing_values):
            warnings.warn(
                "X has two complete columns and y is ignored: to predict y from pairs of ids, use PairRegressor",
                UserWarning,
                stacklevel=user_level(),
            )
        strengths = Strengths.named(self.offsets, self.offset_alpha)
        cells, weights = self._table(X, sample_weight)
        self._units = self._units_of(cells, weights, centred=strengths.columns is not None)
        self._fit_cells(self._units.cells(cells), weights, strengths)
        self.mean_, self.scale_ = self._units.centre, self._units.scale
        return self

    def transform(self, X: Any) -> Any:
        """Return a table with its missing cells filled and its observed cells unchanged.

        Parameters
        ----------
        X : array_like or sparse, shape (n, n_features)
            Rows of the training table, or new ones. The factor of a new row is the ridge solution for its observed
            cells, with the penalty of the training rows; a row without observed cells gets the column offsets.

        Returns
        -------
        ndarray, shape (n, n_features_out)
            Or the frame that `set_output` asks for. A frame of the library of X keeps nullable types: columns of whole
            numbers or booleans, too, if the filled cells are such values.
        """
        check_is_fitted(self)
        cells = self._read(X, reset=False)
        filled = completed(cells, self._modelled(cells))[:, self._kept].astype(cells.dtype, copy=False)
        if self.add_indicator:
            filled = np.hstack([filled, holes(cells)[:, self._holed].astype(cells.dtype)])
        return with_column_types(self, filled, X, self._kept, self.get_feature_names_out())

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any:
        """Return ``fit(X).transform(X)``: the training table with its missing cells filled."""
        return self.fit(X, y, **fit_params).transform(X)

    def predict(self, X: Any, columns: Any = None, *, return_std: bool = False) -> Any:
        """Return the predictions of cells, observed or not.

        Parameters
        ----------
        X : array_like, shape (n, d) or (n,)
            A table, of which all cells are predicted, or positions of rows of the training table if ``columns`` is
            given.
        columns : array_like, shape (n,), optional
            Positions or names of columns.
        return_std : bool
            Whether to return also the standard deviations of the errors, as `predict_interval` estimates them. They are
            infinite in columns without observed cells.

        Returns
        -------
        ndarray, shape (n,), or that of the table; with return_std two of them
        """
        check_is_fitted(self)
        if columns is None and not return_std:
            return self._modelled(self._read(X, reset=False))
        i, j, rows, shape = self._cells_of(X, columns)
        mean = self._predicted(i, j, rows).reshape(shape)
        return (mean, self._widths(self._deviations(i, j, rows), j).reshape(shape)) if return_std else mean

    def predict_interval(
        self, X: Any, columns: Any = None, *, confidence_level: float = 0.9, kind: str = "observation"
    ) -> tuple[Array, Array]:
        """Return lower and upper ends of prediction intervals of cells, observed or not.

        Held-out cells calibrate the intervals, so that the given share of cells lies in them if cells are missing at
        random; this is measured and not guaranteed. An interval is about one cell. The errors of neighbouring cells
        are correlated, so the interval of a sum or a mean of cells does not follow from those of the cells.

        Parameters
        ----------
        X, columns
            A table, or positions of cells, as in `predict`. Rows of a table may be new.
        confidence_level : float
            The share of cells that the intervals should contain.
        kind : str
            "observation" is about the value of a cell; for an observed cell, about a second observation of it. "mean"
            is about the value without noise. It needs a fit without the bias of a penalty: ``refit=True``, or "auto" if
            a refit was chosen (``relaxation_.chosen == "refit"``).

        Returns
        -------
        low, high : ndarray, shape (n,), or that of the table
            Infinite in columns without observed cells.

        Raises
        ------
        ValueError
            If an argument cannot be used, if fewer than 20 cells can be held out, if there are too few for this
            confidence level, or if a penalised fit predicts and kind is "mean".

        Examples
        --------
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> table = rng.standard_normal((80, 1)) + 0.5 * rng.standard_normal((80, 6))
        >>> hidden = rng.random(table.shape) < 0.2
        >>> low, high = MatrixCompletion().fit(np.where(hidden, np.nan, table)).predict_interval(*np.nonzero(hidden))
        >>> bool(0.8 < np.mean((low <= table[hidden]) & (table[hidden] <= high)) < 1)
        True
        """
        check_is_fitted(self)
        i, j, rows, shape = self._cells_of(X, columns)
        half = self._widths(self._half_widths(i, j, confidence_level, kind, rows), j)
        mean = self._predicted(i, j, rows)
        return (mean - half).reshape(shape), (mean + half).reshape(shape)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R² of predicted cells; 1 is perfect, 0 as good as column offsets.

        A fixed fifth of the observed cells is hidden and predicted from the others, so that a grid search needs no y.
        Errors are in units of the fit. ``sample_weight`` has weights of the rows.
        """
        check_is_fitted(self)
        cells = self._inside(self._read(X, reset=False))
        known, (i, j, z) = hidden(cells)
        left = z - self.offsets_.constant - self.offsets_.columns[j]
        missed = left - self._cells.fitted(known).at(i, j)
        weights = np.ones(cells.shape[0]) if sample_weight is None else _check_sample_weight(sample_weight, cells)
        total = float(weights[i] @ left**2)
        return 1 - float(weights[i] @ missed**2) / total if total else float(not missed.any())

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns that `transform` returns; indicators are called ``missingindicator_NAME``."""
        check_is_fitted(self)
        names = np.asarray(_check_feature_names_in(self, input_features), dtype=object)
        if not self.add_indicator:
            return names[self._kept]
        marks = [f"missingindicator_{name}" for name in names[self._holed]]
        return np.concatenate([names[self._kept], np.array(marks, dtype=object)])

    def _units_of(self, cells: Any, weights: Array | None, *, centred: bool) -> Units:
        """Return the units of the fit."""
        if not isinstance(self.scale, bool | np.bool_):
            raise InputError(f"scale is {self.scale!r}, expected True or False")
        return Units.from_cells(cells, weights, centred=centred, scaled=bool(self.scale))

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Return a table, dense with NaN or sparse CSR, after scikit-learn's checks."""
        X = marked(X, self.missing_values)
        finite = {"dtype": FLOAT_DTYPES, "ensure_all_finite": "allow-nan"}
        with in_one_line():
            return validate_data(self, X, accept_sparse="csr", reset=reset, **finite)

    def _table(self, X: Any, sample_weight: Any) -> tuple[Any, Array | None]:
        """Return the observed cells of a table, and their weights if there are any."""
        X = self._read(X, reset=True)
        cells, weights = observed(X), None
        if sample_weight is not None:
            rows = _check_sample_weight(sample_weight, X, dtype=float, ensure_non_negative=True)
            cells, weights = weighted(cells, np.repeat(rows, np.diff(cells.indptr)))
        if cells.nnz == 0:
            raise InputError("X has no observed cell of positive weight, expected at least one")
        seen = np.bincount(cells.indices, minlength=X.shape[1]) > 0
        self._empty = np.flatnonzero(~seen)
        self._kept = np.arange(X.shape[1]) if self.keep_empty_features else np.flatnonzero(seen)
        self._holed = np.flatnonzero(holes(X).any(axis=0)) if self.add_indicator else np.arange(0)
        return cells, weights

    def _positions(self, rows: Any, columns: Any) -> tuple[Array, Array]:
        """Return the positions of cells of the training table, or raise `InputError`."""
        if np.ndim(rows) > 1:
            raise InputError(
                f"X has shape {np.shape(rows)}, expected one position of a row for each of the columns; to predict all "
                "cells of a table, leave columns out"
            )
        names = list(getattr(self, "feature_names_in_", []))
        columns = np.atleast_1d(np.asarray(columns))
        if columns.dtype.kind in "OU" and set(columns) <= set(names):
            columns = np.array([names.index(name) for name in columns])
        i, j = integers(np.atleast_1d(np.asarray(rows)), "rows"), integers(columns, "columns")
        if i.shape != j.shape:
            raise InputError(f"rows have shape {i.shape}, columns {j.shape}, expected two equal lengths")
        for name, index, d in (("rows", i, len(self.row_factors_)), ("columns", j, self.n_features_in_)):
            if index.size and not 0 <= index.min() <= index.max() < d:
                raise InputError(
                    f"{name} reach from {index.min()} to {index.max()}, expected positions from 0 to {d - 1}"
                )
        return i, j

    def _cells_of(self, X: Any, columns: Any) -> tuple[Array, Array, RowFit | None, tuple[int, ...]]:
        """Return positions of cells, the rows of a table if there is one, and the shape of the answer."""
        if columns is not None:
            i, j = self._positions(X, columns)
            return i, j, None, i.shape
        X = self._read(X, reset=False)
        i, j = (index.ravel() for index in np.indices(X.shape))
        return i, j, self._cells.fitted(self._inside(X)), X.shape

    def _predicted(self, i: Array, j: Array, rows: RowFit | None) -> Array:
        """Return predictions in the units of the table; 0 in empty columns."""
        z = self._at(i, j) if rows is None else self._cells.at(i, j, rows)
        return np.where(np.isin(j, self._empty), 0.0, self._units.outside(z, j))

    def _widths(self, widths: Array, j: Array) -> Array:
        """Return widths in columns j in the units of the table; infinite in empty columns."""
        return np.where(np.isin(j, self._empty), np.inf, widths * self._units.scale[j])

    def _row_weights(self) -> Array:
        """Return the odds that cells of each row are missing: cells are missing more often in some rows than others."""
        return missing_odds(self._cells.rows.counts, self.n_features_in_ - len(self._empty))

    def _inside(self, X: Any) -> Any:
        """Return the observed cells of a checked table in the units of the fit, without those of empty columns."""
        cells = observed(X)
        if len(self._empty):
            cells, _ = weighted(cells, np.isin(cells.indices, self._empty, invert=True).astype(float))
        return self._units.cells(cells)

    def _modelled(self, X: Any) -> Array:
        """Return the predictions of all cells of a checked table."""
        require(3.0 * 8 * X.shape[0] * X.shape[1], "the completed table")
        rows = self._cells.fitted(self._inside(X))
        z = rows.factors @ self.column_factors_.T
        z += rows.offsets[:, None] + (self.offsets_.constant + self.offsets_.columns)
        out = self._units.outside(z)
        out[:, self._empty] = 0
        return out

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
