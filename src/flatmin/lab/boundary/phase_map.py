"""Phase maps: the successes of an experiment, in columns of cells that differ only in the transition's parameter."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.lab.boundary.posterior import Boundary, Posterior, pooled_boundary
from flatmin.lab.evidence import Evidence
from flatmin.lab.runs.experiment import Experiment, key_of
from flatmin.lab.runs.store import Result

__all__ = ["Column", "PhaseMap", "Prediction", "columns_of", "columns_over", "predictions_of", "transition_parameter"]


#: A function from a column's parameters to the predicted value of the transition's parameter; None if there is none.
Prediction = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Column:
    """Cells of a phase map that differ only in the transition's parameter, such as the number of measurements.

    ``parameters`` has all other parameters, which the cells share. ``values`` has the ascending values of the
    transition's parameter, with the numbers of ``successes`` and ``trials`` at each. ``scale`` is the unit in which the
    boundary is given. Success begins at the boundary as the parameter grows, or ends there if ``falling``.
    """

    parameters: Mapping[str, Any]
    scale: float
    values: tuple[float, ...]
    successes: tuple[int, ...]
    trials: tuple[int, ...]
    falling: bool = False

    @property
    def points(self) -> Array:
        """The values of the transition's parameter, divided by the scale."""
        return np.array(self.values, float) / self.scale

    @property
    def tried(self) -> Array:
        """The entries of `points` with at least one trial."""
        return self.points[np.array(self.trials) > 0]

    @property
    def resolvable(self) -> bool:
        """Whether there are trials at two different points, which a boundary needs."""
        return np.unique(self.tried).size > 1

    @property
    def posterior(self) -> Posterior:
        """The posterior distribution of the boundary."""
        return Posterior(**self.counts)

    @property
    def boundary(self) -> Boundary | None:
        """The boundary in units of the scale; None if the column is not `resolvable`."""
        return self.posterior.boundary() if self.resolvable else None

    @property
    def counts(self) -> dict[str, Any]:
        """The arguments of `Posterior`."""
        counts = {"successes": self.successes, "trials": self.trials}
        return {"points": self.points, **counts, "falling": self.falling}


class PhaseMap:
    """The successes of an experiment with a `Transition`, column by column.

    Results that failed or lack the metric are ignored. An experiment without a transition raises `InputError`.

    Examples
    --------
    >>> from flatmin.lab import recipes
    >>> recipe = recipes.find("figure-3").quickly()
    >>> columns = PhaseMap(recipe, []).columns
    >>> sorted(columns[0].parameters), sum(columns[0].trials)
    (['d', 'method', 'panel', 'rank'], 0)
    """

    def __init__(self, experiment: Experiment, results: Iterable[Result]) -> None:
        about = experiment.transition
        along = transition_parameter(experiment)
        assert about is not None
        counts: dict[str, list[int]] = {key_of(cell): [0, 0] for cell in experiment.cells}
        for result in results:
            success, count = result.metrics.get(about.success), counts.get(result.trial.key[0])
            if count is not None and success is not None:
                count[0] += bool(success)
                count[1] += 1
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for cell in experiment.cells:
            rest = {name: value for name, value in cell.items() if name != along}
            groups.setdefault(key_of(rest), []).append(cell)
        self.columns: list[Column] = []
        for cells in groups.values():
            cells = sorted(cells, key=lambda cell: cell[along])
            common = {name: value for name, value in cells[0].items() if name != along}
            successes, trials = zip(*(counts[key_of(cell)] for cell in cells), strict=True)
            points = tuple(cell[along] for cell in cells)
            self.columns.append(Column(common, about.scale(common), points, successes, trials, about.falling))

    def select(self, **parameters: Any) -> list[Column]:
        """Return the columns with these parameters."""
        wanted = parameters.items()
        return [column for column in self.columns if all(column.parameters.get(n) == v for n, v in wanted)]

    def constant(self, level: float = 0.95, **parameters: Any) -> Boundary:
        """Return the constant c for which ``c · scale`` is the boundary of all columns with these parameters.

        The widths of the transitions may differ. The band is valid only if one constant fits all columns; compare it
        with the bands of single columns.
        """
        chosen = self.select(**parameters)
        if not chosen:
            raise InputError("no column of the map has these parameters, expected at least one")
        return pooled_boundary([column.counts for column in chosen], level)


def transition_parameter(experiment: Experiment) -> str:
    """Return the parameter of the experiment's transition, or raise `InputError` if it has no transition."""
    if experiment.transition is None:
        raise InputError(f"the recipe {experiment.name} has no transition, expected one that maps success")
    return experiment.transition.parameter


def columns_of(evidence: Evidence, **parameters: Any) -> list[Column]:
    """Return the columns with these parameters of the phase map; an empty list if the evidence has no results."""
    return PhaseMap(evidence.experiment, evidence.results).select(**parameters) if len(evidence) else []


def columns_over(evidence: Evidence, over: str) -> dict[Any, Column]:
    """Return the column at each value of the parameter ``over``, ascending; two columns at one value are an error."""
    found: dict[Any, Column] = {}
    for column in columns_of(evidence):
        if over not in column.parameters:
            there = ", ".join(sorted(column.parameters))
            raise InputError(f"a column of the map has no parameter {over!r}, expected one of {there}")
        at = column.parameters[over]
        if at in found:
            other, own = found[at].parameters, column.parameters
            differ = sorted(name for name in {*other, *own} if other.get(name) != own.get(name))
            raise InputError(
                f"there are several columns with {over} = {at!r}, which differ in {', '.join(differ)}; "
                f"expected one column; select one of them first"
            )
        found[at] = column
    return {at: found[at] for at in sorted(found, key=lambda at: (isinstance(at, str), at))}


def predictions_of(columns: Mapping[Any, Column], predicted: Prediction | None) -> dict[Any, float]:
    """Return the predicted boundary of each column for which there is a prediction, by the keys of ``columns``."""
    expected = {at: predicted(column.parameters) for at, column in columns.items()} if predicted else {}
    return {at: float(value) for at, value in expected.items() if value is not None and np.isfinite(value)}
