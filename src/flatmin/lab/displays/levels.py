"""Levels: the values of the parameters that distinguish lines or points, with their names, order and positions."""

from collections.abc import Mapping, Sequence
from typing import Any

from flatmin.errors import InputError
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.store import Result
from flatmin.report.words import number

__all__ = [
    "By",
    "check_metric",
    "full_caption",
    "groups",
    "is_number",
    "labelled",
    "level_name",
    "level_text",
    "ordered",
    "positions",
    "rank",
    "sentence_start",
]

Labels = Mapping[Any, str]
#: The parameters whose values distinguish the lines of a figure: one name, several, or None.
By = str | Sequence[str] | None


def is_number(value: Any) -> bool:
    """Return whether a level is a number; a truth value is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def groups(evidence: Evidence, by: By, *others: str) -> dict[Any, Evidence]:
    """Return the parts of the evidence by the level of ``by``.

    A level is a value if ``by`` is one name, a tuple of values if it is several, and None if it is None. A trial that
    lacks one of these parameters, or one of ``others``, raises `InputError`.
    """
    names = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    parts: dict[Any, list[Result]] = {}
    for result in evidence.results:
        parameters = result.trial.parameters
        missing = [name for name in (*names, *others) if name not in parameters]
        if missing:
            expected = ", ".join(sorted(parameters))
            raise InputError(f"a trial has no parameter {missing[0]!r} to show, expected one of {expected}")
        key = tuple(parameters[name] for name in names)
        parts.setdefault(None if by is None else key[0] if isinstance(by, str) else key, []).append(result)
    return {level: Evidence(evidence.experiment, parts[level]) for level in sorted(parts, key=rank)}


def labelled(evidence: Evidence, by: By, labels: Labels | None, *others: str) -> list[tuple[str, int, Evidence]]:
    """Return the label, the index of colour and marker, and the evidence of each part, in the order of the labels."""
    parts = groups(evidence, by, *others)
    return [(level_name(level, by, labels), look, parts[level]) for look, level in ordered(list(parts), labels)]


def rank(level: Any) -> Any:
    """Return a sort key for levels that may differ in type: numbers come before words."""
    if isinstance(level, tuple):
        return 2, 0, "", tuple(rank(value) for value in level)
    return (0, level, "", ()) if isinstance(level, int | float) else (1, 0, str(level), ())


def level_text(level: Any) -> str:
    """Return a level as text, without the name of its parameter."""
    if isinstance(level, bool):
        return "yes" if level else "no"
    return number(level) if is_number(level) else str(level)


def level_name(level: Any, by: By, labels: Labels | None = None) -> str:
    """Return the name of a level: its label if it has one, a word as it is, or "PARAMETER = NUMBER"."""
    labels = labels or {}
    if by is None:
        return ""
    if level in labels:
        return labels[level]
    if not isinstance(by, str):
        return ", ".join(level_name(value, name, labels) for value, name in zip(level, by, strict=True))
    if isinstance(level, bool):
        return by if level else f"not {by}"
    return f"{by} = {number(level)}" if is_number(level) else str(level)


def ordered(levels: Sequence[Any], labels: Labels | None) -> list[tuple[int, Any]]:
    """Return levels in the order of the labels, with the index of their colour and marker, equal in all figures."""
    first = [level for level in labels or {} if level in levels]
    indices = {level: index for index, level in enumerate(labels or {} if first else {})}
    rest = [level for level in levels if level not in first]
    return [(indices[level], level) for level in first] + [(len(indices) + i, level) for i, level in enumerate(rest)]


def positions(levels: Sequence[Any]) -> dict[Any, float]:
    """Return the positions of levels on an axis: their values if all are numbers, and otherwise whole numbers."""
    if all(is_number(level) for level in levels):
        return {level: float(level) for level in levels}
    return {level: float(index) for index, level in enumerate(levels)}


def check_metric(evidence: Evidence, metric: str, *, or_parameter: bool = False) -> None:
    """Raise `InputError` if no trial has the metric, which is then probably misspelled; without trials, accept it."""
    there = {name for result in evidence.results for name in result.metrics} | {"seconds"}
    if or_parameter:
        there |= {name for result in evidence.results for name in result.trial.parameters}
    if len(evidence) and metric not in there:
        raise InputError(f"no trial has the metric {metric!r} to show, expected one of {', '.join(sorted(there))}")


def sentence_start(label: str) -> str:
    """Return a label with a capital first letter, for the start of a sentence; a symbol such as m is kept as it is."""
    return label[0].upper() + label[1:] if label[:2].isalpha() else label


def full_caption(caption: str, sentences: Sequence[str]) -> str:
    """Return a caption followed by those sentences that are not empty and not already in it."""
    return " ".join([*[caption] * bool(caption), *(each for each in sentences if each and each not in caption)])
