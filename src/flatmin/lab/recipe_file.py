"""Recipes in TOML files: a known recipe with another grid, other repetitions or another seed.

::

    recipe = "figure-3"
    repetitions = 3
    [only]                        # keep only the cells with these values
    panel = ["sensing", "completion"]
    [grid]                        # replace the recipe's values of these parameters
    d = [10, 15, 20]

Each ``[[grid]]`` is a block with the values of every parameter; one or several of them replace the whole grid.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flatmin._core.validation import check_version, real_number, shown
from flatmin.errors import InputError
from flatmin.formats.base import check_file
from flatmin.lab.recipe import RECIPES, Recipe

__all__ = ["read_recipe"]

#: The version of the format of recipe files. A file without the key ``format_version`` has version 1.
RECIPE_VERSION = 1
KEYS = ("recipe", "repetitions", "seed", "grid", "only", "format_version")


def read_recipe(given: str, *, quick: bool = False) -> Recipe:
    r"""Return the recipe of a name such as "figure-3", or of a file whose name ends in ``.toml``.

    With ``quick`` it is the quick version, with any changes of the file. An unknown recipe, or a file with an error,
    raises `InputError`.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place) / "small.toml"
    ...     _ = file.write_text('recipe = "figure-3"\nrepetitions = 1\nonly.panel = ["sensing"]\ngrid.d = [5]')
    ...     recipe = read_recipe(str(file))
    >>> recipe.name, recipe.repetitions, {(cell["panel"], cell["d"]) for cell in recipe.cells}
    ('figure-3', 1, {('sensing', 5)})
    """
    if not given.endswith(".toml"):
        try:
            recipe = RECIPES.find(given)
        except InputError as error:
            if given in RECIPES.names():
                raise
            raise InputError(f"{error}, or a .toml file") from None
        return recipe.quickly() if quick else recipe
    changes = _read(Path(given))
    if not isinstance(changes.get("recipe"), str):
        raise InputError(f"{given} does not say which recipe it changes, expected recipe = one of {RECIPES.names()}")
    try:
        recipe = RECIPES.find(changes["recipe"])
        return _changed(recipe.quickly() if quick else recipe, changes)
    except InputError as error:
        raise InputError(f"{given}: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    check_file(file, "the recipe")
    try:
        changes = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the recipe {file} cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # also whole numbers of thousands of digits
        raise InputError(f"the recipe {file} is no TOML: {error}") from error
    check_version(f"the recipe {file}", changes.get("format_version", 1), RECIPE_VERSION)
    for key in changes:
        if key not in KEYS:
            raise InputError(f"{file} has the key {key!r}, expected one of {', '.join(KEYS)}")
    return changes


def _changed(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe with the changes of a file."""
    changes = {name: given[name] for name in ("repetitions", "seed") if name in given}
    grid = given.get("grid", {})
    if isinstance(grid, list):
        changes["grid"] = [_checked(recipe, block) for block in grid]
    elif grid:
        values = _checked(recipe, grid)
        changes["grid"] = [{name: values.get(name, usual) for name, usual in block.items()} for block in recipe.grid]
    recipe = replace(recipe, **changes)
    only = _checked(recipe, given.get("only", {}))
    if only:
        chosen = [cell for cell in recipe.cells if all(cell.get(name) in values for name, values in only.items())]
        recipe = replace(recipe, grid=[{name: [value] for name, value in cell.items()} for cell in chosen])
    assert recipe.cells
    return recipe


def _checked(recipe: Recipe, given: Any) -> dict[str, Sequence[Any]]:
    """Return values of parameters, of the types that the recipe's own values have, or raise `InputError`."""
    types: dict[str, set[type]] = {}
    first = [{name: values[0] for name, values in block.items()} for block in recipe.grid]
    for parameters in [*first, *recipe.cells]:
        for name, value in parameters.items():
            types.setdefault(name, set()).add(type(value))
    if not isinstance(given, Mapping):
        raise InputError(f"found {given!r}, expected a table of lists of values")
    out: dict[str, Sequence[Any]] = {}
    for name, values in given.items():
        if name not in types:
            raise InputError(f"there is no parameter {name!r}, expected one of {', '.join(types)}")
        if not isinstance(values, list) or not values:
            raise InputError(f"{name} is {values!r}, expected a list of values")
        out[name] = [_converted(name, value, types[name]) for value in values]
    return out


def _converted(name: str, value: Any, types: set[type]) -> Any:
    if type(value) in types:
        return value
    if float in types and type(value) is int and math.isfinite(real_number(value)):
        return float(value)
    expected = " or ".join(sorted(kind.__name__ for kind in types))
    raise InputError(f"{name} has the value {shown(value)}, expected {expected}")
