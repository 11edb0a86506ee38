"""Completion of tables with missing cells, and of matrices given as triples (row, column, value)."""

from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from flatmin.errors import InputError
from flatmin.estimators._completion.completer import Completer
from flatmin.estimators._completion.fitting import Completed, complete
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._spark import engine_of, is_source, spark_fit
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["MatrixCompletion"]


class MatrixCompletion(Completer):
    """Fill the missing cells of a table, or predict values of pairs (row, column), by a low-rank matrix and offsets.

    The matrix minimises loss + alpha · scaled trace of its factors, ``Σ (v_ij − X_ij)² + alpha (Σ n_i ‖l_i‖² +
    Σ n_j ‖r_j‖²)`` with n the numbers of observations: the objective of ALS-WR and of Spark's ALS, minimised over
    factors of any width, with a certificate. Neither rank nor strength need be known.

    **Tables** (``input="table"``): a transformer like `SimpleImputer`. Missing cells are NaN (or ``missing_values``),
    or not stored in a sparse matrix. Columns may have any units. New rows are treated like fitted ones.

    **Triples** (``input="triples"``): a regressor whose X has two columns, the ids of a row and of a column (numbers,
    strings, dates), and whose y are values such as ratings.

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty, known as regParam in Spark; 0 fits exactly, "auto" begins with the strength that
        follows from the noise (see ``refit``). With ``scale`` it concerns columns of standard deviation 1.
    input : str
        "table" or "triples".
    metric_power : float
        p of ``‖D1^p X D2^p‖_*``, the weights n_i^p and n_j^p above: 1 is flat, 0 the nuclear norm.
    max_rank : int, optional
        The largest rank allowed.
    refit : bool or "auto"
        Whether to predict with the least-squares fit at the rank found, free of the penalty's bias and not certified.
        "auto" with ``alpha="auto"`` holds out a fifth of the cells and takes what predicts them best: the refit, the
        penalty of the noise or a weaker one, or offsets alone; with a number it is False.
    offsets : str
        "none", "constant", "rows", "columns", "both" (each of the last three with a constant), fitted together with the
        matrix. "auto" is "columns" for tables and "both" for triples.
    offset_alpha : float, pair of float or "auto"
        How strongly offsets of rows and of columns are pulled to zero (those of table columns to their mean), as a
        number of phantom observations there. "auto" is 0 for tables; for triples the ratio of the variances of noise
        and offsets, estimated by restricted maximum likelihood.
    scale : bool or "auto"
        Whether every column of a table is divided by its standard deviation inside. "auto" does for tables.
    missing_values : float, str, None or pandas.NA
        The mark of a missing cell, in addition to NaN and None.
    add_indicator : bool
        Whether `transform` appends an indicator column for every column that had missing cells in `fit`.
    keep_empty_features : bool
        Whether columns without any observed cell in `fit` are kept, filled with 0, or removed.
    engine : str
        Where the fit is computed. "auto" and "local": in this process. "spark": by Apache Spark, for triples that need
        not fit into the memory of one machine, with a positive ``alpha`` and without offsets; `fit` then also takes a
        DataFrame of Spark, or the path of a CSV or Parquet file. ``tol`` below 1e-6 counts as that, ``max_iter`` counts
        Spark's iterations (up to 100) and the sweeps after them, and the certificate has no ``dual``.
    stop : str
        "gap": a solve ends when ``tol`` bounds its relative duality gap. "objective", for a positive ``alpha`` and
        no offsets: when a sweep lowers the objective by less than ``tol``, relatively, as other packages do; the
        certificate states the gap that remains.
    tol, max_iter, random_state, verbose
        As for `TraceRegressor`.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shapes (n_rows, rank) and (n_columns, rank)
        L and R of the matrix ``L Rᵀ``, in the units of the fit; columns without observed cells are zero.
    offsets_ : Offsets
        Constant, offsets of rows and of columns, in the units of the fit.
    mean_, scale_ : ndarray, shape (n_features_in_,)
        Tables: column means and standard deviations of the observed cells, the origin and the unit of the fit.
    row_ids_, column_ids_ : ndarray
        Triples: the ids, in the order of the factors.
    alpha_ : float
        The strength of `solution_`, in the units of ``alpha``.
    relaxation_ : Relaxation or None
        The candidates of ``refit="auto"`` and their errors on held-out cells.
    spark_model_ : SparkCompletion
        With ``engine="spark"``: the fit in Spark, which can be written as Parquet and predicts a DataFrame.
    rank_, certificate_, flatness_, status_, n_iter_, noise_, solution_
        As for `TraceRegressor`; ``solution_``, ``noise_.alpha`` and ``noise_.sigma`` are in the units of the fit.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    Zhou, Wilkinson, Schreiber, Pan, "Large-scale parallel collaborative filtering for the Netflix Prize", AAIM 2008
    (ALS-WR). Salakhutdinov, Srebro, "Collaborative filtering in a non-uniform world", NIPS 2010 (the weighted norm).

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

    >>> pairs = [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 3), ("cid", 2), ("cid", 3)]
    >>> model = MatrixCompletion(input="triples", alpha=0.1).fit(pairs, [5, 3, 4, 2, 4, 3])
    >>> model.predict([("bob", 2), ("new", 1)]).round(1)
    array([3.3, 4.1])
    """

    def __init__(
        self,
        alpha: Any = "auto",
        *,
        input: str = "table",
        metric_power: float = 1.0,
        max_rank: int | None = None,
        refit: Any = "auto",
        offsets: str = "auto",
        offset_alpha: Any = "auto",
        scale: Any = "auto",
        missing_values: Any = np.nan,
        add_indicator: bool = False,
        keep_empty_features: bool = False,
        engine: str = "auto",
        stop: str = "gap",
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self._set_parameters(locals())

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit offsets and matrix to what is observed.

        Parameters
        ----------
        X : array_like or sparse, shape (n, d); with triples array_like, shape (m, 2)
            The table, or the ids of rows and columns. With ``engine="spark"`` also a Spark DataFrame, or the path of a
            CSV file (with a line of names) or of Parquet: ids of rows, ids of columns, values.
        y : array_like, shape (m,), with triples
            The values; ignored for tables. For a DataFrame or a path the names of the three columns, or None if there
            are no others.
        sample_weight : array_like, shape (n,) or (m,), optional
            How much the squared residuals of each row of X count; not with Spark. Where strengths are given as numbers
            a row of weight 2 is like two rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If X, y or a parameter cannot be used, or Java is missing; the sentence says why.
        ImportError
            If Spark is asked for and not installed.
        """
        if engine_of(self.engine) == "local":
            if is_source(X):
                kind = "a path" if isinstance(X, str) else f"a {type(X).__name__}"
                raise InputError(f"X is {kind}, expected arrays, or engine='spark', which reads such things")
            super().fit(X, y, sample_weight)
            self.__dict__.pop("spark_model_", None)
            return self
        self._check()
        found, ids = spark_fit(X, y, sample_weight, self.get_params(deep=False), self._seed(), self._watched)
        for name in ("mean_", "scale_", "feature_names_in_"):  # from a fit before, to the other kind of input
            self.__dict__.pop(name, None)
        self.spark_model_, self._ids, self.n_features_in_ = found, ids, 2
        self.row_ids_, self.column_ids_ = ids.row_ids, ids.column_ids
        self.row_factors_, self.column_factors_ = self._factors = found.factors
        self.offsets_, self.relaxation_ = Offsets(0.0, *(np.zeros(len(F)) for F in found.factors)), None
        self.alpha_ = found.alpha
        self._record(found.solution, found.factors)
        return self

    def predict(self, X: Any, columns: Any = None) -> Any:
        """Return what the model says of cells, observed or not.

        Parameters
        ----------
        X : array_like, shape (n, 2) or (n,)
            Triples: pairs of ids, or the ids of rows beside ``columns``. An id that was not fitted is predicted from
            the offsets. Tables: positions of rows of the training table beside ``columns``; without these a table, of
            which all cells are returned. With ``engine="spark"`` also a Spark DataFrame with two columns of ids first.
        columns : array_like, shape (n,), optional
            Triples: the ids of columns. Tables: positions or names of columns. For a DataFrame the names of its two
            columns of ids.

        Returns
        -------
        ndarray, shape (n,), or for a table its shape; DataFrame
            Of a DataFrame the same with a column "prediction" more.
        """
        if not is_source(X):
            return super().predict(X, columns)
        check_is_fitted(self)
        if not hasattr(self, "spark_model_") or isinstance(X, str):
            raise InputError(f"X is a {type(X).__name__}, expected pairs of ids, or after engine='spark' a DataFrame")
        return self.spark_model_.transform(X, columns)

    def _completed(self, cells: Observations) -> Completed:
        """Return what is fitted to cells."""
        self._check()
        with self._watched() as callback:
            return complete(cells, self.alpha, self.refit, self._settings(callback))
