"""Ranking: the order of the competitors of a race; those that fit the data come first, the flattest at the top."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.race.page.trajectories import Band, band
from flatmin.lab.race.result import RaceResult
from flatmin.proofs.cone_certificate import trace_is_determined

__all__ = ["Ranking"]

#: Limits for flatness gaps "near the flattest value"; the page uses the smallest one that a competitor reaches.
NEAR_GAPS = (0.01, 0.1, 0.5)


@dataclass(frozen=True, eq=False)
class Ranking:
    """The competitors of a race in order, and the quantities that the page shows."""

    result: RaceResult

    @property
    def flatness(self) -> str:
        """The column that measures flatness: the gap, or the scaled trace if the flattest value is not known."""
        return "scaled_trace" if self.result.flattest is None else "flatness_gap"

    @cached_property
    def determined(self) -> bool:
        """Whether the data determine the scaled trace; then the gap is 0 at every point of every run."""
        return self.result.flattest is not None and trace_is_determined(self.result.flattest.problem)

    @property
    def compared(self) -> str:
        """The column on the horizontal axis of the picture of errors."""
        return "loss" if self.determined else self.flatness

    @property
    def fit_loss(self) -> float:
        """The largest loss of a run that fits the data."""
        return float(self.result.protocol["fits"])

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The row of medians of each competitor in order, with the additional field ``fits``."""
        rows = [{**row, "fits": _size(row["loss"]) <= self.fit_loss} for row in self.result.summary()]
        return sorted(rows, key=lambda row: (not row["fits"], _size(row[self.compared])))

    @cached_property
    def names(self) -> list[str]:
        """The competitors in order."""
        return [row["competitor"] for row in self.rows]

    @property
    def looks(self) -> dict[str, int]:
        """The index of colour and marker of each competitor: its place in the order."""
        return {name: place for place, name in enumerate(self.names)}

    @cached_property
    def near(self) -> tuple[float, list[dict[str, Any]]]:
        """The smallest limit that a fitting competitor reaches, and the rows of those below it; or infinity and []."""
        fitting = [row for row in self.rows if row["fits"]]
        for level in NEAR_GAPS:
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
        """Return the band of each competitor whose runs have a curve of this quantity."""
        bands = {}
        end = max((float(curve["gradients"][-1]) for curve in self.result.trajectories.values()), default=0.0)
        for name in self.names:
            curves = [c for (who, _), c in self.result.trajectories.items() if who == name and quantity in c]
            runs = [(curve["gradients"], curve[quantity]) for curve in curves if np.any(curve["gradients"] > 0)]
            if runs:
                bands[name] = band(runs, end)
        return bands

    def ends(self) -> dict[str, Array]:
        """Return for each competitor the numbers `compared` and error at the end of its runs, shape (n, 2)."""
        rows = [row for row in self.result.table if not row["diverged"] and row["relative_error"] is not None]
        pairs = {name: [row for row in rows if row["competitor"] == name] for name in self.names}
        return {
            name: np.array([[row[self.compared], row["relative_error"]] for row in own], dtype=float).reshape(-1, 2)
            for name, own in pairs.items()
        }


def _size(value: float | None) -> float:
    return math.inf if value is None or math.isnan(value) else float(value)
