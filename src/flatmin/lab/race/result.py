"""What a race returns: one row a run, whole trajectories, and what they say together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.race.correlation import Correlation

__all__ = ["COLUMNS", "CURVES", "Description", "RaceResult"]

#: The fields of a row of the table, in order.
COLUMNS = (
    "competitor",
    "seed",
    "diverged",
    "loss",
    "scaled_trace",
    "flatness_gap",
    "relative_error",
    "rank",
    "balance",
    "gradients",
    "seconds",
    "step_size",
    "strength",
)
#: The arrays of a trajectory: the first counts gradients, the others are what the referee saw there.
CURVES = ("gradients", "loss", "scaled_trace", "flatness_gap", "relative_error")


@dataclass(frozen=True)
class Description:
    """What a competitor says of itself.

    Attributes
    ----------
    name : str
        Its name in the table, for instance "label-noise".
    title : str
        What it is, in a few words.
    claims : str
        What it is said to minimise.
    source : str
        Who says so.
    """

    name: str
    title: str
    claims: str
    source: str


@dataclass(frozen=True, eq=False)
class RaceResult:
    """The outcome of a race.

    Attributes
    ----------
    table : list of dict
        One row a run with the fields `COLUMNS`. What does not apply is None; what grew beyond every bound in a diverged
        run is infinite, never NaN. ``flatness_gap`` is certified, never negative; ``relative_error`` is up to the
        symmetry of the model, or, for networks, the error on the test set; ``rank`` counts singular values above one
        per cent of the largest; ``gradients`` counts what was spent; ``seconds`` is training alone.
    trajectories : dict of (str, int) to dict of str to ndarray
        For each (competitor, seed) the arrays `CURVES` of one length. Gap and error are missing keys where the row has
        None. The points are common to all runs; a diverged run stops early.
    flattest : flatmin.Flattest or None
        The certified flattest value of the problem, which the gaps refer to; None for networks.
    correlation : Correlation or None
        The rank correlation between flatness gap (networks: trace) and error over the runs that did not diverge; None
        where too few runs have both.
    protocol : dict
        How the race was run: budget, seeds, tuning, rules, in numbers and words.
    tuning : list of dict
        One row a trial: ``competitor, step_size, strength, diverged, loss, relative_error, gradients, seconds,
        chosen``.
    competitors : dict of str to Description
        Who ran, in order.
    left_out : dict of str to str
        Who could not run on this task, and why.
    """

    table: list[dict[str, Any]]
    trajectories: Mapping[tuple[str, int], Mapping[str, Array]]
    flattest: Any
    correlation: Correlation | None
    protocol: Mapping[str, Any]
    tuning: list[dict[str, Any]]
    competitors: Mapping[str, Description]
    left_out: Mapping[str, str] = field(default_factory=dict)

    def summary(self) -> list[dict[str, Any]]:
        """Return one row a competitor, the flattest first: medians over its seeds, and how many runs diverged.

        The fields are those of `COLUMNS`; ``seed`` gives way to ``runs``, and ``diverged`` is a count. A diverged run
        counts as infinite.
        """
        rows = [self._median(name) for name in self.competitors]
        key = "scaled_trace" if self.flattest is None else "flatness_gap"
        return sorted(rows, key=lambda row: math.inf if row[key] is None else row[key])

    def as_dict(self) -> dict[str, Any]:
        """Return everything but the trajectories as JSON knows it; what is not finite becomes None."""
        fields = {
            "table": self.table,
            "summary": self.summary(),
            "flattest": None if self.flattest is None else float(self.flattest.value),
            "correlation": None if self.correlation is None else asdict(self.correlation),
            "protocol": self.protocol,
            "tuning": self.tuning,
            "competitors": {name: asdict(who) for name, who in self.competitors.items()},
            "left_out": self.left_out,
        }
        return {name: _plain(value) for name, value in fields.items()}

    def _median(self, name: str) -> dict[str, Any]:
        rows = [row for row in self.table if row["competitor"] == name]
        out: dict[str, Any] = {"competitor": name, "runs": len(rows), "diverged": sum(row["diverged"] for row in rows)}
        for column in COLUMNS[3:]:
            values = [row[column] for row in rows if row[column] is not None]
            out[column] = median(values) if values else None
        return out


def _plain(value: Any) -> Any:
    """Return nested containers as JSON takes them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
