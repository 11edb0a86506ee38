"""The fields of ``summary.json``, and their output as JSON and as a table."""

import json
import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._version import __version__
from flatmin.cli.output import SUMMARY_VERSION
from flatmin.families import Family
from flatmin.problem import Problem
from flatmin.solution import Solution

__all__ = ["as_json", "plain", "print_outcome", "print_table", "summarize"]


def summarize(
    family: Family, problem: Problem, solution: Solution, truth: Array | None, lowest: Solution | None = None
) -> dict[str, Any]:
    """Return the fields of ``summary.json``, None if one does not apply; ``lowest`` is the solution of --reweight."""
    flat = solution.flatness
    summary = {
        "family": family.name,
        "shape": family.unknown_shape(problem),
        "n_measurements": problem.measurement.size,
        "rank": solution.rank,
        "signature": solution.signature,
        "status": solution.status.name,
        "seconds": solution.seconds,
        "iterations": solution.iterations,
        "relative_residual": solution.checked_certificate.relative_residual,
        "scaled_trace": flat.scaled_trace,
        "hessian_trace": flat.hessian_trace,
        "fibre_minimum": flat.fibre_minimum,
        "certificate": solution.checked_certificate.scalars(),
        "balance": flat.balance,
        "norm_excess": flat.norm_excess,
        "condition": flat.condition,
        "undetermined_rows": solution.undetermined[0],
        "undetermined_cols": solution.undetermined[1],
        "reweighted": None if lowest is None else _reweighted(family, problem, lowest, truth),
        "sigma": None if solution.noise is None else solution.noise.sigma,
        "noise": None if solution.noise is None else _noise(family, problem, solution, truth),
        "seed": solution.settings.get("seed"),
        "version": __version__,
        "format_version": SUMMARY_VERSION,
    }
    if truth is not None:
        summary["relative_error"] = family.relative_error(problem, solution, truth)
    return {name: plain(value) for name, value in summary.items()}


def _reweighted(family: Family, problem: Problem, lowest: Solution, truth: Array | None) -> dict[str, Any]:
    fields = {
        "rank": lowest.rank,
        "status": lowest.status.name,
        "relative_residual": lowest.checked_certificate.relative_residual,
        "seconds": lowest.seconds,
    }
    if truth is not None:
        fields["relative_error"] = family.relative_error(problem, lowest, truth)
    return fields


def _noise(family: Family, problem: Problem, solution: Solution, truth: Array | None) -> dict[str, Any]:
    """Return the fields about the noise. The field of the relative error is about the refit."""
    assert solution.noise is not None
    fields = dict(solution.noise.scalars())
    if truth is not None:
        refit = replace(solution, factors=solution.noise.refit, parts={})
        fields["relative_error"] = family.relative_error(problem, refit, truth)
    return fields


def plain(value: Any) -> Any:
    """Return a value with JSON's types: arrays and tuples become lists, NaN and infinity None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(fields: Mapping[str, Any]) -> str:
    """Return fields as standard JSON text."""
    return json.dumps(plain(fields), indent=2, allow_nan=False)


def print_table(rows: Mapping[str, Any], title: str | None = None) -> None:
    """Print names and values in two columns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, title=title, title_justify="left", pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(name), Text(_text(value)))
    Console(highlight=False).print(table)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float | np.floating) else str(value)


def print_outcome(
    summary: Mapping[str, Any], rows: Mapping[str, Any], notes: Iterable[str], *, json: bool, quiet: bool
) -> None:
    """Print the outcome of a command: JSON or a table of ``rows`` on stdout, and notes on stderr.

    ``quiet`` leaves out the table and the notes.
    """
    if json:
        print(as_json(summary))
    elif not quiet:
        print_table(rows)
    if not quiet:
        for note in notes:
            print(f"flatmin: {note}", file=sys.stderr)
