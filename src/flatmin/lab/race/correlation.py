"""The rank correlation of flatness and error over the runs of a race."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flatmin.lab.rank_correlation import GroupedCorrelation, grouped_rank_correlation

__all__ = ["Correlation", "correlate"]

#: Smallest number of competitors for which a correlation is computed.
MIN_COMPETITORS = 3
#: Gaps and errors below this count as equal.
ROUNDING = 1e-9

IGNORES = (
    "The interval resamples competitors with all their runs, because runs of one competitor are alike. It treats the "
    "competitors as a sample of all algorithms, and the task and the step sizes as given. Diverged runs are left out. "
    "A correlation is no statement about cause: one property of a run may make it both flat and accurate."
)


@dataclass(frozen=True)
class Correlation(GroupedCorrelation):
    """Spearman's rank correlation between flatness and error over runs, which are grouped by competitor.

    ``of`` is the column compared with the error: "flatness_gap", or "scaled_trace" if there is no gap. ``runs`` and
    ``competitors`` are their numbers. ``ignores`` names the uncertainty that the intervals do not include.
    """

    of: str
    runs: int
    competitors: int
    ignores: str = IGNORES


def correlate(table: Iterable[Mapping[str, Any]], of: str = "flatness_gap", seed: int = 0) -> Correlation | None:
    """Return the rank correlation of a column of `RaceResult.table` and ``relative_error`` over the runs with both.

    Diverged runs are left out. The result is None for fewer than three competitors. ``seed`` draws the resamples.

    Examples
    --------
    >>> runs = [("a", 0.0), ("b", 1.0), ("c", 2.0), ("d", 3.0)]
    >>> rows = [dict(competitor=c, diverged=False, flatness_gap=g, relative_error=g * g) for c, g in runs]
    >>> round(correlate(rows).value, 6)
    1.0
    """
    rows = [row for row in table if not row["diverged"] and row[of] is not None and row["relative_error"] is not None]
    names = sorted({row["competitor"] for row in rows})
    if len(names) < MIN_COMPETITORS:
        return None
    groups = [names.index(row["competitor"]) for row in rows]
    flatness, errors = [row[of] for row in rows], [row["relative_error"] for row in rows]
    found = grouped_rank_correlation(flatness, errors, groups, rounding=ROUNDING, seed=seed)
    return Correlation(**vars(found), of=of, runs=len(rows), competitors=len(names))
