"""Completion of tables with holes, and of matrices known by triples (row, column, value)."""

from __future__ import annotations

from typing import Any

import numpy as np

from flatmin.estimators._completer import Completer
from flatmin.estimators._completion import Completed, complete
from flatmin.estimators._observations import Observations

__all__ = ["MatrixCompletion"]


class MatrixCompletion(Completer):
    """Fill the holes of a table, or predict values of pairs (row, column), by a matrix of low rank and offsets.

    The matrix minimises loss + alpha · scaled trace of its factors, ``Σ (v_ij − X_ij)² + alpha (Σ n_i ‖l_i‖² +
    Σ n_j ‖r_j‖²)`` with n the numbers of observations: the objective of ALS-WR and of Spark's ALS, minimised over
    factors of any width, with a certificate. Neither rank nor strength is to be known.

    **Tables** (``input="table"``): a transformer like `SimpleImputer`. Holes are NaN (or ``missing_values``), or what a
    sparse matrix does not store. Columns may have any units. Rows that were not fitted are treated as those that were.

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
        What stands for a hole, beside NaN and None, which always do.
    add_indicator : bool
        Whether `transform` appends a column of zeros and ones for every column that had holes in `fit`.
    keep_empty_features : bool
        Whether columns without any observed cell in `fit` are kept, filled with 0, or left out.
    tol, max_iter, random_state, verbose
        As for `TraceRegressor`.

    Attributes
    ----------
    row_factors_, column_factors_ : ndarray, shapes (n_rows, rank) and (n_columns, rank)
        L and R of the matrix ``L Rᵀ``, in the units of the fit; columns that were left out of the fit are zero.
    offsets_ : Offsets
        Constant, offsets of rows and of columns, in the units of the fit.
    mean_, scale_ : ndarray, shape (n_features_in_,)
        Tables: column means and standard deviations of the observed cells, the origin and the unit of the fit.
    row_ids_, column_ids_ : ndarray
        Triples: the ids, in the order of the factors.
    alpha_ : float
        The strength of `solution_`, as that of ``alpha``.
    relaxation_ : Relaxation or None
        What ``refit="auto"`` tried, and errors on held-out cells.
    rank_, certificate_, flatness_, status_, n_iter_, noise_, solution_
        As for `TraceRegressor`; ``solution_``, ``noise_.alpha`` and ``noise_.sigma`` are in the units of the fit.
    n_features_in_, feature_names_in_
        As everywhere in scikit-learn.

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
        tol: float = 1e-8,
        max_iter: int | None = None,
        random_state: Any = 0,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.input = input
        self.metric_power = metric_power
        self.max_rank = max_rank
        self.refit = refit
        self.offsets = offsets
        self.offset_alpha = offset_alpha
        self.scale = scale
        self.missing_values = missing_values
        self.add_indicator = add_indicator
        self.keep_empty_features = keep_empty_features
        self.tol = tol
        self.max_iter = max_iter
        self.random_state = random_state
        self.verbose = verbose

    def _completed(self, cells: Observations) -> Completed:
        """Return what is fitted to cells."""
        self._check()
        with self._watched() as callback:
            return complete(cells, self.alpha, self.refit, self._settings(callback))
