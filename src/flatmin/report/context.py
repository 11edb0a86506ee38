"""All that a report is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flatmin._core.arrays import Array
from flatmin.families.base import Family
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["ReportContext"]


@dataclass(frozen=True, eq=False)
class ReportContext:
    """All that a report is made of.

    Attributes
    ----------
    family : Family
        The model.
    problem : Problem
        What was solved.
    solution : Solution
        What came out.
    summary : dict
        The fields of ``summary.json``; a field that does not apply is None.
    truth : ndarray or None
        What is behind the data, where it is known: the matrix (d1, d2), for phase retrieval the signal.
    command : str
        The command that repeats the solve.
    input_name : str
        What the data are called.
    kind : str
        How the unknown is shown: "matrix", "table", "image" or "frames".
    image : ndarray or None
        The recovered image, (h, w) or (h, w, c), from 0 to 1.
    observed_image : ndarray or None
        The same with NaN where nothing was observed.
    row_labels, column_labels : list of str or None
        Names of rows and columns; any text.
    notes : list of str
        Sentences for the reader.
    picture : callable or None
        Turns any matrix (d1, d2) with values from 0 to 1 into an image like those above; NaN stays.
    """

    family: Family
    problem: Problem
    solution: Solution
    summary: dict[str, Any]
    truth: Array | None = None
    command: str = ""
    input_name: str = ""
    kind: str = "matrix"
    image: Array | None = None
    observed_image: Array | None = None
    row_labels: list[str] | None = None
    column_labels: list[str] | None = None
    notes: list[str] = field(default_factory=list)
    picture: Callable[[Array], Array | None] | None = None
