"""ImputationModel: an estimator fitted to the numeric columns of a table, with what was learned about each column."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin.cli.fitted_estimator import MODEL, RANGE, earlier_results, fitted, intervals, numbers_of
from flatmin.cli.output import IMPUTATION
from flatmin.errors import InputError
from flatmin.estimators import MatrixCompletion
from flatmin.estimators._comparison import compare
from flatmin.formats.tables import Role, TableColumn, TypedTable

__all__ = ["FACTS", "ImputationModel"]

#: What is known of a fitted column, in addition to its name.
FACTS = (*RANGE, "held_out", "error", "error_means", "error_neighbours", "coverage")
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
            estimator, _ = fitted(MatrixCompletion(**settings), X)
            return estimator.predict(X), *intervals(estimator, X, confidence, X.shape)

        found = compare(table.matrix, predicted, settings["random_state"], watch)
        estimator, converged = fitted(MatrixCompletion(**settings), table.matrix)
        errors = [found.of_column(j) if found else {} for j in range(len(table.fitted))]
        columns = {column.name: _facts(column, error) for column, error in zip(table.fitted, errors, strict=True)}
        return cls(
            estimator, columns, None if found is None else {**found.overall(), "confidence": confidence}, converged
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the model in a directory of results, or raise `InputError`."""
        columns, held_out, converged = earlier_results(directory, IMPUTATION, _known)
        estimator = MatrixCompletion.load(directory / MODEL)
        if len(columns) != estimator.n_features_in_:
            raise InputError(
                f"the --model {directory} has {len(columns)} columns in its summary and {estimator.n_features_in_} in "
                "its model, expected the same ones; make it again"
            )
        return cls(estimator, columns, held_out, converged)

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
        found = self.estimator.transform(X), *intervals(self.estimator, X, confidence, X.shape)
        completed, low, high = (np.asarray(part)[:, back] for part in found)
        return completed, low, high


def _known(summary: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None, bool]:
    """Return the facts about columns, the errors and whether the fit converged, from the summary of a result."""
    fitted = [column for column in summary["columns"] if column["role"] == Role.fitted.value]
    columns = {column["name"]: numbers_of(column, FACTS) for column in fitted}
    held_out = summary["held_out"]
    return columns, held_out and numbers_of(held_out, OVERALL), bool(summary["converged"])


def _facts(column: TableColumn, errors: Mapping[str, Any]) -> dict[str, Any]:
    smallest, largest = column.bounds
    known = {"whole": column.is_whole, "smallest": smallest, "largest": largest}
    known |= {"mean": float(np.nanmean(column.values)), "spread": float(np.nanstd(column.values))}
    return {**dict.fromkeys(FACTS), **known, **errors}
