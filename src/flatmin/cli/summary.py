"""What is said about a solution: as fields, and as text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from flatmin._version import __version__
from flatmin.families import Family
from flatmin.metric import Array
from flatmin.problem import Problem
from flatmin.solution import FORMAT_VERSION, Solution, Status

__all__ = ["advice", "as_json", "plain", "print_table", "summarize"]

#: An exact fit whose rank is at least this share of the largest possible one looks like noise.
NEARLY_FULL = 0.8


def summarize(
    family: Family, problem: Problem, solution: Solution, truth: Array | None, lowest: Solution | None = None
) -> dict[str, Any]:
    """Return the fields of ``summary.json``; a field that does not apply is None.

    Parameters
    ----------
    family, problem, solution : Family, Problem, Solution
        What was asked and what came out.
    truth : ndarray or None
        What is behind the data, where it is known.
    lowest : Solution or None
        What reweighting found, if it was asked for.
    """
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
        "relative_residual": solution.certificate.relative_residual,
        "scaled_trace": flat.scaled_trace,
        "hessian_trace": flat.hessian_trace,
        "fibre_minimum": flat.fibre_minimum,
        "certificate": solution.certificate.scalars(),
        "balance": flat.balance,
        "norm_excess": flat.norm_excess,
        "condition": flat.condition,
        "undetermined_rows": solution.undetermined[0],
        "undetermined_cols": solution.undetermined[1],
        "reweighted": None if lowest is None else _reweighted(family, problem, lowest, truth),
        "sigma": None,
        "seed": solution.settings.get("seed"),
        "version": __version__,
        "format_version": FORMAT_VERSION,
    }
    if truth is not None:
        summary["relative_error"] = family.relative_error(problem, solution, truth)
    return {name: plain(value) for name, value in summary.items()}


def _reweighted(family: Family, problem: Problem, lowest: Solution, truth: Array | None) -> dict[str, Any]:
    fields = {
        "rank": lowest.rank,
        "status": lowest.status.name,
        "relative_residual": lowest.certificate.relative_residual,
        "seconds": lowest.seconds,
    }
    if truth is not None:
        fields["relative_error"] = family.relative_error(problem, lowest, truth)
    return fields


def plain(value: Any) -> Any:
    """Return a value in JSON's own types: arrays and tuples as lists, NaN and infinity as None."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def as_json(fields: Mapping[str, Any]) -> str:
    """Return fields as JSON text that every parser takes."""
    return json.dumps(plain(fields), indent=2, allow_nan=False)


def advice(problem: Problem, solution: Solution) -> list[str]:
    """Return a sentence where an exact fit looks as if it fitted noise."""
    rank, (d1, d2), m = solution.rank, problem.shape, problem.measurement.size
    d1, d2 = d1 - len(solution.undetermined[0]), d2 - len(solution.undetermined[1])
    fits = solution.status in (Status.unique_flat_minimum, Status.flat_minimum, Status.inconsistent_data)
    if not fits or rank < 2 or min(d1, d2) < 3:
        return []
    fit = "best" if solution.status is Status.inconsistent_data else "exact"
    if rank >= NEARLY_FULL * min(d1, d2):
        why = f"The {fit} fit has rank {rank} where {min(d1, d2)} is the largest possible"
    elif rank * (d1 + d2 - rank) > m:
        why = f"The {fit} fit has rank {rank}, more degrees of freedom than the {m} measurements"
    else:
        return []
    strength = _noise_strength(problem, solution)
    return [f"{why}; if the data are noisy, allow for it with --alpha, for instance --alpha {strength:.1g}."]


def _noise_strength(problem: Problem, solution: Solution) -> float:
    """Return the alpha that takes the smallest singular value, mostly noise, out of the solution: a gentle start.

    The loss grows like ``c ‖Z − Z0‖²`` in ``Z = D1 X D2``, so alpha lowers singular values by ``2 alpha / c``.
    """
    _, values, _ = problem.parametrization.singular(solution.factors, problem.metric)
    return float(np.mean(problem.data**2) / np.sum(values**2) * values[: solution.rank].min() / 2)


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
