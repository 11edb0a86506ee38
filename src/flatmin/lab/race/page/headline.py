"""The outcome of a race in sentences, for the head of its page and for the terminal."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flatmin.lab.race.page.ranking import Ranking
from flatmin.report.page import Verdict
from flatmin.report.words import listed, number

__all__ = ["COLUMN_NAMES", "PER_CENT", "number_range", "unfitting", "verdict", "with_interval"]

#: How sentences name the columns of the table of runs.
COLUMN_NAMES = {"flatness_gap": "flatness gap", "scaled_trace": "scaled trace", "loss": "loss"}
PER_CENT = "\N{NO-BREAK SPACE}%"


def verdict(ranking: Ranking) -> Verdict:
    """Return the verdict: which competitors came near the flattest value, and whether their errors are smaller."""
    flattest = ranking.result.flattest
    level, near = ranking.near
    good = flattest is None or bool(flattest.holds)
    fitting = [row for row in ranking.rows if row["fits"]]
    if flattest is None or ranking.determined:
        start = (
            "All solutions are equally flat here, so competitors are compared by their fit"
            if ranking.determined
            else "The fit"
        )
        headline = f"{start}: {_names(fitting)} fit{'s' if len(fitting) == 1 else ''} the data."
        near = fitting
    elif near:
        headline = f"Within {number(100 * level)}{PER_CENT} of the flattest value: {_names(near)}."
    elif fitting:
        gap = number(fitting[0]["flatness_gap"], 2)
        headline = (
            "No competitor that fits the data came near the flattest value. "
            f"{fitting[0]['competitor']} came nearest, with a flatness gap of {gap}."
        )
    else:
        headline = "No competitor fits the data within its budget."
    return Verdict(good, headline, " ".join([*_errors(ranking, near), *_relation(ranking)]))


def _errors(ranking: Ranking, near: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence with the median errors of the competitors in ``near`` and those of the others."""
    if not ranking.has_errors:
        return ["The truth is not known, so there are no errors."]
    chosen = {row["competitor"] for row in near}
    errors: dict[bool, list[float]] = {True: [], False: []}
    for row in ranking.rows:
        error = row["relative_error"]
        if error is not None and math.isfinite(error):
            errors[row["competitor"] in chosen].append(error)
    if not errors[True]:
        return []
    sentence = f"{'Its' if len(errors[True]) == 1 else 'Their'} median error is {number_range(errors[True])}"
    return [sentence + (f"; that of the others is {number_range(errors[False])}." if errors[False] else ".")]


def number_range(values: Sequence[float]) -> str:
    """Return the range of numbers in words.

    Examples
    --------
    >>> number_range([0.25, 0.1, 3.0]), number_range([2.0])
    ('from 0.1 to 3', '2')
    """
    low, high = number(min(values), 2), number(max(values), 2)
    return low if low == high else f"from {low} to {high}"


def _relation(ranking: Ranking) -> list[str]:
    """Return a sentence about the correlation between flatness and error; no sentence if it has no interval."""
    found = ranking.result.correlation
    if found is None or found.value is None or found.interval is None:
        return []
    low, high = found.interval
    coefficient = with_interval(found.value, found.interval)
    relation = "no clear relation"
    if low > 0 or high < 0:
        relation = f"the flatter the run, the {'smaller' if low > 0 else 'larger'} its error"
    return [f"The rank correlation of {COLUMN_NAMES[found.of]} and error is {coefficient}: {relation}."]


def with_interval(value: float | None, interval: tuple[float, float] | None) -> str:
    """Return a number as text, with its 95 % interval if there is one.

    Examples
    --------
    >>> with_interval(0.5, None)
    '0.5'
    """
    if interval is None:
        return number(value, 2)
    low, high = (number(end, 2) for end in interval)
    return f"{number(value, 2)} (95{PER_CENT} interval {low} to {high})"


def unfitting(ranking: Ranking) -> str:
    """Return a warning that names the competitors which do not fit the data; it is empty if all fit."""
    rows = [row for row in ranking.rows if not row["fits"] and not math.isinf(row["loss"] or math.inf)]
    if not rows:
        return ""
    do, their = ("does", "its") if len(rows) == 1 else ("do", "their")
    if ranking.determined:
        return f"{_names(rows)} {do} not fit the data."
    return (
        f"{_names(rows)} {do} not fit the data: {their} loss is still above {number(ranking.fit_loss, 2)}, 1{PER_CENT} "
        "of that of the zero prediction. Their small gaps mean nothing: a matrix of zeros has the gap 0."
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> str:
    return listed([row["competitor"] for row in rows], most=20) or "no competitor"
