"""ImputationModel: an estimator fitted to the numeric columns of a table, with what was learned about each column."""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from flatmin._core.arrays import Array
from flatmin.cli.output import IMPUTATION
from flatmin.errors import InputError
from flatmin.estimators import MatrixCompletion
from flatmin.estimators._comparison import compare
from flatmin.formats.tables import Role, TableColumn, TypedTable

__all__ = ["FACTS", "ImputationModel"]

#: The file of the estimator in a directory of results.
MODEL = "model.npz"


#: What is known of a fitted column, in addition to its name.
FACTS = (
    "whole",
    "smallest",
    "largest",
    "mean",
    "spread",
    "held_out",
    "error",
    "error_means",
    "error_neighbours",
    "coverage",
)
#: What is known of the errors over all columns.
OVERALL = (
    "cells",
    "error",
    "error_means",
    "error_neighbours",
    "coverage",
    "means_are_as_good",
    "neighbours_are_better",
    "confidence",
)


@dataclass(frozen=True, eq=False)
class ImputationModel:
    """A fitted estimator, the columns that it was fitted to, and its errors on held-out cells.

    Attributes
    ----------
    estimator : MatrixCompletion
        The fitted estimator.
    columns : dict
        For each column by name, in the order of the fit, the facts about it: whether its numbers are "whole", the
        "smallest" and the "largest" of them, their "mean", their standard deviation ("spread"), and the errors on
        held-out cells in its own units.
    held_out : dict or None
        The errors over all columns, None if too few cells could be held out.
    converged : bool
        Whether the fit reached its tolerance.
    """

    estimator: MatrixCompletion
    columns: Mapping[str, Mapping[str, Any]]
    held_out: Mapping[str, Any] | None
    converged: bool

    @classmethod
    def fit(
        cls, table: TypedTable, confidence: float, settings: Mapping[str, Any], watch: Callable[[int, int], None]
    ) -> Self:
        """Fit the numeric columns of a table, and compare with simpler methods on held-out cells."""

        def predicted(X: Array) -> tuple[Array, Array, Array]:
            estimator, _ = _fitted(X, settings)
            return estimator.predict(X), *_interval(estimator, X, confidence)

        found = compare(table.matrix, predicted, settings["random_state"], watch)
        estimator, converged = _fitted(table.matrix, settings)
        errors = [found.of_column(j) if found else {} for j in range(len(table.fitted))]
        columns = {column.name: _facts(column, error) for column, error in zip(table.fitted, errors, strict=True)}
        return cls(
            estimator, columns, None if found is None else {**found.overall(), "confidence": confidence}, converged
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the model in a directory of results, or raise `InputError`."""
        try:
            summary = json.loads((directory / "summary.json").read_text(encoding="utf-8"))
            if not IMPUTATION.fields <= summary.keys():
                raise KeyError
            fitted = [column for column in summary["columns"] if column["role"] == Role.fitted.value]
            columns = {column["name"]: {fact: column[fact] for fact in FACTS} for column in fitted}
            held_out, converged = summary["held_out"], bool(summary["converged"])
            if held_out is not None:
                held_out = {name: held_out[name] for name in OVERALL}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"the --model {directory} holds no results of flatmin impute") from error
        if not (directory / MODEL).is_file():
            raise InputError(f"the --model {directory} has no {MODEL}; it was filled by another model, pass that one")
        return cls(MatrixCompletion.load(directory / MODEL), columns, held_out, converged)

    def save(self, directory: Path) -> str:
        """Write the estimator to a directory of results, and return the name of its file."""
        self.estimator.save(directory / MODEL)
        return MODEL

    def complete(self, table: TypedTable, confidence: float) -> tuple[Array, Array, Array]:
        """Return the completed columns (n, d) of a table, and the bounds of the intervals of all cells."""
        names = [column.name for column in table.fitted]
        order = [names.index(name) for name in self.columns]
        X = table.matrix[:, order]
        back = np.argsort(order)
        found = self.estimator.transform(X), *_interval(self.estimator, X, confidence)
        completed, low, high = (np.asarray(part)[:, back] for part in found)
        return completed, low, high


def _fitted(X: Array, settings: Mapping[str, Any]) -> tuple[MatrixCompletion, bool]:
    """Return the estimator fitted to a table, and whether it converged."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ConvergenceWarning)
        estimator = MatrixCompletion(**settings).fit(X)
    return estimator, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _interval(estimator: MatrixCompletion, X: Array, confidence: float) -> tuple[Array, Array]:
    """Return the bounds of the intervals of all cells, NaN if too few cells can be held out to calibrate them."""
    try:
        low, high = estimator.predict_interval(X, confidence_level=confidence)
    except InputError:
        return np.full(X.shape, np.nan), np.full(X.shape, np.nan)
    return np.asarray(low), np.asarray(high)


def _facts(column: TableColumn, errors: Mapping[str, Any]) -> dict[str, Any]:
    smallest, largest = column.bounds
    known = {"whole": column.is_whole, "smallest": smallest, "largest": largest}
    known |= {"mean": float(np.nanmean(column.values)), "spread": float(np.nanstd(column.values))}
    return {**dict.fromkeys(FACTS), **known, **errors}
