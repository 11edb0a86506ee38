"""What ``flatmin recover`` prints: how well it fits, what is proved, and where the results are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flatmin.certificates import trace_is_determined
from flatmin.metric import Array
from flatmin.problem import Problem
from flatmin.report.words import unique_phrase, unique_word
from flatmin.solution import Solution

__all__ = ["outcome"]

#: What is known about other solutions where all those that fit are equally flat.
AMONG_FITS = {
    True: "any other solution that fits lies within about 0.1 % of it",
    False: "another solution fits as well",
    None: "whether another solution fits is undecided",
}


def outcome(problem: Problem, solution: Solution, summary: Mapping[str, Any], results: str) -> dict[str, str]:
    """Return the rows of the table: fit, flatness and uniqueness are separate facts."""
    proof, status = solution.certificate, solution.status
    rows = {
        "status": f"{status.name}: {status.value}",
        "rank": _rank(solution),
        "fit": f"relative residual {proof.relative_residual:.1e}",
        "flatness": f"relative gap {proof.relative_gap:.1e}",
        "unique": _uniqueness(problem, solution),
    }
    if trace_is_determined(problem):
        rows["flatness"] += "; all solutions that fit are equally flat"
    if proof.radius is not None:
        rows["certified radius"] = _radius(solution, proof.radius)
    rows["scaled trace"] = f"{summary['scaled_trace']:.6g}"
    rows["seconds"] = f"{solution.seconds:.2f}"
    if summary.get("relative_error") is not None:
        rows["relative error"] = f"{summary['relative_error']:.6g}"
    if summary["reweighted"] is not None:
        rows["lowest rank found, not flat"] = _reweighted(summary["reweighted"])
    for name, what in (("undetermined_rows", "rows"), ("undetermined_cols", "columns")):
        if summary[name]:
            rows[f"unobserved {what}"] = f"{len(summary[name])}, filled with zeros"
    return rows | {"results": results}


def _rank(solution: Solution) -> str:
    if solution.signature is None:
        return str(solution.rank)
    plus, minus = solution.signature
    return f"{solution.rank} ({plus} positive, {minus} negative)"


def _uniqueness(problem: Problem, solution: Solution) -> str:
    proof = solution.certificate
    phrase = AMONG_FITS[proof.unique] if trace_is_determined(problem) else unique_phrase(proof.unique)
    words = unique_word(proof.unique) if proof.unique is None else f"{unique_word(proof.unique)}: {phrase}"
    if proof.margin is None:
        return words
    kind = ", estimated" if proof.margin_kind == "estimated" else ""
    return f"{words} (margin {proof.margin:.2g}{kind})"


def _radius(solution: Solution, radius: float) -> str:
    model = solution.parametrization
    size = float(np.linalg.norm(_singular_values(solution)))
    relative = f", {radius / size:.1e} of ‖X‖" if size else ""
    what = "fits as well" if model.cone == "semidefinite" else "fits and is as flat"
    return f"{radius:.1e}{relative}: no matrix farther from X {what}"


def _singular_values(solution: Solution) -> Array:
    model = solution.parametrization
    return model.decompose(*model.pair(solution.factors))[1]


def _reweighted(fields: Mapping[str, Any]) -> str:
    text = f"rank {fields['rank']}, relative residual {fields['relative_residual']:.1e}"
    if fields.get("relative_error") is not None:
        text += f", relative error {fields['relative_error']:.1e}"
    return f"{text}; in reweighted.npz"
