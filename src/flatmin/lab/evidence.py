"""Evidence: the results of an experiment, which can be selected by parameters; claims and figures are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.runs.experiment import Experiment, Trial, Value, key_of
from flatmin.lab.runs.store import Result

__all__ = ["Evidence"]


class Evidence:
    """The results of an experiment, for its whole grid or for a part of it.

    Parameters
    ----------
    experiment : Experiment
        The experiment, kept as `Evidence.planned`. `Evidence.experiment` is a copy whose grid is that of the results.
    results : sequence of Result
        The results. Failed ones are in `Evidence.failed`, not in `Evidence.results`.

    Examples
    --------
    >>> from flatmin.lab import Result, recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> trials = [trial for trial in recipe.trials() if trial.parameters["panel"] == "covariance"]
    >>> evidence = Evidence(recipe, [Result(trial, {"success": True}) for trial in trials])
    >>> evidence.levels("d"), evidence.select(d=10).values("success").all()
    ([10, 16], np.True_)
    """

    def __init__(self, experiment: Experiment, results: Sequence[Result]) -> None:
        self.planned = experiment
        self.results = [result for result in results if result.reason is None]
        self.failed = [result for result in results if result.reason is not None]
        cells = {result.trial.key[0]: result.trial.parameters for result in self.results}
        blocks = [{name: (value,) for name, value in cell.items()} for cell in cells.values()]
        self.experiment = replace(experiment, grid=blocks, resolve=Experiment.resolve) if blocks else experiment

    def __len__(self) -> int:
        return len(self.results)

    @property
    def name(self) -> str:
        """The name of the experiment."""
        return self.experiment.name

    def select(self, **parameters: Value | Sequence[Value]) -> Evidence:
        """Return the part with these parameters; a list or tuple matches any of its values."""
        wanted: dict[str, Any] = {n: v if isinstance(v, list | tuple) else (v,) for n, v in parameters.items()}
        return Evidence(self.experiment, [r for r in self.results if _agrees(r, wanted)])

    def levels(self, name: str) -> list[Any]:
        """Return the values of a parameter among the results, ascending."""
        return sorted({r.trial.parameters[name] for r in self.results if name in r.trial.parameters})

    def split(self, *names: str) -> dict[tuple[Any, ...], Evidence]:
        """Return one part for each combination of values of these parameters, ascending."""
        groups: dict[tuple[Any, ...], list[Result]] = {}
        for result in self.results:
            groups.setdefault(tuple(result.trial.parameters[name] for name in names), []).append(result)
        return {key: Evidence(self.experiment, groups[key]) for key in sorted(groups)}

    def draws(self) -> dict[int, Evidence]:
        """Return one part for each draw, with its seed: the results that saw the same draw."""
        groups: dict[int, list[Result]] = {}
        for result in self.results:
            groups.setdefault(result.trial.seed, []).append(result)
        return {seed: Evidence(self.experiment, results) for seed, results in groups.items()}

    def unrolled(self, *names: str) -> Evidence:
        """Return evidence with one result for each entry of metrics that are lists; ``names`` become parameters.

        For example, ``unrolled("scale")`` turns the metrics ``{"scale": [1, 64], "trace": [2.0, 9.0]}`` of one result
        into two results with the parameter ``scale`` and the metric ``trace``.
        """
        results = []
        for result in self.results:
            count = max((len(value) for value in result.metrics.values() if isinstance(value, list)), default=1)
            for index in range(count):
                row = {n: value[index] if isinstance(value, list) else value for n, value in result.metrics.items()}
                parameters = {**result.trial.parameters, **{name: row.pop(name) for name in names}}
                trial = Trial(parameters, result.trial.repetition, result.trial.seed)
                results.append(Result(trial, row, result.seconds))
        return Evidence(self.experiment, results)

    def values(self, metric: str) -> Array:
        """Return a metric of all trials that have it; lists are joined, and ``seconds`` is the time of a trial."""
        found: list[Any] = []
        for result in self.results:
            value = _metric(result, metric)
            found += value if isinstance(value, list) else [value]
        return np.array([value for value in found if value is not None])

    def pairs(self, metric: str, name: str, first: Value, second: Value) -> Array:
        """Return a metric at two values of a paired parameter, for the n draws that have both, shape (n, 2).

        Values other than numbers raise `InputError`.
        """
        sides: list[dict[tuple[str, int], Any]] = [{}, {}]
        for result in self.results:
            parameters = dict(result.trial.parameters)
            value, found = parameters.pop(name), _metric(result, metric)
            if value in (first, second) and found is not None:
                sides[value == second][key_of(parameters), result.trial.seed] = found
        both = [(sides[0][key], sides[1][key]) for key in sides[0] if key in sides[1]]
        try:
            joined = [pair for x, y in both for pair in (zip(x, y, strict=True) if isinstance(x, list) else [(x, y)])]
            return np.array(joined, float).reshape(-1, 2)
        except (TypeError, ValueError) as error:  # in a store that was changed by hand
            raise InputError(f"the metric {metric!r} has other values than numbers, expected pairs: {error}") from error


def _metric(result: Result, name: str) -> Any:
    return result.seconds if name == "seconds" else result.metrics.get(name)


def _agrees(result: Result, wanted: Mapping[str, Sequence[Value]]) -> bool:
    parameters = result.trial.parameters
    return all(name in parameters and parameters[name] in values for name, values in wanted.items())
