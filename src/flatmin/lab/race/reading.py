"""What the page reads off a race: each quantity once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin.lab.race.figures import Band, Cloud, band
from flatmin.lab.race.result import RaceResult
from flatmin.proofs.conic import trace_is_determined

__all__ = ["LEVELS", "RaceReading"]

#: Flatness gaps that are called near, the first that somebody reaches.
LEVELS = (0.01, 0.1, 0.5)


@dataclass(frozen=True, eq=False)
class RaceReading:
    """A race, and what follows from it.

    Parameters
    ----------
    result : RaceResult
        The race.
    """

    result: RaceResult

    @property
    def flatness(self) -> str:
        """The column that says how flat a run is: its gap, or the trace where there is no flattest value."""
        return "scaled_trace" if self.result.flattest is None else "flatness_gap"

    @cached_property
    def determined(self) -> bool:
        """Whether the data determine the trace, so that the gap is 0 at every point of every run."""
        return self.result.flattest is not None and trace_is_determined(self.result.flattest.problem)

    @property
    def compared(self) -> str:
        """The column that the error is shown against."""
        return "loss" if self.determined else self.flatness

    @property
    def largest_loss(self) -> float:
        """The largest loss of a run that fits."""
        return float(self.result.protocol["fits"])

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Medians, one row a competitor, with ``fits``: those that fit first, the flattest of them before others."""
        rows = [{**row, "fits": _size(row["loss"]) <= self.largest_loss} for row in self.result.summary()]
        return sorted(rows, key=lambda row: (not row["fits"], _size(row[self.compared])))

    @cached_property
    def names(self) -> list[str]:
        """The competitors in that order."""
        return [row["competitor"] for row in self.rows]

    @cached_property
    def near(self) -> tuple[float, list[dict[str, Any]]]:
        """The first of `LEVELS` that competitors reach which fit, and their rows; infinity and none if nobody does."""
        fitting = [row for row in self.rows if row["fits"]]
        for level in LEVELS:
            reached = [row for row in fitting if _size(row["flatness_gap"]) <= level]
            if reached:
                return level, reached
        return math.inf, []

    @cached_property
    def has_errors(self) -> bool:
        """Whether errors are known."""
        return any(row["relative_error"] is not None for row in self.result.table)

    @property
    def diverged(self) -> list[dict[str, Any]]:
        """The rows of the runs that diverged."""
        return [row for row in self.result.table if row["diverged"]]

    def bands(self, quantity: str) -> dict[str, Band]:
        """Return the band of each competitor that has this quantity along its runs."""
        out = {}
        end = max((float(curve["gradients"][-1]) for curve in self.result.trajectories.values()), default=0.0)
        for name in self.names:
            curves = [c for (who, _), c in self.result.trajectories.items() if who == name and quantity in c]
            runs = [(curve["gradients"], curve[quantity]) for curve in curves if np.any(curve["gradients"] > 0)]
            if runs:
                out[name] = band(runs, end)
        return out

    def clouds(self) -> dict[str, Cloud]:
        """Return the ends of the runs that have an error and did not diverge, by competitor."""
        rows = [row for row in self.result.table if not row["diverged"] and row["relative_error"] is not None]
        return {
            name: Cloud(_column(rows, name, self.compared), _column(rows, name, "relative_error"))
            for name in self.names
        }


def _column(rows: Sequence[dict[str, Any]], name: str, column: str) -> Any:
    return np.array([row[column] for row in rows if row["competitor"] == name], dtype=float)


def _size(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else float(value)
