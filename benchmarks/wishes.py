"""Requirements on answers: numbers of the referee's judgement, and how many times slower others should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Wish:
    """A requirement on one number of the referee's judgement: a relation (≤, ≥, =) and a value."""

    name: str
    relation: str
    value: Any

    def met(self, judgement: Mapping[str, Any]) -> bool:
        found = judgement.get(self.name)
        if self.relation == "=" or found is None:
            return bool(found == self.value)
        return bool(found <= self.value if self.relation == "≤" else found >= self.value)

    def __str__(self) -> str:
        if self.value is True:
            return {"holds": "certified"}.get(self.name, self.name)
        unit = " MiB" if self.name == "memory" else ""
        return f"{self.name.removesuffix(' size')} {self.relation} {self.value}{unit}"


def seconds(most: float) -> Wish:
    return Wish("seconds", "≤", most)


def error(most: float) -> Wish:
    return Wish("error", "≤", most)


def gap(most: float) -> Wish:
    return Wish("gap size", "≤", most)


def memory(most: float) -> Wish:
    """Return a limit in MiB above the memory of the data."""
    return Wish("memory", "≤", most)


CERTIFIED, UNIQUE, DENSE = Wish("holds", "=", True), Wish("unique", "=", True), Wish("margin kind", "=", "dense")
#: An answer is never called unique if it is not the truth, and never called not unique without another fit.
HONEST = Wish("honest", "=", True)
