"""The training algorithms that race, one file each, found by themselves."""

from typing import Any

from flatmin._core.registry import public_names
from flatmin.lab.race.competitor import Competitor

_found: dict[str, Any] = public_names(__name__, list(__path__))
globals().update(_found)

__all__ = ["all_known", *_found]


def all_known() -> list[Competitor]:
    """Return one of each competitor, with its defaults, by name."""
    return sorted((kind() for kind in _found.values()), key=lambda who: who.name)


def __dir__() -> list[str]:
    return __all__
