"""What a sweep has found so far, by cell and by parameter: what claims are judged by and figures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.lab.phase_map import PhaseMap
from flatmin.lab.recipe import Recipe, Value, key_of
from flatmin.lab.store import Result

__all__ = ["Evidence"]


class Evidence:
    """Results of a recipe, as far as they are there: of the whole grid, of a part of it, or none.

    Parameters
    ----------
    recipe : Recipe
        Whose. Its grid is taken from the results: quick versions, varied grids and interrupted sweeps are all evidence.
    results : sequence of Result
        Those that failed are set aside.

    Examples
    --------
    >>> from flatmin.lab import Result, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> evidence = Evidence(recipe, [Result(trial, {"success": True}) for trial in trials])
    >>> evidence.levels("d"), evidence.select(d=10).values("success").all()
    ([10, 16], np.True_)
    """

    def __init__(self, recipe: Recipe, results: Sequence[Result]) -> None:
        self.planned = recipe  # With all of its grid, also what there are no results of.
        self.results = [result for result in results if result.reason is None]
        self.failed = [result for result in results if result.reason is not None]
        cells = {result.trial.key[0]: result.trial.parameters for result in self.results}
        blocks = [{name: (value,) for name, value in cell.items()} for cell in cells.values()]
        self.recipe = replace(recipe, grid=blocks, resolve=_as_it_is) if blocks else recipe

    def __len__(self) -> int:
        return len(self.results)

    @cached_property
    def map(self) -> PhaseMap:
        """Successes by cell and column; for recipes that have a transition."""
        return PhaseMap(self.recipe, self.results)

    def select(self, **parameters: Value | Sequence[Value]) -> Evidence:
        """Return the part with these parameters; a list or tuple of values stands for any of them."""
        wanted: dict[str, Any] = {n: v if isinstance(v, list | tuple) else (v,) for n, v in parameters.items()}
        return Evidence(self.recipe, [r for r in self.results if _agrees(r, wanted)])

    def levels(self, name: str) -> list[Any]:
        """Return the values of a parameter that there are, ascending."""
        return sorted({r.trial.parameters[name] for r in self.results if name in r.trial.parameters})

    def split(self, *names: str) -> dict[tuple[Any, ...], Evidence]:
        """Return one part for each combination of values of these parameters, ascending."""
        groups: dict[tuple[Any, ...], list[Result]] = {}
        for result in self.results:
            groups.setdefault(tuple(result.trial.parameters[name] for name in names), []).append(result)
        return {key: Evidence(self.recipe, groups[key]) for key in sorted(groups)}

    def values(self, metric: str) -> Array:
        """Return a metric of all trials that have it; ``seconds`` is the time of the trial."""
        found = [result.seconds if metric == "seconds" else result.metrics.get(metric) for result in self.results]
        return np.array([value for value in found if value is not None])

    def pairs(self, metric: str, name: str, first: Value, second: Value) -> Array:
        """Return, for every draw that both saw, a metric at two values of a parameter that is paired; shape (n, 2).

        Examples
        --------
        The differences of its columns have far less chance in them than two means::

            np.diff(evidence.pairs("error", "method", "flat", "nuclear"))
        """
        sides: list[dict[tuple[str, int], Any]] = [{}, {}]
        for result in self.results:
            parameters = dict(result.trial.parameters)
            value = parameters.pop(name)
            found = result.seconds if metric == "seconds" else result.metrics.get(metric)
            if value in (first, second) and found is not None:
                sides[value == second][key_of(parameters), result.trial.seed] = found
        both = [key for key in sides[0] if key in sides[1]]
        return np.array([[sides[0][key], sides[1][key]] for key in both], float).reshape(-1, 2)


def _as_it_is(parameters: Any) -> Any:
    return parameters


def _agrees(result: Result, wanted: Mapping[str, Sequence[Value]]) -> bool:
    parameters = result.trial.parameters
    return all(name in parameters and parameters[name] in values for name, values in wanted.items())
