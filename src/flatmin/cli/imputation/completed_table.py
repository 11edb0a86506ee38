"""Imputation: a table whose missing cells a model has filled, with an interval for each filled cell."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._version import __version__
from flatmin.cli.answer_files import write_csv
from flatmin.cli.fitted_estimator import are_outside, fit_fields
from flatmin.cli.imputation.imputation_model import FACTS, ImputationModel
from flatmin.cli.output import SUMMARY_VERSION
from flatmin.cli.recovery_summary import plain
from flatmin.formats.tables import Role, TypedTable
from flatmin.report import FilledTable
from flatmin.report.words import counted, listed, not_held_out

__all__ = ["Imputation"]

#: Measured coverage below the confidence is mentioned if it differs by this number of binomial standard errors ...
STANDARD_ERRORS = 3.0
#: ... and by at least this share.
SHORTFALL = 0.05


@dataclass(frozen=True, eq=False)
class Imputation:
    """A table of n rows with its d fitted columns completed.

    Attributes
    ----------
    table : TypedTable
        The table as it was read.
    model : ImputationModel
        The model that fills it.
    confidence : float
        The share of cells that lie inside their intervals.
    completed, low, high : ndarray, shape (n, d)
        The completed columns, and the bounds of the intervals.
    seconds : float
        The time that everything took.
    source : str or None
        The directory of results whose model was used, None if the model was fitted to this table.
    """

    table: TypedTable
    model: ImputationModel
    confidence: float
    completed: Array
    low: Array
    high: Array
    seconds: float
    source: str | None = None

    @cached_property
    def holes(self) -> Array:
        """Which cells of the fitted columns were missing, shape (n, d)."""
        return np.isnan(self.table.matrix)

    def cells(self) -> Iterator[tuple[int, str, float, float, float]]:
        """Yield row (from 0), column, value and bounds of the filled cells, row by row."""
        names = [column.name for column in self.table.fitted]
        for i, j in np.argwhere(self.holes):
            yield int(i), names[j], *(float(side[i, j]) for side in (self.completed, self.low, self.high))

    def write_intervals(self, path: Path) -> None:
        """Write the filled cells with their intervals as CSV."""
        write_csv(path, ["row", "column", "value", "low", "high"], self.cells())

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields of ``summary.json``; a field that does not apply is None."""
        fit = self.model.estimator
        fields = {
            "command": "impute",
            "model": self.source,
            "shape": (self.table.n_rows, len(self.table.columns)),
            "n_fitted_columns": len(self.table.fitted),
            "n_known": int((~self.holes).sum()),
            "n_filled": int(self.holes.sum()),
            "holes_left": self.table.holes_left,
            "confidence": self.confidence,
            "held_out": self.model.held_out,
            "columns": self._columns(),
            **fit_fields(fit, self.model.converged),
            "seconds": self.seconds,
            "version": __version__,
            "format_version": SUMMARY_VERSION,
        }
        return {name: plain(value) for name, value in fields.items()}

    def reported(self, name: str, command: str) -> FilledTable:
        """Return the table for its report."""
        facts = [self.model.columns[column.name] for column in self.table.fitted]
        mean, spread = (np.array([fact[name] for fact in facts]) for name in ("mean", "spread"))
        return FilledTable(
            values=self.completed,
            low=self.low,
            high=self.high,
            holes=self.holes,
            mean=mean,
            spread=spread,
            names=[column.name for column in self.table.fitted],
            labels=self.table.labels,
            summary=self.summary,
            certificate=self.model.estimator.certificate_,
            input_name=name,
            command=command,
            notes=self.notes(),
        )

    def _columns(self) -> list[dict[str, Any]]:
        out = []
        for column in self.table.columns:
            facts = self.model.columns[column.name] if column.role is Role.fitted else dict.fromkeys(FACTS)
            own = {"name": column.name, "role": column.role.value, "reason": column.reason or None}
            out.append(
                own | {"holes": column.n_holes, "filled": column.n_holes * (column.role is Role.fitted)} | dict(facts)
            )
        return out

    def notes(self) -> list[str]:
        """Return sentences about the filled cells, and about those that stay missing."""
        return [*self.table.notes, *self._about_rest(), *self._about_coverage(), *self._about_filled()]

    def _about_rest(self) -> Iterator[str]:
        left = {c.name: c.n_holes for c in self.table.columns if c.role is not Role.fitted and c.n_holes}
        if left:
            where = listed([f"{name!r} ({count})" for name, count in left.items()])
            stay = "stays" if self.table.holes_left == 1 else "stay"
            yield f"{counted(self.table.holes_left, 'missing cell')} {stay} in columns that are not filled: {where}"
        if not self.holes.any():
            yield "no cell is missing in the numeric columns, so the table is written unchanged"

    def _about_coverage(self) -> Iterator[str]:
        found = self.model.held_out
        if found is None or found["coverage"] is None or not self.holes.any():
            return
        level, share = found["confidence"], found["coverage"]
        if level - share > max(SHORTFALL, STANDARD_ERRORS * np.sqrt(level * (1 - level) / found["cells"])):
            yield (
                f"the intervals are too narrow for this table: they contain {100 * share:.3g} % of held-out cells, "
                f"expected {100 * level:.3g} %"
            )

    def _about_filled(self) -> Iterator[str]:
        if np.isnan(self.low[self.holes]).any():
            few = "too few known cells can be held out for this --confidence"
            yield f"filled cells have no intervals, since {not_held_out(1) if len(self.table.fitted) == 1 else few}"
        empty = int(np.count_nonzero(self.holes.all(axis=1)))
        if empty:
            rows = "1 row has no number and gets" if empty == 1 else f"{empty} rows have no number and get"
            yield f"{rows} the typical value of each column"
        facts = [self.model.columns[column.name] for column in self.table.fitted]
        fractions = self.holes & (np.mod(self.completed, 1) != 0)
        whole = [
            c.name
            for c, fact, j in zip(self.table.fitted, facts, fractions.T, strict=True)
            if fact["whole"] and j.any()
        ]
        if whole:
            yield f"known cells are whole numbers in {listed(list(map(repr, whole)))}; --round rounds the filled ones"
        low, high = (np.array([fact[side] for fact in facts]) for side in ("smallest", "largest"))
        outside = int(np.count_nonzero(self.holes & are_outside(self.completed, low, high)))
        if outside:
            cells = "1 filled cell lies" if outside == 1 else f"{outside} filled cells lie"
            yield f"{cells} outside the range of the column's known cells; --clip observed bounds them"
