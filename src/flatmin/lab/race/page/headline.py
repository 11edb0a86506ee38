"""What came of a race, in sentences: for the head of its page and for the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flatmin.lab.race.correlation import Correlation
from flatmin.lab.race.reading import RaceReading
from flatmin.report.page import Verdict
from flatmin.report.words import listed, number

__all__ = ["PER_CENT", "SPOKEN", "correlation_of", "spread_of", "unfitting", "verdict"]

#: What a column is called within a sentence.
SPOKEN = {"flatness_gap": "flatness gap", "scaled_trace": "scaled trace", "loss": "loss"}
PER_CENT = "\N{NO-BREAK SPACE}%"


def verdict(reading: RaceReading) -> Verdict:
    """Return who came near the flattest value, and what their errors are beside those of the others."""
    flattest = reading.result.flattest
    level, near = reading.near
    good = flattest is None or bool(flattest.holds)
    fitting = [row for row in reading.rows if row["fits"]]
    if flattest is None or reading.determined:
        fits = _names(fitting)
        start = "All solutions are equally flat here, so what counts is the fit" if reading.determined else "The fit"
        headline = f"{start}: {fits} fit{'s' if len(fitting) == 1 else ''} the data."
        near = fitting
    elif near:
        headline = f"Within {number(100 * level)}{PER_CENT} of the flattest value: {_names(near)}."
    else:
        headline = "No competitor fits the data within its budget."
        if fitting:
            gap = number(fitting[0]["flatness_gap"], 2)
            headline = "No competitor that fits the data came near the flattest value. "
            headline += f"{fitting[0]['competitor']} came nearest, with a flatness gap of {gap}."
    return Verdict(good, headline, " ".join([*_errors(reading, near), *_relation(reading)]))


def _errors(reading: RaceReading, near: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the median errors of some competitors beside those of the others."""
    chosen = {row["competitor"] for row in near}
    sides = [
        [row["relative_error"] for row in reading.rows if (row["competitor"] in chosen) is side]
        for side in (True, False)
    ]
    known = [sorted(e for e in side if e is not None and math.isfinite(e)) for side in sides]
    if not reading.has_errors:
        return ["The truth is not known, so nothing is said about errors."]
    if not known[0]:
        return []
    said = f"{'Its' if len(known[0]) == 1 else 'Their'} median error is {spread_of(known[0])}"
    return [said + (f"; that of the others is {spread_of(known[1])}." if known[1] else ".")]


def spread_of(values: Sequence[float]) -> str:
    """Return the range of ascending numbers, in words.

    Examples
    --------
    >>> spread_of([0.1, 0.25, 3.0]), spread_of([2.0])
    ('from 0.1 to 3', '2')
    """
    low, high = number(values[0], 2), number(values[-1], 2)
    return low if low == high else f"from {low} to {high}"


def _relation(reading: RaceReading) -> list[str]:
    found = reading.result.correlation
    if found is None or found.value is None or found.interval is None:
        return []
    what, (low, high) = SPOKEN[found.of], found.interval
    said = f"The rank correlation of {what} and error is {correlation_of(found)}: "
    if low > 0:
        return [said + "the flatter the run, the smaller its error."]
    return [said + ("the flatter the run, the larger its error." if high < 0 else "no clear relation.")]


def correlation_of(found: Correlation) -> str:
    """Return a rank correlation with its interval, as far as it has one."""
    assert found.value is not None
    if found.interval is None:
        return number(found.value, 2)
    low, high = (number(end, 2) for end in found.interval)
    return f"{number(found.value, 2)} (95{PER_CENT} interval {low} to {high})"


def unfitting(reading: RaceReading) -> str:
    """Return a warning of competitors whose gap is small although they do not fit; empty if there are none."""
    rows = [row for row in reading.rows if not row["fits"] and not math.isinf(row["loss"] or math.inf)]
    if not rows:
        return ""
    do, their = ("does", "its") if len(rows) == 1 else ("do", "their")
    if reading.determined:
        return f"{_names(rows)} {do} not fit the data."
    return (
        f"{_names(rows)} {do} not fit the data: {their} loss is still above {number(reading.largest_loss, 2)}, "
        f"1{PER_CENT} of what it is without any answer. A small gap says nothing there; it is 0 for a matrix of zeros."
    )


def _names(rows: Sequence[Mapping[str, Any]]) -> str:
    return listed([row["competitor"] for row in rows], most=20) or "nobody"
