"""Adversary: attacks on certificates, one file each, judged in exact arithmetic.

An attack is a module with a function ``attack(seed)``. It makes a problem from the seed, hands a solution and dual
vectors to flatmin, and returns a `Verdict`: what was certified, and a sentence if that is false. ``python -m
benchmarks.adversary`` runs all attacks for some minutes; tests/benchmarks/test_adversary.py runs them for seconds.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Verdict", "attacks"]


@dataclass(frozen=True)
class Verdict:
    """What an attack met: the number of certificates that held, a false claim or None, and the number of all made."""

    held: int
    false_claim: str | None = None
    certificates: int = 1


def attacks() -> dict[str, Callable[[int], Verdict]]:
    """Return all attacks by the name of their module, in alphabetical order."""
    found = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        attack = getattr(importlib.import_module(module.name), "attack", None)
        if attack is not None:
            found[module.name.rpartition(".")[2]] = attack
    return found
