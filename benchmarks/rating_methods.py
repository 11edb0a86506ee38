"""Ratings, and methods that predict them, for the comparison in `benchmarks.ratings`.

A method has one strength. It maps the strength, training pairs, training values and held-out pairs to predictions, with
the rank of its matrix and, if it has a certificate, the relative gap.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, files
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import flatmin as fm
from flatmin._core.arrays import Array
from flatmin.estimators import PairRegressor
from flatmin.estimators._pairs.ids import PairIds
from flatmin.solvers.offsets.offset_model import OffsetModel

#: The relative gap of a solve; smaller gaps change errors by less than the fifth digit.
TOL = 1e-3
#: Columns of cmfrec's factors, at least the rank of every certified optimum of the study, and its sweeps: three steps
#: of conjugate gradients a row, with errors that change in the fourth digit beyond.
COLUMNS, SWEEPS = 130, 15

Predicted = tuple[Array, int, float | None]


@dataclass(frozen=True)
class Method:
    """A way to predict ratings.

    Attributes
    ----------
    name : str
    predict : callable
        ``(strength, X, y, held)`` to predictions, rank and gap (None without certificate).
    first : float or None
        The strength where the search for the best one begins; None where there is nothing to choose.
    """

    name: str
    predict: Callable[[float, Array, Array, Array], Predicted]
    first: float | None = None


def ratings() -> tuple[Array, Array]:
    """Return pairs (user, film) of MovieLens-100k and their ratings."""
    table = np.loadtxt(_located("inter"), skiprows=1, usecols=(0, 1, 2))
    return table[:, :2].astype(int), table[:, 2]


def features() -> tuple[Any, Any]:
    """Return features of people (age, its square, sex, occupation) and of films (year, its square, genres)."""
    import pandas as pd

    people, films = (
        pd.read_csv(_located(name), sep="\t").set_axis(names, axis=1).set_index("id")
        for name, names in (
            ("user", ["id", "age", "sex", "occupation", "place"]),
            ("item", ["id", "title", "year", "genres"]),
        )
    )
    year = pd.to_numeric(films["year"], errors="coerce")
    kinds = pd.get_dummies(people[["sex", "occupation"]])
    return (
        kinds.assign(age=people["age"], square=(people["age"] - people["age"].mean()) ** 2),
        films["genres"].fillna("").str.get_dummies(sep=" ").assign(year=year, square=(year - year.mean()) ** 2),
    )


def _located(kind: str) -> Any:
    """Return the path of a table of MovieLens-100k in an installed recbole."""
    try:
        found = [f for f in files("recbole") or [] if str(f).endswith(f"ml-100k/ml-100k.{kind}")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise SystemExit("the ratings are read from an installed recbole: pip install --no-deps recbole")
    return found[0].locate()


def joint(alpha: float, X: Array, y: Array, held: Array, *, power: float, offsets: str = "both") -> Predicted:
    """Use the estimator as it is: matrix and offsets fitted together."""
    model = PairRegressor(alpha, metric_power=power, offsets=offsets, tol=TOL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the gap is reported
        model.fit(X, y)
    return model.predict(held), model.rank_, model.certificate_.relative_gap


def offsets_alone(_: float, X: Array, y: Array, held: Array) -> Predicted:
    """Fit offsets with their estimated penalties, and no matrix."""
    ids, entries = _entries(X)
    return OffsetModel.estimated(entries, y).fit(y).at(*ids.codes(held)), 0, None


def offsets_first(alpha: float, X: Array, y: Array, held: Array, *, power: float) -> Predicted:
    """Fit offsets first, and then a matrix to their residuals."""
    ids, entries = _entries(X)
    offsets = OffsetModel.estimated(entries, y).fit(y)
    left, rank, gap = joint(alpha, X, y - offsets.at(entries.rows, entries.cols), held, power=power, offsets="none")
    return left + offsets.at(*ids.codes(held)), rank, gap


def cmfrec(strength: float, X: Array, y: Array, held: Array, *, scaled: bool, biased: bool) -> Predicted:
    """Alternate by cmfrec around the mean; ``scaled`` multiplies the penalty by numbers of ratings, as p = 1 does.

    Pairs with an unknown id get the mean and the bias of the other id.
    """
    from cmfrec import CMF
    from scipy.sparse import coo_matrix

    ids = PairIds.from_pairs(X)
    model = CMF(
        k=COLUMNS,
        lambda_=strength,
        scale_lam=scaled,
        user_bias=biased,
        item_bias=biased,
        niter=SWEEPS,
        finalize_chol=False,
        use_float=False,
        nthreads=1,
        verbose=False,
        precompute_for_predictions=False,
        random_state=0,
    )
    shape = len(ids.row_ids), len(ids.column_ids)
    model.fit(coo_matrix((y, ids.codes(X)), shape=shape))
    i, j = ids.codes(held)
    predicted, known = np.full(len(held), y.mean()), (i >= 0) & (j >= 0)
    if biased:
        predicted += np.where(i >= 0, model.user_bias_[i], 0) + np.where(j >= 0, model.item_bias_[j], 0)
    if known.any():
        predicted[known] = model.predict(i[known], j[known])
    return predicted, COLUMNS, None


def methods() -> list[Method]:
    """Return all methods, with the reference first."""
    return [
        Method("p = ½", partial(joint, power=0.5), 0.16),
        Method("p = 0", partial(joint, power=0.0), 0.2),
        Method("p = 1", partial(joint, power=1.0), 0.12),
        Method("p = ½, offsets first", partial(offsets_first, power=0.5), 0.16),
        Method("p = ½, no offsets", partial(joint, power=0.5, offsets="none"), 0.2),
        Method("p = 0, no offsets", partial(joint, power=0.0, offsets="none"), 0.3),
        Method("p = 1, no offsets", partial(joint, power=1.0, offsets="none"), 0.13),
        Method("p = ½, a constant only", partial(joint, power=0.5, offsets="constant"), 0.16),
        Method("offsets alone", offsets_alone),
        Method("cmfrec, biases, lambda times counts", partial(cmfrec, scaled=True, biased=True), 0.12),
        Method("cmfrec, biases", partial(cmfrec, scaled=False, biased=True), 13.0),
        Method("cmfrec, lambda times counts", partial(cmfrec, scaled=True, biased=False), 0.12),
        Method("cmfrec", partial(cmfrec, scaled=False, biased=False), 12.0),
    ]


def _entries(X: Array) -> tuple[PairIds, Any]:
    """Return the ids of pairs, and where the pairs stand in their matrix."""
    ids = PairIds.from_pairs(X)
    return ids, fm.measurements.Entries(*ids.codes(X), (len(ids.row_ids), len(ids.column_ids)))
