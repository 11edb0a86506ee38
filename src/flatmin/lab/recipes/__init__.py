"""The experiments that are known by name, one file each, found by themselves."""

from importlib import import_module

from flatmin._core.registry import submodules
from flatmin.errors import InputError
from flatmin.lab.recipe import Recipe

__all__ = ["find", "names"]


def names() -> list[str]:
    """Return the names of all recipes, as on the command line."""
    return [name.replace("_", "-") for name in submodules(list(__path__))]


def find(name: str) -> Recipe:
    """Return the recipe of a name such as "figure-3", or raise `InputError`."""
    if name not in names():
        raise InputError(f"there is no recipe {name!r}, expected one of {', '.join(names())}, or a .toml file")
    recipe = import_module(f"{__name__}.{name.replace('-', '_')}").RECIPE
    assert isinstance(recipe, Recipe)
    return recipe


def __dir__() -> list[str]:
    return __all__
