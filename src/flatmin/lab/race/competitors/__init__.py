"""Competitors: the training algorithms of a race, found in the files of this folder; `register` adds one."""

from flatmin._core.registry import Registry
from flatmin.lab.race.competitor import Competitor

_COMPETITORS = Registry[Competitor](
    "competitor", Competitor, package=__name__, attribute="COMPETITORS", group="flatmin.competitors"
)
find, names = _COMPETITORS.find, _COMPETITORS.names
register, unregister = _COMPETITORS.register, _COMPETITORS.unregister

__all__ = ["find", "names", "register", "unregister"]
__dir__ = __all__.copy
