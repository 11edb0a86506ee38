"""The table that ``flatmin recover`` prints: fit, flatness, uniqueness and the files of results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flatmin import families
from flatmin._core.facts import at_most
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.report.vocabulary import Vocabulary, vocabulary_of
from flatmin.report.words import unique_phrase, unique_word, verdict
from flatmin.solution import Noise, Solution

__all__ = ["recovery_rows"]


def recovery_rows(problem: Problem, solution: Solution, summary: Mapping[str, Any], results: str) -> dict[str, str]:
    """Return the rows of the table by name."""
    proof = solution.checked_certificate
    terms = vocabulary_of(problem, proof, solution.settings.get("metric_power", 1.0))
    result = verdict(solution.status, terms, proof.unique)
    rows = {
        "status": f"{solution.status.name}: {result.headline} {result.advice}".strip(),
        "rank": _rank(solution),
        "fit": f"relative residual {proof.relative_residual:.1e}",
        "flatness": f"relative gap {proof.relative_gap:.1e}",
        "unique": _uniqueness(proof, terms),
    }
    if terms.determined:
        rows["flatness"] += "; all solutions that fit are equally flat"
    if proof.scope:
        rows["among"] = proof.scope
    if proof.radius is not None and (radius := _radius(solution, proof.radius)):
        rows["certified radius"] = radius
    rows["scaled trace"] = f"{summary['scaled_trace']:.6g}"
    rows["seconds"] = f"{solution.seconds:.2f}"
    if summary.get("relative_error") is not None:
        rows["relative error"] = f"{summary['relative_error']:.6g}"
    if solution.noise is not None:
        rows["noise"] = _level(solution.noise)
        rows["refit, not certified"] = _refit(solution.noise, summary["noise"])
    if summary["reweighted"] is not None:
        rows["lowest rank found, not flat"] = _reweighted(summary["reweighted"])
    for name, what in families.find(summary["family"]).unseen.items():
        if summary[name]:
            rows[what] = f"{len(summary[name])}, filled with zeros"
    return rows | {"results": results}


def _rank(solution: Solution) -> str:
    if solution.signature is None:
        return str(solution.rank)
    plus, minus = solution.signature
    return f"{solution.rank} ({plus} positive, {minus} negative)"


def _uniqueness(proof: Certificate, terms: Vocabulary) -> str:
    words = unique_word(proof.unique)
    if proof.unique is not None:
        words = f"{words}: {unique_phrase(proof.unique, terms)}"
    if proof.margin is None:
        return words
    kind = ", estimated" if proof.margin_kind == "estimated" else ""
    return f"{words} (margin {proof.margin:.2g}{kind})"


def _radius(solution: Solution, radius: float) -> str:
    """Return the radius in words, or nothing if it is far beyond the size of the matrix and so says nothing."""
    model = solution.parametrization
    size = float(np.linalg.norm(model.cone.decompose(*model.pair(solution.factors))[1]))
    if 0 < 100 * size < radius:
        return ""
    return f"{at_most(radius, 2)}, relatively {at_most(radius / size, 2)}" if size else at_most(radius, 2)


def _level(noise: Noise) -> str:
    if noise.sigma is None:
        return "unknown: matrices of the refit's rank fit any data"
    return f"{noise.sigma:.3g} ± {noise.std_error:.1g} in every measurement; alpha = {noise.alpha:.3g}"


def _refit(noise: Noise, fields: Mapping[str, Any]) -> str:
    text = f"rank {noise.rank}"
    if not noise.agrees:
        text += f", and {noise.penalised_rank} by the penalty"
    if fields.get("relative_error") is not None:
        text += f", relative error {fields['relative_error']:.6g}"
    return text


def _reweighted(fields: Mapping[str, Any]) -> str:
    text = f"rank {fields['rank']}, relative residual {fields['relative_residual']:.1e}"
    if fields.get("relative_error") is not None:
        text += f", relative error {fields['relative_error']:.1e}"
    return f"{text}; in reweighted.npz"
