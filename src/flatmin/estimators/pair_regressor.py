"""Pair regression: a regressor for values of pairs of ids, such as ratings of films by people."""

from copy import copy
from dataclasses import field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names, _check_sample_weight, check_is_fitted

from flatmin._core.arrays import Array
from flatmin._core.validation import real_number, shown, whole_number
from flatmin.errors import InputError
from flatmin.estimators._completer import Completer
from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._completion.predictor import CellPredictor, RowFit
from flatmin.estimators._completion.projection import RowModel
from flatmin.estimators._completion.table import in_rows, weighted
from flatmin.estimators._declaration import estimator
from flatmin.estimators._pairs.ids import PairIds, values_of_pairs
from flatmin.estimators._pairs.side_information import PairFeatures
from flatmin.estimators._spark import engine_of, is_source, spark_fit
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["PairRegressor"]


@estimator
class PairRegressor(RegressorMixin, Completer):  # type: ignore[misc]
    """Predict the values of pairs (row, column), such as ratings, by a low-rank matrix and offsets.

    A regressor whose X has two columns, the ids of a row and of a column (numbers, strings or dates), and whose y
    holds the values. The matrix minimises ``Σ (v_ij − X_ij)² + alpha (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)``, the loss plus the
    scaled trace, where n_i and n_j are the numbers of pairs with row i and with column j. ALS-WR and Spark's ALS have
    the same objective; here it is minimised over factors of any width, with a certificate. Rank and strength need not
    be known.

    Parameters
    ----------
    offsets : str
        The offsets that are fitted jointly with the matrix: "none", "constant", "rows", "columns" or "both". The last
        three include a constant. "auto" is "both", or "none" with Spark.
    offset_alpha : float, pair of float or "auto"
        Penalty on the offsets of rows and of columns. A penalty of k has the effect of k further observations of the
        value zero. "auto" is the variance of the noise divided by that of the offsets, estimated by restricted maximum
        likelihood.
    row_features, column_features : mapping or data frame, optional
        Features of rows and of columns, such as age or genre: a mapping from ids to numbers, a pandas frame with ids as
        index, or a polars frame with ids in the first column. Offsets are then pulled to a linear function of the
        features instead of zero, and ids that are only here are predicted by this function. Features are standardised;
        NaN, and an id without features, count as the mean. A penalised offset of the same side is needed.
    feature_alpha : float, sequence of float or "auto"
        Ridge penalty on the slopes of standardised features of rows, of columns and, as an optional third number, on
        those of each row (``interactions``); 0 does not penalise. "auto" is the variance of the noise divided by that
        of the slopes, estimated as for offsets; each feature has its own penalty on the slopes of rows.
    interactions : bool or "auto"
        Whether every row has its own slopes on the features of columns, such as a person's taste for each genre. They
        are fitted jointly with matrix and offsets, and also predict columns without values. "auto" is True if there are
        ``column_features``, and the number of rows times the squared number of features is at most 1e8; more are
        refused.
    clip : pair of float, optional
        The least and the largest possible value, such as (1, 5) for stars. Predictions outside are moved to the nearer
        limit; the fit is not affected.
    engine : str
        "auto" and "local" work in this process. "spark" uses Apache Spark for pairs that exceed the memory of one
        machine, with a positive ``alpha`` and without offsets; `fit` then also takes a Spark DataFrame, or the path of
        a CSV or Parquet file. With Spark ``tol`` is at least 1e-6, ``max_iter`` counts Spark's iterations (up to 100)
        and the sweeps after them, and the certificate has no ``dual``.

    Attributes
    ----------
    row_ids_, column_ids_ : ndarray
        The ids of rows and columns, in the order of the factors. Ids that only features name are among them.
    row_coef_, column_coef_ : ndarray, shapes (p,) and (q,)
        The slopes of features: the change of an offset for one unit of the feature.
    interaction_coef_ : ndarray, shape (n_rows, q)
        The slopes of each row on the features of columns; q is 0 without ``interactions``.
    spark_model_ : SparkCompletion
        With ``engine="spark"``: the fit in Spark's form, to be saved as Parquet or to predict a DataFrame.

    References
    ----------
    Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative filtering for the Netflix Prize", AAIM 2008
    (ALS-WR). Salakhutdinov, Srebro, "Collaborative filtering in a non-uniform world", NIPS 2010 (the weighted norm).

    Examples
    --------
    >>> from flatmin import PairRegressor
    >>> pairs = [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 3), ("cid", 2), ("cid", 3)]
    >>> model = PairRegressor(0.1).fit(pairs, [5, 3, 4, 2, 4, 3])
    >>> model.predict([("bob", 2), ("new", 1)]).round(1)
    array([3.3, 4.1])
    """

    saved_classes: ClassVar[tuple[type, ...]] = (PairIds,)
    unsaved: ClassVar[tuple[str, ...]] = ("spark_model_",)

    alpha: Any = field(default="auto", kw_only=False)
    offsets: str = "auto"
    row_features: Any = None
    column_features: Any = None
    feature_alpha: Any = "auto"
    interactions: Any = "auto"
    clip: Any = None
    engine: str = "auto"
    tol: float = 1e-6

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit offsets and matrix to values of pairs.

        Parameters
        ----------
        X : array_like, shape (m, 2)
            The ids of a row and of a column for every value: a list of pairs, an array, a pandas or polars frame. With
            ``engine="spark"`` also a Spark DataFrame, or the path of a CSV file (with a header) or of Parquet: ids of
            rows, ids of columns, values.
        y : array_like, shape (m,)
            The values. For a Spark DataFrame or a path, the names of the three columns, or None if X has no others.
        sample_weight : array_like, shape (m,), optional
            Weights of the squared residuals. If the strengths are numbers, a pair of weight 2 equals two pairs. Spark
            takes no weights.

        Raises
        ------
        ValueError
            If X, y or a parameter cannot be used; the message says why.
        ImportError
            If Spark is asked for and not installed.
        """
        self._limits()
        if engine_of(self.engine) == "spark":
            return self._fit_spark(X, y, sample_weight)
        if is_source(X):
            kind = "a path" if isinstance(X, str) else f"a {type(X).__name__}"
            raise InputError(f"X is {kind}, expected arrays, or engine='spark', which reads DataFrames and paths")
        kind = "both" if isinstance(self.offsets, str) and self.offsets == "auto" else self.offsets
        strengths = Strengths.named(kind, self.offset_alpha)
        ids, i, j, y = PairIds.from_triples(X, y)
        features = self._features()
        ids = features.named(ids)
        i, j = ids.codes(X)
        _check_feature_names(self, X, reset=True)
        cells, order = in_rows(i, j, y, (len(ids.row_ids), len(ids.column_ids)))
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, y, dtype=float, ensure_non_negative=True)
            cells, weights = weighted(cells, weights[order])
        self._keep_ids(ids)
        strengths, spreads = features.terms(ids, cells, strengths)
        self._keeps_pairs = True
        self._fit_cells(cells, weights, strengths)
        slopes = self.offsets_.row_slopes, self.offsets_.column_slopes
        self.row_coef_, self.column_coef_ = (b / spread for b, spread in zip(slopes, spreads, strict=True))
        self._spreads = spreads[1]
        self.__dict__.pop("spark_model_", None)
        return self

    def predict(self, X: Any, columns: Any = None, *, return_std: bool = False) -> Any:
        """Return the predicted values of pairs; an unknown id is predicted from the offsets.

        Parameters
        ----------
        X : array_like, shape (n, 2) or (n,)
            Pairs of ids, or ids of rows if ``columns`` is given. With ``engine="spark"`` also a Spark DataFrame whose
            columns of ids come first, or are named by ``columns``.
        columns : array_like, shape (n,), optional
            Ids of columns.
        return_std : bool
            Whether to return also the standard deviations of the errors, as `predict_interval` estimates them.

        Returns
        -------
        ndarray, shape (n,); with return_std two of them
            For a Spark DataFrame, the DataFrame with a further column "prediction".
        """
        check_is_fitted(self)
        if is_source(X):
            if not hasattr(self, "spark_model_") or isinstance(X, str):
                raise InputError(
                    f"X is a {type(X).__name__}, expected pairs of ids, or after engine='spark' a DataFrame"
                )
            return self.spark_model_.transform(X, columns)
        i, j = self._positions(X, columns)
        values = np.clip(self._at(i, j), *self._limits())
        return (values, self._deviations(i, j)) if return_std else values

    def predict_interval(
        self, X: Any, columns: Any = None, *, confidence_level: float = 0.9, kind: str = "observation"
    ) -> tuple[Array, Array]:
        """Return lower and upper ends of prediction intervals of the values of pairs, inside the limits of ``clip``.

        Held-out pairs calibrate the intervals; see `MatrixCompletion.predict_interval`. For an unknown id the variance
        of factors and offsets is added. This part is not calibrated, and such intervals are less reliable.

        Parameters
        ----------
        X, columns
            Pairs of ids, as in `predict`.
        confidence_level : float
            The share of values that the intervals should contain.
        kind : str
            "observation" is about a value, "mean" about the value without noise. "mean" needs known ids and a fit
            without the bias of a penalty: ``refit=True``, or "auto" if a refit was chosen.

        Returns
        -------
        low, high : ndarray, shape (n,)

        Raises
        ------
        ValueError
            If an argument cannot be used, if fewer than 20 pairs can be held out, if there are too few for this
            confidence level, or after ``engine="spark"``, which keeps no pairs.

        Examples
        --------
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> pairs = rng.permutation([(row, column) for row in range(40) for column in range(10)])
        >>> values = pairs.sum(axis=1) + rng.standard_normal(400)
        >>> model = PairRegressor(0.1).fit(pairs[:300], values[:300])
        >>> low, high = model.predict_interval(pairs[300:])
        >>> bool(0.8 < np.mean((low <= values[300:]) & (values[300:] <= high)) < 1)
        True
        """
        check_is_fitted(self)
        i, j = self._positions(X, columns)
        values, half = self._at(i, j), self._half_widths(i, j, confidence_level, kind)
        return np.clip(values - half, *self._limits()), np.clip(values + half, *self._limits())

    def recommend(self, row: Any, n: int = 10, exclude_seen: bool = True) -> tuple[Array, Array]:
        """Return the columns with the largest predictions for a row, best first.

        Parameters
        ----------
        row : id
            A row of the fit. For a new row, use the model that `fold_in` returns.
        n : int
            The largest number of columns.
        exclude_seen : bool
            Whether to leave out the columns whose pairs with this row were fitted.

        Returns
        -------
        ids, predictions : ndarray, shape (k,) with k ≤ n
            Ids of columns and the predicted values. The order is that of the values before ``clip``.
        """
        check_is_fitted(self)
        i, n = self._ids.row(row), whole_number(n, "n", 1)
        j = np.arange(len(self.column_ids_))
        if exclude_seen:
            if not self._keeps_pairs:
                raise InputError("exclude_seen is True, expected False after engine='spark', which keeps no pairs here")
            j = np.setdiff1d(j, self._cells.rows.of(i))
        values = self._at(np.full(len(j), i), j)
        best = np.argsort(-values, kind="stable")[:n]
        return self.column_ids_[j[best]], np.clip(values[best], *self._limits())

    def similar(self, column: Any, n: int = 10) -> tuple[Array, Array]:
        """Return the columns that are most similar to a column, most similar first.

        The similarity of two columns is the cosine of the angle between their factors, the rows of
        ``column_factors_``: 1 if the matrix predicts proportional values for all rows. Offsets do not count, so
        similarity is about taste, not popularity. A column whose factor is zero has the similarity 0.

        Parameters
        ----------
        column : id
            A column of the fit.
        n : int
            The largest number of columns.

        Returns
        -------
        ids, similarities : ndarray, shape (k,) with k ≤ n
        """
        check_is_fitted(self)
        j, n = self._ids.column(column), whole_number(n, "n", 1)
        sizes = np.linalg.norm(self.column_factors_, axis=1)
        if sizes[j] == 0:
            raise InputError(f"column {shown(column)} has a factor of zero, expected a column with similar ones")
        cosines = self.column_factors_ @ (self.column_factors_[j] / sizes[j]) / np.where(sizes > 0, sizes, 1.0)
        others = np.delete(np.arange(len(sizes)), j)
        best = others[np.argsort(-cosines[others], kind="stable")][:n]
        return self.column_ids_[best], np.clip(cosines[best], -1.0, 1.0)

    def fold_in(self, pairs: Any, values: Any) -> Self:
        """Return a model with further rows, whose factors follow from their values without another fit.

        The factors and offsets of columns are kept, and each new row is the ridge regression on them that the fit
        itself uses for its rows. The columns do not learn from the new values. The result is a new model, because
        scikit-learn's estimators change only in `fit`, and because predictions for other users of this model stay as
        they are while it grows. The new model shares the arrays of columns; ``solution_`` and ``certificate_`` remain
        those of the fit.

        Parameters
        ----------
        pairs : array_like, shape (m, 2)
            The ids of new rows and of columns of the fit.
        values : array_like, shape (m,)
            The values.

        Raises
        ------
        InputError
            If a row was fitted already, or a column was not.
        """
        check_is_fitted(self)
        new, i, j = self._ids.new_rows(pairs, self._cells.rows.counts if self._keeps_pairs else np.zeros(0))
        cells, _ = in_rows(i, j, values_of_pairs(values, i), (len(new.row_ids), len(self.column_ids_)))
        grown, d = copy(self), len(self.row_ids_)
        at = self._ids.row_codes(new.row_ids)
        kept = np.flatnonzero(np.isin(np.arange(d), at, invert=True))
        rows = np.concatenate([self.row_ids_[kept], new.row_ids])
        order = np.argsort(rows, kind="stable")
        grown._keep_ids(PairIds(rows[order], self.column_ids_))
        order = np.concatenate([kept, d + np.arange(len(at))])[order]
        like = np.concatenate([np.arange(d), at])[order]
        grown._keep_cells(self._cells.with_rows(self._cells.fitted(cells, at), order, like))
        return grown

    @property
    def interaction_coef_(self) -> Array:
        """The slopes of each row on the features of columns."""
        check_is_fitted(self)
        rows = self._cells.rows
        slopes = rows.factors[:, rows.model.rank :]
        return np.asarray(slopes / self._spreads) if slopes.size else slopes

    def _features(self) -> PairFeatures:
        return PairFeatures.from_parameters(
            self.row_features, self.column_features, self.feature_alpha, self.interactions
        )

    def _saved_parameters(self) -> dict[str, Any]:
        rows, columns = (side and side.mapping() for side in self._features().sides)
        return super()._saved_parameters() | {"row_features": rows, "column_features": columns}

    def _limits(self) -> tuple[float, float]:
        """Return the limits of predictions, or raise `InputError`."""
        if self.clip is None:
            return -np.inf, np.inf
        limits = tuple(map(real_number, self.clip)) if isinstance(self.clip, tuple | list | np.ndarray) else ()
        if len(limits) != 2 or not -np.inf < limits[0] < limits[1] < np.inf:
            raise InputError(f"clip is {shown(self.clip)}, expected two numbers, the smaller one first, or None")
        return limits

    def _positions(self, X: Any, columns: Any) -> tuple[Array, Array]:
        """Return the positions of pairs in the factors, −1 for ids that were not fitted."""
        if columns is None:
            _check_feature_names(self, X, reset=False)
            return self._ids.codes(X)
        rows, columns = np.atleast_1d(np.asarray(X)), np.atleast_1d(np.asarray(columns))
        if rows.ndim != 1 or rows.shape != columns.shape:
            raise InputError(f"rows have shape {rows.shape}, columns {columns.shape}, expected two equal lengths")
        pairs = np.empty((len(rows), 2), dtype=object)
        pairs[:, 0], pairs[:, 1] = rows, columns
        return self._ids.codes(pairs)

    def _fit_spark(self, X: Any, y: Any, sample_weight: Any) -> Self:
        self._check()
        found, ids = spark_fit(X, y, sample_weight, self.get_params(deep=False), self._seed(), self._watched)
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        self._keep_ids(ids)
        self.spark_model_, self.alpha_ = found, found.alpha
        (L, R), self.relaxation_ = found.factors, None
        sides = RowModel(R, found.alpha, 1.0), RowModel(L, found.alpha, 1.0)
        rows, self._keeps_pairs, self._factors = RowFit.without_cells(sides[0], L), False, found.factors
        self._found, self._refits, self._calibrations = None, False, {}
        self._keep_cells(CellPredictor(Offsets(0.0, np.zeros(len(L)), np.zeros(len(R))), rows, sides[1], rows))
        self._record(found.solution, found.factors)
        return self

    def _keep_ids(self, ids: PairIds) -> None:
        self.n_features_in_, self._ids = 2, ids
        self.row_ids_, self.column_ids_ = ids.row_ids, ids.column_ids

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        return tags
