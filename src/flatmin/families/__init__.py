"""Families: the models of the paper with their random instances and input files, one file each."""

from importlib import import_module
from types import ModuleType

from flatmin._core.registry import Registry, submodules
from flatmin.families.base import Family, Instance

_FAMILIES = Registry[Family]("family", Family, package=__name__, attribute="FAMILY", group="flatmin.families")
find, names, register, unregister = _FAMILIES.find, _FAMILIES.names, _FAMILIES.register, _FAMILIES.unregister
__all__ = ["Family", "Instance", "find", "names", "register", "unregister", *submodules(list(__path__))]


def __getattr__(name: str) -> ModuleType:
    if name in submodules(list(__path__)):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


__dir__ = __all__.copy
