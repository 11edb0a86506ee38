"""Recipes as files: a known experiment with another grid, other repetitions or another seed.

::

    recipe = "figure-3"
    repetitions = 3
    [only]                        # of the cells that the recipe has, those with these values
    panel = ["sensing", "completion"]
    [grid]                        # these values in place of the recipe's
    d = [10, 15, 20]

``[[grid]]``, as many times as needed, replaces the whole grid: each is a block with the values of every parameter.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from flatmin.errors import InputError
from flatmin.lab import recipes
from flatmin.lab.recipe import Recipe
from flatmin.lab.runs.experiment import Block, Parameters

__all__ = ["read_recipe"]

KEYS = ("recipe", "repetitions", "seed", "grid", "only")


def read_recipe(given: str, *, quick: bool = False) -> Recipe:
    r"""Return the recipe of a name or of a TOML file.

    Parameters
    ----------
    given : str
        A name such as "figure-3", or the path of a file that ends in ``.toml``.
    quick : bool
        Whether the quick version is meant; a file changes that one then.

    Raises
    ------
    InputError
        If there is no such recipe, or the file says what cannot be understood.

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
        recipe = recipes.find(given)
        return recipe.quickly() if quick else recipe
    says = _read(Path(given))
    if not isinstance(says.get("recipe"), str):
        raise InputError(f"{given} does not say which recipe it changes, expected recipe = one of {recipes.names()}")
    try:
        recipe = recipes.find(says["recipe"])
        return _varied(recipe.quickly() if quick else recipe, says)
    except InputError as error:
        raise InputError(f"{given}: {error}") from error


def _read(file: Path) -> dict[str, Any]:
    try:
        says = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the recipe {file} cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"the recipe {file} is no TOML: {error}") from error
    for key in says:
        if key not in KEYS:
            raise InputError(f"{file} has the key {key!r}, expected one of {', '.join(KEYS)}")
    return says


def _varied(recipe: Recipe, says: Mapping[str, Any]) -> Recipe:
    """Return the recipe with what a file says."""
    changes = {name: says[name] for name in ("repetitions", "seed") if name in says}
    given = says.get("grid", {})
    if isinstance(given, list):
        changes["grid"] = [_like(recipe, block) for block in given]
    elif given:
        values = _like(recipe, given)
        changes["grid"] = [_with(block, values) for block in recipe.grid]
    recipe = replace(recipe, **changes)
    only = _like(recipe, says.get("only", {}))
    if only:
        chosen = [cell for cell in recipe.cells if all(cell.get(name) in values for name, values in only.items())]
        recipe = replace(recipe, grid=[{name: [value] for name, value in cell.items()} for cell in chosen])
    assert recipe.cells
    return recipe


def _with(block: Block, values: Block) -> Block:
    """Return a block with other values of the parameters that it has."""
    return {name: values.get(name, usual) for name, usual in block.items()}


def _like(recipe: Recipe, given: Any) -> dict[str, Sequence[Any]]:
    """Return values for parameters of the kinds that the recipe has, or raise `InputError`."""
    known: dict[str, set[type]] = {}
    for parameters in [*_combinations(recipe), *recipe.cells]:
        for name, value in parameters.items():
            known.setdefault(name, set()).add(type(value))
    if not isinstance(given, Mapping):
        raise InputError(f"found {given!r}, expected a table of lists of values")
    out: dict[str, Sequence[Any]] = {}
    for name, values in given.items():
        if name not in known:
            raise InputError(f"there is no parameter {name!r}, expected one of {', '.join(known)}")
        if not isinstance(values, list) or not values:
            raise InputError(f"{name} is {values!r}, expected a list of values")
        out[name] = [_of_kind(name, value, known[name]) for value in values]
    return out


def _combinations(recipe: Recipe) -> list[Parameters]:
    """Return one combination of values from each block of the grid, for their names and kinds."""
    return [{name: values[0] for name, values in block.items()} for block in recipe.grid]


def _of_kind(name: str, value: Any, kinds: set[type]) -> Any:
    if type(value) in kinds:
        return value
    if float in kinds and type(value) is int:
        return float(value)
    expected = " or ".join(sorted(kind.__name__ for kind in kinds))
    raise InputError(f"{name} has the value {value!r}, expected {expected}")
