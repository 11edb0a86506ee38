"""Phase maps of a function: its share of successes, or its mean, over a grid of two parameters."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from flatmin._core.files import atomic_path, check_writable
from flatmin._core.validation import whole_number
from flatmin.errors import InputError
from flatmin.lab.boundary.posterior import Boundary
from flatmin.lab.displays.base import Display
from flatmin.lab.displays.curves import CurvesDisplay
from flatmin.lab.displays.figure_files import PNG_RESOLUTION, sheet
from flatmin.lab.displays.levels import level_text
from flatmin.lab.displays.phase_map import PhaseMapDisplay
from flatmin.lab.displays.summary import Summary, summarise
from flatmin.lab.evidence import Evidence
from flatmin.lab.functions.function_experiment import VALUE, FunctionExperiment
from flatmin.lab.runs.executors import Processes, Serial
from flatmin.lab.runs.experiment import Transition
from flatmin.lab.runs.store import Store
from flatmin.lab.runs.sweep import sweep
from flatmin.report.words import counted

__all__ = ["FunctionMap", "phase_map"]

#: The endings of files that hold the figure.
PICTURES = (".png", ".svg", ".pdf")


def phase_map(
    function: Callable[..., Any],
    grid: Mapping[str, Sequence[Any]],
    *,
    repetitions: int = 10,
    seed: int = 0,
    jobs: int = 1,
    store: str | Path | None = None,
    title: str = "",
    callback: Callable[[dict[str, Any]], None] | None = None,
) -> FunctionMap:
    """Evaluate a random function over a grid of two parameters, and map its share of successes, or its mean.

    Parameters
    ----------
    function : callable
        ``function(first, second, seed)``, called with keywords, returns whether it succeeded, or a number. ``seed`` is
        a whole number below 2³² for all its random choices. A repetition that raises an error counts as failed, and is
        left out.
    grid : mapping of two names to values
        The two parameters. The first one is on the horizontal axis, and its values are numbers or words. The second
        one, whose values are numbers, is on the vertical axis; the boundary between failure and success is estimated
        along it.
    repetitions : int
        Number of evaluations at each point, with independent seeds.
    seed : int
        The number from which all seeds are derived.
    jobs : int
        Number of processes.
    store : path, optional
        A file that keeps every result, so that an interrupted map goes on, and a larger one computes only what is
        missing. The function must then be defined at the top level of a module; a change of its code begins anew.
    title : str
        The title of the figure; by default the first line of the function's docstring, or its name.
    callback : callable, optional
        Called after each evaluation with a dict of counts, as in `flatmin.lab.sweep`.

    Raises
    ------
    InputError
        If an argument cannot be used, or every evaluation failed; the message then has the first error.

    Examples
    --------
    >>> from flatmin.lab import phase_map
    >>> def recovers(rank, m, seed):
    ...     return m + seed % 5 > 10 * rank
    >>> found = phase_map(recovers, {"rank": [1, 2], "m": range(5, 30, 5)}, repetitions=20)
    >>> print(found.estimates[1, 5].value, found.estimates[1, 15].value)
    0.0 1.0
    >>> [f"{boundary.value:.0f}" for boundary in found.boundaries.values()]
    ['9', '19']
    """
    experiment = FunctionExperiment.from_function(function, grid, repetitions, seed, title, kept=store is not None)
    executor = Serial() if whole_number(jobs, "jobs", 1) == 1 else Processes(jobs)
    with Store(store) if isinstance(store, str | Path) or store is None else nullcontext(store) as opened:
        results = sweep(experiment, opened, executor=executor, callback=callback).results
    evidence = Evidence(experiment, results)
    if not len(evidence):
        raise InputError(f"every evaluation of the function failed, the first with: {evidence.failed[0].reason}")
    kinds = sorted({type(result.metrics[VALUE]).__name__ for result in evidence.results})
    if ("bool" in kinds and len(kinds) > 1) or not set(kinds) <= {"bool", "int", "float"}:
        raise InputError(f"the function returned {' and '.join(kinds)}, expected a truth value, or a number, each time")
    return FunctionMap(evidence)


@dataclass(frozen=True, eq=False)
class FunctionMap:
    """The results of `phase_map`; ``evidence`` has every evaluation.

    Examples
    --------
    >>> from flatmin.lab import phase_map
    >>> def recovers(rank, m, seed):
    ...     return m + seed % 5 > 10 * rank
    >>> found = phase_map(recovers, {"rank": [1, 2], "m": range(5, 30, 5)}, repetitions=5)
    >>> found.parameters, found.estimates[1, 25].value
    (('rank', 'm'), 1.0)
    """

    evidence: Evidence

    @property
    def parameters(self) -> tuple[str, str]:
        """The names of the horizontal and the vertical parameter."""
        over, along = self.evidence.planned.columns
        return over, along

    @cached_property
    def estimates(self) -> dict[tuple[Any, Any], Summary]:
        """The share of successes with Wilson's 95 % interval, or the mean with Student's, at every point.

        A `Summary` has ``value``, ``low``, ``high`` and ``trials``. Points at which every evaluation failed are absent.
        """
        parts = self.evidence.split(*self.parameters).items()
        found = {point: summarise(part.values(VALUE)) for point, part in parts}
        return {point: summary for point, summary in found.items() if summary is not None}

    @property
    def counts_successes(self) -> bool:
        """Whether the function returns truth values."""
        return self.evidence.values(VALUE).dtype == bool

    @property
    def boundaries(self) -> dict[Any, Boundary]:
        """Where half of the evaluations succeed, along the second parameter, at each value of the first one.

        Each `Boundary` has ``value``, ``low`` and ``high``, a 95 % band. A value whose band reaches beyond the grid is
        absent, and there are none if the function returns numbers.
        """
        return self.display.boundaries if isinstance(self.display, PhaseMapDisplay) else {}

    @cached_property
    def display(self) -> Display:
        """The figure: a phase map of truth values, or curves of means of numbers."""
        (over, along), title = self.parameters, self.evidence.planned.title
        if not self.counts_successes:
            return CurvesDisplay.from_evidence(self.evidence, "map", title, x=along, y=VALUE, by=over, y_label="mean")
        transition = Transition(along, VALUE, lambda parameters: 1.0, falling=self._falls)
        mapped = Evidence(replace(self.evidence.planned, transition=transition), self.evidence.results)
        return PhaseMapDisplay.from_evidence(mapped, "map", title, over=over)

    @property
    def _falls(self) -> bool:
        """Whether the share of successes falls along the second parameter, by the sign of their covariance."""
        along = np.array([result.trial.parameters[self.parameters[1]] for result in self.evidence.results], float)
        return bool((along - along.mean()) @ self.evidence.values(VALUE) < 0)

    def table(self) -> tuple[list[str], list[Sequence[Any]]]:
        """Return the head of a table and its rows, one for each point: parameters, trials, estimate, interval."""
        estimate = "share" if self.counts_successes else "mean"
        rows: list[Sequence[Any]] = [
            (*point, each.trials, each.value, each.low, each.high) for point, each in self.estimates.items()
        ]
        return [*self.parameters, "trials", estimate, "low", "high"], rows

    def plot(self, ax: Any = None) -> Display:
        """Draw the figure into Matplotlib axes, or into new ones; ``figure_`` and ``ax_`` of the result are theirs."""
        return self.display.plot(ax)

    def save(self, file: str | Path) -> Path:
        """Write the figure (.png, .svg, .pdf) or the table (.csv), and return the path; bad paths are `InputError`."""
        file = Path(file)
        if file.suffix not in (*PICTURES, ".csv"):
            raise InputError(f"{file} has the ending {file.suffix!r}, expected .csv, {', '.join(PICTURES)}")
        check_writable(file, "the file")
        with atomic_path(file) as temporary:
            if file.suffix == ".csv":
                head, rows = self.table()
                with temporary.open("w", newline="", encoding="utf-8") as stream:
                    csv.writer(stream, lineterminator="\n").writerows([head, *rows])
            else:
                sheet([self.display]).savefig(temporary, format=file.suffix[1:], dpi=PNG_RESOLUTION)
        return file

    def __str__(self) -> str:
        """Return the title, the numbers of points and evaluations, and the boundaries."""
        evidence, (over, along) = self.evidence, self.parameters
        lines = [
            f"{evidence.planned.title}: {counted(len(self.estimates), 'point')}, {counted(len(evidence), 'evaluation')}"
        ]
        if evidence.failed:
            failed = counted(len(evidence.failed), "further evaluation")
            lines.append(f"{failed} failed, the first with: {evidence.failed[0].reason}")
        lines += [
            f"{over} = {level_text(at)}: half succeed at {along} = {found}" for at, found in self.boundaries.items()
        ]
        return "\n".join(lines)
