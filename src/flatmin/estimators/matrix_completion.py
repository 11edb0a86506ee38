"""Matrix completion of tables with missing cells and of triples (row, column, value)."""

from dataclasses import field
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from flatmin.errors import InputError
from flatmin.estimators._completion.completer import Completer
from flatmin.estimators._completion.fitting import Completed, complete
from flatmin.estimators._completion.observations import Observations
from flatmin.estimators._declaration import estimator
from flatmin.estimators._spark import engine_of, is_source, spark_fit
from flatmin.solvers.offsets.offsets import Offsets

__all__ = ["MatrixCompletion"]


@estimator
class MatrixCompletion(Completer):
    """Fill the missing cells of a table, or predict values of pairs (row, column), by a low-rank matrix and offsets.

    The matrix minimises ``Σ (v_ij − X_ij)² + alpha (Σ n_i ‖l_i‖² + Σ n_j ‖r_j‖²)``, the loss plus the scaled trace,
    where n_i and n_j are the numbers of observations in row i and in column j. ALS-WR and Spark's ALS have the same
    objective; here it is minimised over factors of any width, with a certificate. Rank and strength need not be known.

    **Tables** (``input="table"``): a transformer like `SimpleImputer`. A cell is missing if it is NaN or
    ``missing_values``, or if a sparse matrix does not store it. Columns may have any units. New rows are completed like
    fitted ones.

    **Triples** (``input="triples"``): a regressor. X has two columns, the ids of a row and of a column (numbers,
    strings or dates), and y holds the values, such as ratings.

    Parameters
    ----------
    alpha : float or "auto"
        Strength of the penalty, called regParam in Spark; 0 fits exactly, "auto" starts from the strength that follows
        from the noise (see ``refit``). With ``scale`` the strength refers to columns of standard deviation 1.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``, and of the weights n_i^p and n_j^p above: 1 is flat, 0 the nuclear norm.
    refit : bool or "auto"
        Whether predictions come from a refit: the least-squares fit at the rank found. A refit is free of the penalty's
        bias, but not certified. "auto" with ``alpha="auto"`` holds out cells, fifth by fifth (above 5000 cells one
        fifth), and takes the candidate that predicts them best: the refit; the penalty that follows from the noise; a
        weaker penalty; a normal distribution of rows, for tables without ``sample_weight`` and ``max_rank``; or offsets
        alone. "auto" with a number for alpha does not refit.
    engine : str
        "auto" and "local" work in this process. "spark" uses Apache Spark for triples that exceed the memory of one
        machine, with a positive ``alpha`` and without offsets; `fit` then also takes a Spark DataFrame, or the path of
        a CSV or Parquet file. With Spark ``tol`` is at least 1e-6, ``max_iter`` counts Spark's iterations (up to 100)
        and the sweeps after them, and the certificate has no ``dual``.
    stop : str
        "gap" ends a solve when its relative duality gap is at most ``tol``. "objective" ends it when a sweep lowers the
        objective by a share of less than ``tol``, as other packages do; the certificate then states the gap.
        "objective" needs a positive ``alpha`` and no offsets.

    Attributes
    ----------
    alpha_ : float
        The strength of `solution_`, in the units of ``alpha``.
    relaxation_ : Relaxation or None
        The candidates of ``refit="auto"``, their errors on held-out cells, and the held-out predictions of the best.
    spark_model_ : SparkCompletion
        With ``engine="spark"``: the fit in Spark's form, to be saved as Parquet or to predict a DataFrame.

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

    >>> pairs = [("ann", 1), ("ann", 2), ("bob", 1), ("bob", 3), ("cid", 2), ("cid", 3)]
    >>> model = MatrixCompletion(input="triples", alpha=0.1).fit(pairs, [5, 3, 4, 2, 4, 3])
    >>> model.predict([("bob", 2), ("new", 1)]).round(1)
    array([3.3, 4.1])
    """

    alpha: Any = field(default="auto", kw_only=False)
    metric_power: float = 1.0
    refit: Any = "auto"
    engine: str = "auto"
    stop: str = "gap"

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit offsets and matrix to the observed cells, as `MatrixCompletionCV.fit` does.

        With ``engine="spark"`` X may also be a Spark DataFrame, or the path of a CSV file (with a header) or of
        Parquet: ids of rows, ids of columns, values. y then holds the names of these three columns, or is None if X has
        no further columns. Spark takes no weights, and raises `ImportError` if it is not installed.
        """
        if engine_of(self.engine) == "local":
            if is_source(X):
                kind = "a path" if isinstance(X, str) else f"a {type(X).__name__}"
                raise InputError(f"X is {kind}, expected arrays, or engine='spark', which reads DataFrames and paths")
            super().fit(X, y, sample_weight)
            self.__dict__.pop("spark_model_", None)
            return self
        self._check()
        found, ids = spark_fit(X, y, sample_weight, self.get_params(deep=False), self._seed(), self._watched)
        for name in ("mean_", "scale_", "feature_names_in_"):  # of an earlier fit to the other kind of input
            self.__dict__.pop(name, None)
        self.spark_model_, self._ids, self.n_features_in_ = found, ids, 2
        self.row_ids_, self.column_ids_ = ids.row_ids, ids.column_ids
        self.row_factors_, self.column_factors_ = self._factors = found.factors
        self.offsets_, self.relaxation_ = Offsets(0.0, *(np.zeros(len(F)) for F in found.factors)), None
        self.alpha_ = found.alpha
        self._record(found.solution, found.factors)
        return self

    def predict(self, X: Any, columns: Any = None) -> Any:
        """Return the predictions of cells, observed or not, as `MatrixCompletionCV.predict` does.

        With ``engine="spark"`` X may also be a Spark DataFrame whose columns of ids come first, or are named by
        ``columns``; a column "prediction" is added to it.
        """
        if not is_source(X):
            return super().predict(X, columns)
        check_is_fitted(self)
        if not hasattr(self, "spark_model_") or isinstance(X, str):
            raise InputError(f"X is a {type(X).__name__}, expected pairs of ids, or after engine='spark' a DataFrame")
        return self.spark_model_.transform(X, columns)

    def _completed(self, cells: Observations) -> Completed:
        self._check()
        with self._watched() as callback:
            return complete(cells, self.alpha, self.refit, self._settings(callback))
