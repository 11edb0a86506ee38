"""RaceResult: the table of all runs, their trajectories, and the correlation of flatness and error."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.race.correlation import Correlation

__all__ = ["COLUMNS", "CURVES", "Description", "RaceResult"]

#: The quantities that the referee observes along a run.
OBSERVED = ("loss", "scaled_trace", "flatness_gap", "relative_error")
#: The last fields of a row: the structure of the trained model, the cost and the settings of the run.
LAST = ("rank", "balance", "gradients", "seconds", "step_size", "strength")
#: The fields of a row of the table, in order.
COLUMNS = ("competitor", "seed", "diverged", *OBSERVED, *LAST)
#: The arrays of a trajectory: gradient counts, and the observed quantities at these counts.
CURVES = ("gradients", *OBSERVED)


@dataclass(frozen=True)
class Description:
    """The texts that describe a competitor.

    ``name`` identifies the competitor, for instance "label-noise", and ``title`` is the method in a few words.
    ``claims`` is the quantity that the method minimises according to the publication ``source``.
    """

    name: str
    title: str
    claims: str
    source: str


@dataclass(frozen=True, eq=False)
class RaceResult:
    """The outcome of a race."""

    #: One row for each run with the fields `COLUMNS`, None for those that do not apply. Numbers that overflowed in a
    #: diverged run are infinite, never NaN. ``flatness_gap`` is certified and never negative. ``relative_error`` is up
    #: to the symmetry of the model; for networks it is the error on the test set. ``rank`` counts singular values above
    #: 1 % of the largest one. ``gradients`` is the number spent. ``seconds`` is the time of training alone.
    table: list[dict[str, Any]]
    #: For each (competitor, seed) the arrays `CURVES` of one length, without gap and error if the row has None. The
    #: gradient counts are common to all runs. A diverged run stops early.
    trajectories: Mapping[tuple[str, int], Mapping[str, Array]]
    #: The certified flattest value of the problem (`flatmin.Flattest`), to which the gaps refer. None for networks.
    flattest: Any
    #: The rank correlation between flatness gap (for networks, the trace) and error over the runs that fit the data.
    #: None if too few runs have both.
    correlation: Correlation | None
    #: Budget, seeds, tuning and rules, in numbers and words.
    protocol: Mapping[str, Any]
    #: One row for each trial: ``competitor, step_size, strength, diverged, loss, relative_error, gradients, seconds,
    #: score, chosen``.
    tuning: list[dict[str, Any]]
    #: The competitors that ran, in order.
    competitors: Mapping[str, Description]
    #: The competitors that could not run on this task, with the reason.
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: The error of the certified flattest solution, in the units of ``relative_error``. None if it is not known.
    flattest_error: float | None = None
    #: For each (competitor, seed) that has not diverged the training loss at its end along the directions of largest
    #: and of smallest curvature: the arrays "steps", "sharpest", "flattest", and the two "curvatures".
    slices: Mapping[tuple[str, int], Mapping[str, Array]] = field(default_factory=dict)

    def summary(self) -> list[dict[str, Any]]:
        """Return one row for each competitor with medians over its seeds, the flattest first.

        The fields are those of `COLUMNS`, with the number of ``runs`` in place of ``seed``, and with a count of runs in
        ``diverged``. A diverged run counts as infinite.
        """
        rows = [self._median(name) for name in self.competitors]
        key = "scaled_trace" if self.flattest is None else "flatness_gap"
        return sorted(rows, key=lambda row: math.inf if row[key] is None else row[key])

    def as_dict(self) -> dict[str, Any]:
        """Return all fields except trajectories and slices in the types of JSON. Numbers not finite become None."""
        fields = {
            "table": self.table,
            "summary": self.summary(),
            "flattest": None if self.flattest is None else float(self.flattest.value),
            "correlation": None if self.correlation is None else asdict(self.correlation),
            "protocol": self.protocol,
            "tuning": self.tuning,
            "competitors": {name: asdict(each) for name, each in self.competitors.items()},
            "left_out": self.left_out,
        }
        return {name: _plain(value) for name, value in fields.items()}

    def _median(self, name: str) -> dict[str, Any]:
        runs = [row for row in self.table if row["competitor"] == name]
        medians: dict[str, Any] = {"competitor": name, "runs": len(runs), "diverged": sum(r["diverged"] for r in runs)}
        for column in COLUMNS[3:]:
            values = [run[column] for run in runs if run[column] is not None]
            medians[column] = median(values) if values else None
        return medians


def _plain(value: Any) -> Any:
    """Return nested containers in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
