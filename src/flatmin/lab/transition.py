"""What a phase map is about: which metric tells success, along which parameter it sets in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Transition"]


@dataclass(frozen=True)
class Transition:
    """A success that sets in along one parameter, in every column of a map.

    Attributes
    ----------
    along : str
        The parameter along which success sets in, such as the number of measurements ``m``.
    success : str
        The metric that is true where a trial succeeded.
    scale : callable
        ``scale(parameters)``, the number that the boundary is expected to be a multiple of, such as ``r (d1 + d2)``;
        all other parameters than ``along`` decide it.
    falling : bool
        Whether success ends along the parameter instead, as it does with the share of gross errors.
    """

    along: str
    success: str
    scale: Callable[[Mapping[str, Any]], float]
    falling: bool = False
