"""Completer: the base class of completion estimators, for tables and triples."""

from abc import abstractmethod
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.utils import RegressorTags, Tags
from sklearn.utils.validation import (
    FLOAT_DTYPES,
    _check_feature_names,
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from flatmin._core.arrays import Array
from flatmin._core.memory import require
from flatmin._core.validation import integers
from flatmin.errors import InputError
from flatmin.estimators._completion.fitting import Completed, Settings, regularization
from flatmin.estimators._completion.ids import PairIds, no_values
from flatmin.estimators._completion.marks import marked
from flatmin.estimators._completion.observations import Observations, Strengths
from flatmin.estimators._completion.table import Units, completed, hidden, holes, in_rows, observed, weighted
from flatmin.estimators._declaration import estimator
from flatmin.estimators.base import FlatEstimator
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["Completer"]


@estimator
class Completer(TransformerMixin, FlatEstimator):  # type: ignore[misc]
    """An estimator that fills the missing cells of a table, or predicts values of pairs of ids.

    Parameters
    ----------
    input : str
        "table" or "triples".
    offsets : str
        The offsets that are fitted jointly with the matrix: "none", "constant", "rows", "columns" or "both". The last
        three include a constant. "auto" is "columns" for tables and "both" for triples.
    offset_alpha : float, pair of float or "auto"
        Penalty on the offsets of rows and of columns. A penalty of k has the effect of k further observations of the
        value zero (in table columns, of the column mean). "auto" is 0 for tables. For triples the penalty is the
        variance of the noise divided by that of the offsets, estimated by restricted maximum likelihood.
    scale : bool or "auto"
        Whether to divide every column of a table by its standard deviation. "auto" does so for tables.
    missing_values : float, str, None or pandas.NA
        The mark of a missing cell, in addition to NaN and None.
    add_indicator : bool
        Whether `transform` appends a column of zeros and ones for every column with missing cells in `fit`.
    keep_empty_features : bool
        Whether columns without observed cells in `fit` are kept, filled with 0, or left out.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shapes (n_rows, rank) and (n_columns, rank)
        The factors L and R of the matrix ``L Rᵀ``, in the units of the fit; 0 for columns that were left out.
    offsets_ : Offsets
        The constant and the offsets of rows and columns, in the units of the fit.
    mean_, scale_ : ndarray, shape (n_features_in_,)
        Only for tables: the mean and the standard deviation of each column, which are the fit's origin and unit.
    row_ids_, column_ids_ : ndarray
        Only for triples: the ids of rows and columns, in the order of the factors.
    solution_ : Solution
        The solution with its proofs. Like ``noise_`` it is in the units of the fit.
    n_features_in_, feature_names_in_ : int, ndarray
        Number and names of the columns of X.
    """

    input: str = "table"
    offsets: str = "auto"
    offset_alpha: Any = "auto"
    scale: Any = "auto"
    missing_values: Any = np.nan
    add_indicator: bool = False
    keep_empty_features: bool = False

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit offsets and matrix to the observed cells.

        Parameters
        ----------
        X : array_like or sparse, shape (n, d); with triples array_like, shape (m, 2)
            The table, or the ids of rows and columns.
        y : array_like, shape (m,), with triples
            The values; ignored for tables.
        sample_weight : array_like, shape (n,) or (m,), optional
            Weights of the squared residuals of each row of X. If the strengths are numbers, a row of weight 2 equals
            two rows.

        Raises
        ------
        ValueError
            If X, y or a parameter cannot be used; the message says why.
        """
        is_table = self._is_table()
        strengths = Strengths.named(self.offsets, self.offset_alpha, is_table)
        cells, weights = (self._table if is_table else self._triples)(X, y, sample_weight)
        self._units = self._units_of(cells, weights, centred=is_table and strengths.columns is not None)
        inside = self._units.cells(cells)
        if weights is not None:  # the solver scales weights to mean 1, phantom observations included
            mean = float(np.mean(weights))
            weights, strengths = weights / mean, strengths.over(mean)
        found = self._completed(Observations.from_cells(inside, weights, strengths))
        self._keep_fit(found)
        self.row_factors_, own = found.rows.fit(self._less_offsets(inside), weights)
        self.column_factors_ = found.rows.columns
        if strengths.rows is not None:
            self.offsets_ = replace(found.offsets, rows=own)
        if is_table:
            self.mean_, self.scale_ = self._units.centre, self._units.scale
        for name in ("row_ids_", "column_ids_") if is_table else ("mean_", "scale_"):
            if hasattr(self, name):  # of an earlier fit to the other kind of input
                delattr(self, name)
        return self

    def transform(self, X: Any) -> Array:
        """Return a table with its missing cells filled and its observed cells unchanged.

        Parameters
        ----------
        X : array_like or sparse, shape (n, n_features_in_)
            Rows of the training table, or new ones. The factor of a new row is the ridge solution for its observed
            cells, with the penalty of the training rows; a row without observed cells gets the column offsets.

        Returns
        -------
        ndarray, shape (n, n_features_out)
        """
        check_is_fitted(self)
        if not self._was_table():
            raise InputError("transform was called with input='triples', expected predict, or input='table'")
        X = self._read(X, reset=False)
        filled = completed(X, self._modelled(X))[:, self._kept].astype(X.dtype, copy=False)
        return np.hstack([filled, holes(X)[:, self._holed].astype(X.dtype)]) if self.add_indicator else filled

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Array:
        """Return ``fit(X).transform(X)``: the training table with its missing cells filled."""
        return np.asarray(self.fit(X, y, **fit_params).transform(X))

    def predict(self, X: Any, columns: Any = None) -> Array:
        """Return the predictions of cells, observed or not.

        Parameters
        ----------
        X : array_like, shape (n, 2) or (n,)
            Triples: pairs of ids, or ids of rows if ``columns`` is given. An unknown id is predicted from the offsets.
            Tables: positions of rows of the training table if ``columns`` is given, else a table, of which all cells
            are predicted.
        columns : array_like, shape (n,), optional
            Triples: ids of columns. Tables: positions or names of columns.

        Returns
        -------
        ndarray, shape (n,), or that of the table
        """
        check_is_fitted(self)
        if self._was_table() and columns is None:
            return self._modelled(self._read(X, reset=False))
        i, j = self._positions(X, columns)
        z, both = self.offsets_.at(i, j), (i >= 0) & (j >= 0)
        z[both] += np.einsum("nk,nk->n", self.row_factors_[i[both]], self.column_factors_[j[both]])
        return np.where(np.isin(j, self._empty), 0.0, self._units.outside(z, j)) if self._was_table() else z

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the coefficient of determination R² of the predictions; 1 is perfect.

        For triples it compares the predictions with y, and 0 is as good as the mean of y. For tables, a fixed fifth of
        the observed cells is hidden and predicted from the others, so that a grid search over tables needs no y. Such a
        score of 0 is as good as column offsets, with errors in units of the fit. ``sample_weight`` has weights of the
        rows.
        """
        check_is_fitted(self)
        if not self._was_table():
            from sklearn.metrics import r2_score

            if y is None:
                raise no_values()
            return float(r2_score(y, self.predict(X), sample_weight=sample_weight))
        cells = self._inside(self._read(X, reset=False))
        known, (i, j, z) = hidden(cells)
        factors, own = self._rows.fit(self._less_offsets(known))
        left = z - self.offsets_.constant - self.offsets_.columns[j]
        missed = left - own[i] - np.einsum("nk,nk->n", factors[i], self.column_factors_[j])
        weights = np.ones(cells.shape[0]) if sample_weight is None else _check_sample_weight(sample_weight, cells)
        total = float(weights[i] @ left**2)
        return 1 - float(weights[i] @ missed**2) / total if total else float(not missed.any())

    def get_feature_names_out(self, input_features: Any = None) -> Array:
        """Return the names of the columns that `transform` returns; indicators are called ``missingindicator_NAME``."""
        check_is_fitted(self)
        if not self._was_table():
            raise InputError("get_feature_names_out was called with input='triples', expected input='table'")
        names = np.asarray(_check_feature_names_in(self, input_features), dtype=object)
        if not self.add_indicator:
            return names[self._kept]
        marks = [f"missingindicator_{name}" for name in names[self._holed]]
        return np.concatenate([names[self._kept], np.array(marks, dtype=object)])

    @abstractmethod
    def _completed(self, cells: Observations) -> Completed:
        """Return the fit to the observed cells."""

    def _settings(self, callback: Any) -> Settings:
        power = getattr(self, "metric_power", 1.0)
        stop = getattr(self, "stop", "gap")
        return Settings(power, self.max_rank, self.tol, self.max_iter, self._seed(), callback, stop)

    def _keep_fit(self, found: Completed) -> None:
        """Set the fitted attributes."""
        self._rows, self.offsets_, self.relaxation_ = found.rows, found.offsets, found.relaxation
        self._factors = found.factors
        self.alpha_ = regularization(float(found.solution.settings["alpha"]), found.problem.shape)
        self._keep(found.problem, found.solution)

    def _summary(self) -> dict[str, str]:
        lines, tried = super()._summary(), getattr(self, "relaxation_", None)
        if lines and self.noise_ is not None:
            d1, d2 = (len(factor) for factor in self.solution_.factors)
            wanted = regularization(self.noise_.alpha, (d1, d2))
            lines["alpha"] = f"{self.alpha_:.4g}; the noise asks for {wanted:.4g}"
        if tried is not None:
            names = {"offsets": "offsets alone", "refit": "the refit", "1": "the penalty of the noise"}
            weaker = f"{tried.chosen} of the penalty of the noise"
            phantoms = f"a normal distribution of rows, with {tried.phantoms} phantom rows for each row"
            kind = names.get(tried.chosen, weaker if tried.phantoms is None else phantoms)
            errors = ", ".join(f"{name} {value:.3g}" for name, value in tried.errors.items())
            lines["predicts"] = f"{kind}, by errors on held-out cells: {errors}"
        return lines

    def _chosen(self, problem: Problem, solution: Solution) -> Factors:
        return self._factors

    def _is_table(self) -> bool:
        if not isinstance(self.input, str) or self.input not in ("table", "triples"):
            raise InputError(f"input is {self.input!r}, expected 'table' or 'triples'")
        return self.input == "table"

    def _was_table(self) -> bool:
        """Return whether a table was fitted, or raise `InputError` if ``input`` has changed since."""
        if self._is_table() != hasattr(self, "mean_"):
            raise InputError(f"input is {self.input!r}, which has changed since fit; call fit again")
        return self._is_table()

    def _units_of(self, cells: Any, weights: Array | None, *, centred: bool) -> Units:
        """Return the units of the fit."""
        if not (isinstance(self.scale, bool | np.bool_) or (isinstance(self.scale, str) and self.scale == "auto")):
            raise InputError(f"scale is {self.scale!r}, expected True, False or 'auto'")
        scaled = self._is_table() if isinstance(self.scale, str) else bool(self.scale)
        if scaled and not self._is_table():
            raise InputError("scale is True with input='triples', expected False or 'auto': their values have one unit")
        return Units.from_cells(cells, weights, centred=centred, scaled=scaled)

    def _read(self, X: Any, *, reset: bool) -> Any:
        """Return a table, dense with NaN or sparse CSR, after scikit-learn's checks."""
        X = marked(X, self.missing_values)
        finite = {"dtype": FLOAT_DTYPES, "ensure_all_finite": "allow-nan"}
        return validate_data(self, X, accept_sparse="csr", reset=reset, **finite)

    def _table(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Array | None]:
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

    def _triples(self, X: Any, y: Any, sample_weight: Any) -> tuple[Any, Array | None]:
        """Return triples as observed cells, and their weights if there are any."""
        ids, i, j, y = PairIds.from_triples(X, y)
        _check_feature_names(self, X, reset=True)
        self.n_features_in_, self._ids = 2, ids
        self.row_ids_, self.column_ids_ = ids.row_ids, ids.column_ids
        cells, order = in_rows(i, j, y, (len(ids.row_ids), len(ids.column_ids)))
        if sample_weight is None:
            return cells, None
        weights = _check_sample_weight(sample_weight, y, dtype=float, ensure_non_negative=True)
        return weighted(cells, weights[order])

    def _positions(self, X: Any, columns: Any) -> tuple[Array, Array]:
        """Return the positions of cells in the factors, −1 for ids that were not fitted."""
        if not self._is_table():
            if columns is None:
                _check_feature_names(self, X, reset=False)
                return self._ids.codes(X)
            rows, columns = np.atleast_1d(np.asarray(X)), np.atleast_1d(np.asarray(columns))
            if rows.ndim != 1 or rows.shape != columns.shape:
                raise InputError(f"rows have shape {rows.shape}, columns {columns.shape}, expected two equal lengths")
            pairs = np.empty((len(rows), 2), dtype=object)
            pairs[:, 0], pairs[:, 1] = rows, columns
            return self._ids.codes(pairs)
        names = list(getattr(self, "feature_names_in_", []))
        columns = np.atleast_1d(np.asarray(columns))
        if columns.dtype.kind in "OU" and set(columns) <= set(names):
            columns = np.array([names.index(name) for name in columns])
        i, j = integers(np.atleast_1d(np.asarray(X)), "rows"), integers(columns, "columns")
        if i.shape != j.shape:
            raise InputError(f"rows have shape {i.shape}, columns {j.shape}, expected two equal lengths")
        for name, index, d in (("rows", i, len(self.row_factors_)), ("columns", j, self.n_features_in_)):
            if index.size and not 0 <= index.min() <= index.max() < d:
                raise InputError(
                    f"{name} reach from {index.min()} to {index.max()}, expected positions from 0 to {d - 1}"
                )
        return i, j

    def _inside(self, X: Any) -> Any:
        """Return the observed cells of a checked table in the units of the fit, without those of empty columns."""
        cells = observed(X)
        if len(self._empty):
            cells, _ = weighted(cells, np.isin(cells.indices, self._empty, invert=True).astype(float))
        return self._units.cells(cells)

    def _less_offsets(self, cells: Any) -> Any:
        """Return observed cells minus the constant and the offset of their column."""
        left = cells.copy()
        left.data = cells.data - self.offsets_.constant - self.offsets_.columns[cells.indices]
        return left

    def _modelled(self, X: Any) -> Array:
        """Return the predictions of all cells of a checked table."""
        require(3.0 * 8 * X.shape[0] * X.shape[1], "the completed table")
        factors, own = self._rows.fit(self._less_offsets(self._inside(X)))
        z = factors @ self.column_factors_.T
        z += own[:, None] + (self.offsets_.constant + self.offsets_.columns)
        out = self._units.outside(z)
        out[:, self._empty] = 0
        return out

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.input == "triples":
            tags.estimator_type, tags.regressor_tags, tags.transformer_tags = "regressor", RegressorTags(), None
            tags.target_tags.required = True
            tags.input_tags.string = True
            return tags
        tags.input_tags.allow_nan = tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
