"""The models of the paper, one file each, found by themselves; those with a ``FAMILY`` have a command line."""

from importlib import import_module
from types import ModuleType

from flatmin._core.registry import submodules
from flatmin.errors import InputError
from flatmin.families.base import Family, Instance

__all__ = ["Family", "Instance", "find", "names", *submodules(list(__path__))]


def names() -> list[str]:
    """Return the names of all families, as on the command line."""
    found = submodules(list(__path__))
    return [name.replace("_", "-") for name in found if hasattr(import_module(f"{__name__}.{name}"), "FAMILY")]


def find(name: str) -> Family:
    """Return the family of a name such as "matrix-sensing", or raise `InputError`."""
    if name not in names():
        raise InputError(f"there is no family {name!r}, expected one of {', '.join(names())}")
    family = import_module(f"{__name__}.{name.replace('-', '_')}").FAMILY
    assert isinstance(family, Family)
    return family


def __getattr__(name: str) -> ModuleType:
    if name in submodules(list(__path__)):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
