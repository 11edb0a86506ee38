"""Levels of parameters: what they are called, in which order they come, and where they stand on an axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flatmin.errors import InputError
from flatmin.experiments.evidence import Evidence
from flatmin.report.words import number

__all__ = ["groups", "is_number", "ordered", "spoken", "spot"]

Labels = Mapping[Any, str]


def is_number(value: Any) -> bool:
    """Return whether a level is a number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def groups(evidence: Evidence, by: str | Sequence[str] | None, *others: str) -> dict[Any, Evidence]:
    """Return one part of the evidence for each level of ``by``, with None for all of it; others have to be there too.

    The level of a single name is its value, that of several names a tuple.

    Raises
    ------
    InputError
        If a trial has no such parameter.
    """
    names = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    for result in evidence.results:
        missing = [name for name in (*names, *others) if name not in result.trial.parameters]
        if missing:
            there = ", ".join(sorted(result.trial.parameters))
            raise InputError(f"a trial has no parameter {missing[0]!r} to show, expected one of {there}")
    if not len(evidence):
        return {}
    if by is None:
        return {None: evidence}
    parts = evidence.split(*names)
    return {key[0] if isinstance(by, str) else key: part for key, part in parts.items()}


def ordered(levels: Sequence[Any], labels: Labels | None) -> list[tuple[int, Any]]:
    """Return levels with the index of their looks: in the order of the labels, so that it is the same in all figures.

    Examples
    --------
    >>> ordered(["flat", "nuclear"], {"nuclear": "nuclear norm", "flat": "flat minimum"})
    [(0, 'nuclear'), (1, 'flat')]
    """
    first = [level for level in labels or {} if level in levels]
    indices = {level: index for index, level in enumerate(labels or {})}
    rest = [level for level in levels if level not in first]
    return [(indices[level], level) for level in first] + [(len(indices) + i, level) for i, level in enumerate(rest)]


def spoken(level: Any, by: str | Sequence[str] | None, labels: Labels | None = None) -> str:
    """Return what a level is called: the word of the labels, a word itself, or a number with its name.

    Examples
    --------
    >>> spoken("flat", "method"), spoken(10, "d"), spoken((10, "flat"), ("d", "method")), spoken(True, "exact")
    ('flat', 'd = 10', 'd = 10, flat', 'exact')
    """
    labels = labels or {}
    if by is None:
        return ""
    if level in labels:
        return labels[level]
    if not isinstance(by, str):
        return ", ".join(spoken(value, name, labels) for value, name in zip(level, by, strict=True))
    if isinstance(level, bool):
        return by if level else f"not {by}"
    return f"{by} = {number(level)}" if is_number(level) else str(level)


def spot(levels: Sequence[Any]) -> dict[Any, float]:
    """Return where levels stand on an axis: numbers at themselves, anything else side by side.

    Examples
    --------
    >>> spot([10, 40]), spot(["chain", "product"])
    ({10: 10.0, 40: 40.0}, {'chain': 0.0, 'product': 1.0})
    """
    if all(is_number(level) for level in levels):
        return {level: float(level) for level in levels}
    return {level: float(index) for index, level in enumerate(levels)}
