"""Boundaries of the columns of a phase map, one for each value of a parameter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from flatmin.errors import InputError
from flatmin.lab.boundary.phase_map import Column, columns_of
from flatmin.lab.boundary.posterior import Boundary
from flatmin.lab.displays.levels import rank
from flatmin.lab.evidence import Evidence
from flatmin.report.words import number

__all__ = ["Predicted", "along_of", "columns_over", "found_in", "predictions_of", "told"]

#: From the parameters of a column to a number in units of what success sets in along; None or NaN where there is none.
Predicted = Callable[[Mapping[str, Any]], float | None]


def along_of(evidence: Evidence) -> str:
    """Return the parameter along which success sets in, or raise `InputError` if the recipe has no transition."""
    about = evidence.experiment.transition
    if about is None:
        raise InputError(f"the recipe {evidence.name} has no transition, expected one that maps success")
    return about.along


def columns_over(evidence: Evidence, over: str) -> dict[Any, Column]:
    """Return the column at each value of a parameter, ascending.

    Raises
    ------
    InputError
        If there are several at one value, or a column has no such parameter.
    """
    if not len(evidence):
        return {}
    found: dict[Any, Column] = {}
    for column in columns_of(evidence):
        if over not in column.parameters:
            there = ", ".join(sorted(column.parameters))
            raise InputError(f"a column of the map has no parameter {over!r}, expected one of {there}")
        at = column.parameters[over]
        if at in found:
            other = found[at].parameters
            names = set(other) | set(column.parameters)
            differ = sorted(name for name in names if other.get(name) != column.parameters.get(name))
            raise InputError(
                f"there are several columns with {over} = {at!r}, which differ in {', '.join(differ)}; "
                f"select one value of it first"
            )
        found[at] = column
    return {at: found[at] for at in sorted(found, key=rank)}


def predictions_of(columns: Mapping[Any, Column], predicted: Predicted | None) -> dict[Any, float]:
    """Return what is predicted for each column, where there is a prediction."""
    expected = {at: predicted(column.parameters) for at, column in columns.items()} if predicted else {}
    return {at: float(value) for at, value in expected.items() if value is not None and np.isfinite(value)}


def found_in(column: Column) -> Boundary | None:
    """Return the boundary of a column in units of the scale, or None where its trials say nothing about one."""
    tried = column.points[np.array(column.trials) > 0]
    return column.knowledge.boundary() if len(np.unique(tried)) > 1 else None


def told(value: float, low: float, high: float) -> str:
    """Return a boundary with its band in words."""
    return f"{number(value)} ({number(low)} to {number(high)})"
