"""Side information: features of rows and columns by id, such as the genres of films."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.validation import nonnegative, numeric, shown
from flatmin.errors import InputError
from flatmin.estimators._completion.observations import Strengths
from flatmin.estimators._pairs.ids import PairIds, id_array, positions_of
from flatmin.solvers.offsets.features import LinearTerms
from flatmin.solvers.offsets.row_slopes import MOST_SLOPE_ENTRIES, SlopeTerm

__all__ = ["PairFeatures", "SideInformation"]


@dataclass(frozen=True, eq=False)
class SideInformation:
    """Features (n, p) of n ids. NaN is a missing feature, which counts as the mean of the feature.

    Examples
    --------
    >>> side = SideInformation.from_parameter({"b": [1, 0], "a": [3, 0]}, "row_features")
    >>> side.ids, side.standardised(np.array(["a", "b", "c"]), np.array([True, True, True]))[0]
    (array(['a', 'b'], dtype='<U1'), array([[ 1.,  0.],
           [-1.,  0.],
           [ 0.,  0.]]))
    """

    ids: Array
    values: Array

    @classmethod
    def from_parameter(cls, given: Any, name: str) -> Self | None:
        """Read a mapping from ids to features, a pandas frame with ids as index, or a polars frame with ids first."""
        if given is None:
            return None
        if isinstance(given, Mapping):
            ids, values = list(given), _numbers(list(given.values()), name)
        elif hasattr(given, "iloc") and getattr(given, "ndim", 0) == 2:
            ids, columns = given.index, {label: given[label] for label in given.columns}
            values = _stacked(columns, name)
        elif hasattr(given, "get_column") and len(given.columns) > 1:
            first, *others = given.columns
            ids, values = given[first], _stacked({label: given[label] for label in others}, name)
        else:
            raise InputError(
                f"{name} is a {type(given).__name__}, expected a mapping from ids to features, or a data frame with "
                "ids as index (polars: in the first column)"
            )
        if values.ndim != 2 or not values.size or np.isinf(values).any():
            raise InputError(f"{name} has features of shape {values.shape}, expected finite numbers (ids, features)")
        known = id_array(ids, f"the ids of {name}")
        order = np.argsort(known, kind="stable")
        if np.any(known[order][1:] == known[order][:-1]):
            twice = known[order][1:][known[order][1:] == known[order][:-1]]
            raise InputError(f"{name} has the id {shown(twice[:1].tolist()[0])} twice, expected each id once")
        return cls(known[order], values[order])

    def standardised(self, ids: Array, fitted: Array) -> tuple[Array, Array]:
        """Return features (d, p) of ids (d,), and their standard deviations (p,).

        Mean and standard deviation of each feature are those of the ``fitted`` ids (d,) that have it. Ids without
        features get the mean, 0, and so does a feature that is constant.
        """
        at = positions_of(self.ids, ids, "the ids of features")
        values = np.where(at[:, None] >= 0, self.values[at], np.nan)
        seen = np.isfinite(values) & fitted[:, None]
        counts = np.maximum(seen.sum(axis=0), 1)
        means = np.sum(values, axis=0, where=seen) / counts
        left = np.where(np.isfinite(values), values - means, 0.0)
        spread = np.sqrt(np.sum(left**2, axis=0, where=seen) / counts)
        spread = np.where(spread > 0, spread, np.inf)
        return left / spread, spread

    def mapping(self) -> dict[Any, list[float]]:
        """Return the features as a mapping from ids."""
        return dict(zip(self.ids.tolist(), self.values.tolist(), strict=True))


@dataclass(frozen=True, eq=False)
class PairFeatures:
    """Features of the rows and of the columns, or None, the ridge penalties, and the parameter ``interactions``.

    The penalties are those on the slopes of features of rows, of features of columns, and of each row.
    """

    sides: tuple[SideInformation | None, SideInformation | None]
    ridges: tuple[Any, Any, Any]
    interactions: Any = "auto"

    @classmethod
    def from_parameters(cls, row_features: Any, column_features: Any, feature_alpha: Any, interactions: Any) -> Self:
        """Read the parameters of `PairRegressor`."""
        sides = (
            SideInformation.from_parameter(row_features, "row_features"),
            SideInformation.from_parameter(column_features, "column_features"),
        )
        ridges = list(feature_alpha) if isinstance(feature_alpha, list | tuple) else 3 * [feature_alpha]
        if len(ridges) not in (2, 3):
            raise InputError(
                f"feature_alpha is {shown(feature_alpha)}, expected one number, two or three of them, or 'auto'"
            )
        first, second, third = (
            ridge if isinstance(ridge, str) and ridge == "auto" else nonnegative(ridge, "feature_alpha")
            for ridge in [*ridges, "auto"][:3]
        )
        if not isinstance(interactions, bool | np.bool_) and not (
            isinstance(interactions, str) and interactions == "auto"
        ):
            raise InputError(f"interactions is {shown(interactions)}, expected True, False or 'auto'")
        return cls(sides, (first, second, third), interactions)

    def named(self, ids: PairIds) -> PairIds:
        """Return the ids of pairs, and those that only features name."""
        rows, columns = (
            known if side is None else np.union1d(known, side.ids)
            for known, side in zip((ids.row_ids, ids.column_ids), self.sides, strict=True)
        )
        return PairIds(rows, columns)

    def terms(self, ids: PairIds, cells: Any, strengths: Strengths) -> tuple[Strengths, list[Array]]:
        """Return the strengths with the terms of standardised features, and the features' standard deviations.

        The features are standardised over the ids that have observed cells in a sparse CSR array.
        """
        fitted = np.diff(cells.indptr) > 0, np.bincount(cells.indices, minlength=len(ids.column_ids)) > 0
        terms: list[LinearTerms | None] = [None, None]
        spreads = [np.ones(0), np.ones(0)]
        for k, (kind, known) in enumerate((("row", ids.row_ids), ("column", ids.column_ids))):
            side = self.sides[k]
            if side is None:
                continue
            if getattr(strengths, f"{kind}s") in (None, 0):
                raise InputError(f"{kind}_features was given, expected penalised offsets of {kind}s: offsets='both'")
            features, spreads[k] = side.standardised(known, fitted[k])
            terms[k] = LinearTerms(features, self.ridges[k])
        strengths = replace(strengths, row_terms=terms[0], column_terms=terms[1])
        if self._has_slopes(len(ids.row_ids)):
            assert terms[1] is not None
            strengths = replace(strengths, slopes=SlopeTerm(terms[1].features, self.ridges[2]))
        return strengths, spreads

    def _has_slopes(self, n_rows: int) -> bool:
        """Return whether rows have slopes of their own, or raise `InputError`."""
        n_features = 0 if self.sides[1] is None else self.sides[1].values.shape[1]
        size = n_rows * n_features**2
        if isinstance(self.interactions, str):
            return 0 < size <= MOST_SLOPE_ENTRIES
        if self.interactions and not size:
            raise InputError("interactions is True, expected column_features, or False")
        if self.interactions and size > MOST_SLOPE_ENTRIES:
            raise InputError(
                f"{n_features} features of columns for {n_rows} rows need {size} numbers, expected at most "
                f"{MOST_SLOPE_ENTRIES}; leave features out, or set interactions=False"
            )
        return bool(self.interactions)


def _numbers(rows: Any, name: str) -> Array:
    """Return features as an array of numbers in which NaN is allowed, or raise `InputError`."""
    try:
        values = np.array(rows, dtype=float)
    except (TypeError, ValueError):
        values = np.zeros(0)
    if values.ndim != 2:
        raise InputError(f"{name} has unequal or non-numeric rows, expected equally many numbers for every id")
    return values


def _stacked(columns: Mapping[Any, Any], name: str) -> Array:
    """Return the columns of a frame as an array of numbers, or raise `InputError` that names the column."""
    found = []
    for label, column in columns.items():
        try:
            values = np.asarray(column)  # pandas below 3 turns whole numbers with gaps into floats only by itself
            found.append(np.asarray(values if values.dtype.kind == "f" else column, dtype=float))
        except (TypeError, ValueError):
            raise InputError(
                f"column {shown(label)} of {name} is not numeric, expected numbers; make text a column for every value"
            ) from None
    return np.stack(found, axis=1) if found else numeric(np.zeros((0, 0)), name)
