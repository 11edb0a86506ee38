"""RatedPairs: predicted values of pairs with their intervals, and the best columns of each row."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from flatmin._core.arrays import Array
from flatmin._version import __version__
from flatmin.cli.answer_files import write_csv
from flatmin.cli.fitted_estimator import are_outside, fit_fields, intervals
from flatmin.cli.output import SUMMARY_VERSION
from flatmin.cli.rating.rating_model import RatingModel
from flatmin.cli.recovery_summary import plain
from flatmin.estimators._comparison import coverage
from flatmin.formats.tables import PairTable
from flatmin.report import HeldOutValues, RatedTable
from flatmin.report.words import counted

__all__ = ["RatedPairs"]

#: All pairs without a value are predicted if there are at most this number of them.
MOST_PAIRS = 100_000
#: The report shows the best columns of this number of rows.
SHOWN_ROWS = 8

#: A row, and its columns without a value with their predicted values, best first.
Ranking = tuple[str, Array, Array]


@dataclass(frozen=True, eq=False)
class RatedPairs:
    """Predicted values of h pairs, and rankings of columns.

    Attributes
    ----------
    model : RatingModel
        The model that predicts.
    table : PairTable or None
        The pairs with values that were read: those of the fit, or of the rows that a model was given in addition.
    asked : PairTable or None
        The pairs of ``--predict``.
    chosen : str
        Which pairs are predicted: "given" by ``--predict``, all "unrated" ones, or the "recommended" ones.
    pairs : ndarray of str, shape (h, 2)
        Their ids.
    value, low, high : ndarray, shape (h,)
        The predictions and the bounds of the intervals.
    rankings : list of Ranking
        The recommended columns for each row.
    confidence : float
        The share of values that lie inside their intervals.
    seconds : float
        The time that everything took.
    source : str or None
        The directory of results whose model was used, None if the model was fitted to the table.
    """

    model: RatingModel
    table: PairTable | None
    asked: PairTable | None
    chosen: str
    pairs: Array
    value: Array
    low: Array
    high: Array
    rankings: list[Ranking]
    confidence: float
    seconds: float = 0.0
    source: str | None = None

    @classmethod
    def predicted(
        cls, model: RatingModel, table: PairTable | None, asked: PairTable | None, most: int, confidence: float
    ) -> Self:
        """Predict the asked pairs, or those that `MOST_PAIRS` allows, and rank up to ``most`` columns for each row."""
        fit = model.estimator
        rows = list(map(str, fit.row_ids_)) if table is None else list(dict.fromkeys(table.pairs[:, 0].tolist()))
        n_columns = len(fit.column_ids_)
        everything = asked is None and len(rows) * n_columns <= MOST_PAIRS
        length = n_columns if everything else most
        found = [(row, *fit.recommend(row, length)) for row in rows] if length else []
        rankings = [(row, columns[:most], values[:most]) for row, columns, values in found if len(columns) and most]
        if asked is not None:
            chosen, pairs = "given", asked.pairs
        else:
            chosen = "unrated" if everything else "recommended"
            parts = [(row, np.sort(columns) if everything else columns) for row, columns, _ in found]
            listed = [(row, column) for row, columns in parts for column in columns]
            pairs = np.array(listed, dtype=str).reshape(-1, 2)
        if len(pairs):
            value = np.asarray(fit.predict(pairs))
            low, high = intervals(fit, pairs, confidence, value.shape)
        else:
            value = low = high = np.zeros(0)
        return cls(model, table, asked, chosen, pairs, value, low, high, rankings, confidence)

    def write(self, folder: Path) -> list[str]:
        """Write predictions and recommendations as CSV, and return the names of the files."""
        columns = (*self.pairs.T, self.value, self.low, self.high)
        predictions = zip(*(column.tolist() for column in columns), strict=True)
        write_csv(folder / "predictions.csv", ["row", "column", "value", "low", "high"], predictions)
        if not self.rankings:
            return ["predictions.csv"]
        write_csv(folder / "recommendations.csv", ["row", "rank", "column", "value"], self._ranked())
        return ["predictions.csv", "recommendations.csv"]

    def _ranked(self) -> Iterator[tuple[str, int, str, float]]:
        for row, columns, values in self.rankings:
            for k, (column, value) in enumerate(zip(columns.tolist(), values.tolist(), strict=True), start=1):
                yield row, k, column, value

    @cached_property
    def unknown(self) -> Array:
        """Whether a predicted pair has an unknown row or column, shape (h,)."""
        fit = self.model.estimator
        known = [np.isin(self.pairs[:, k], ids.astype(str)) for k, ids in enumerate((fit.row_ids_, fit.column_ids_))]
        return ~(known[0] & known[1])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The fields of ``summary.json``; a field that does not apply is None."""
        fit, table = self.model.estimator, self.table
        fields = {
            "command": "rate",
            "model": self.source,
            "names": self.model.names,
            "shape": (len(fit.row_ids_), len(fit.column_ids_)),
            "n_values": None if table is None else len(table.pairs),
            "n_repeated": None if table is None else table.n_repeated,
            "n_left_out": None if table is None else table.n_left_out,
            "values": self.model.facts,
            "predicted": self.chosen,
            "n_predicted": len(self.pairs),
            "n_unknown": int(self.unknown.sum()),
            "n_recommended": sum(len(columns) for _, columns, _ in self.rankings),
            "confidence": self.confidence,
            "clip": fit.clip,
            "held_out": self.model.held_out,
            "given": self._given(),
            **fit_fields(fit, self.model.converged),
            "seconds": self.seconds,
            "version": __version__,
            "format_version": SUMMARY_VERSION,
        }
        return {name: plain(value) for name, value in fields.items()}

    def _given(self) -> dict[str, Any] | None:
        """Return error and coverage on the pairs of ``--predict`` whose values are in the file; None without values."""
        if self.asked is None or self.asked.values is None:
            return None
        known = ~np.isnan(self.asked.values)
        if not known.any():
            return None
        values = self.asked.values[known]
        error = float(np.sqrt(np.mean((self.value[known] - values) ** 2)))
        inside = coverage(values, self.low[known], self.high[known])
        return {"pairs": int(known.sum()), "error": error, "coverage": inside}

    def reported(self, name: str, command: str) -> RatedTable:
        """Return what the report shows."""
        found, fit = self.model.comparison, self.model.estimator
        counts = Counter(() if self.table is None else self.table.pairs[:, 0].tolist())
        busiest = sorted(self.rankings, key=lambda ranking: -counts[ranking[0]])[:SHOWN_ROWS]
        held_out = None if found is None else HeldOutValues(found.counts, found.values, found.predictions)
        return RatedTable(self.summary, busiest, held_out, fit.certificate_, name, command, self.notes())

    def notes(self) -> list[str]:
        """Return sentences about the pairs that were read and predicted."""
        out = [note for table in (self.table, self.asked) if table is not None for note in table.notes]
        return [*out, *self._about_values(), *self._about_predictions()]

    def _about_values(self) -> Iterator[str]:
        table, asked = self.table, self.asked
        if table is not None and table.n_left_out:
            lines = counted(table.n_left_out, "line")
            yield f"{lines} without a row, a column or a value {_is(table.n_left_out)} left out"
        if table is not None and table.n_repeated:
            values = counted(table.n_repeated, "value")
            yield f"{values} {_is(table.n_repeated)} of a pair that stands in an earlier line; all values count"
        if asked is not None and asked.n_left_out:
            lines = counted(asked.n_left_out, "line")
            yield f"{lines} of --predict without a row or a column {_is(asked.n_left_out)} left out"

    def _about_predictions(self) -> Iterator[str]:
        if self.chosen == "recommended" and self.rankings:
            yield (
                f"more than {MOST_PAIRS} pairs have no value, so predictions.csv has the recommended ones; --predict "
                "takes a file with other pairs"
            )
        unknown = int(self.unknown.sum())
        if unknown:
            pairs = "1 pair has" if unknown == 1 else f"{unknown} pairs have"
            yield f"{pairs} an unknown row or column and {_is(unknown)} predicted without it, by the other one's offset"
        if len(self.pairs) and np.isnan(self.low).any():
            yield "predictions have no intervals, since too few pairs can be held out for this --confidence"
        low, high = (self.model.facts[side] for side in ("smallest", "largest"))
        outside = int(np.count_nonzero(are_outside(self.value, low, high)))
        if outside:
            values = "1 prediction lies" if outside == 1 else f"{outside} predictions lie"
            yield f"{values} outside the range of the values, {low:g} to {high:g}; --clip observed bounds them"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"
