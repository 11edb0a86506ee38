"""What the reports of fitted estimators share: coverage, the fit with its certificate, and how to repeat it."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flatmin._version import __version__
from flatmin.proofs.certificate import Certificate
from flatmin.report.page import Fact, Section
from flatmin.report.words import judgement, number

__all__ = [
    "certified_section",
    "coverage_fact",
    "coverage_sentence",
    "fit_section",
    "repeat_section",
    "shown_share",
    "versions",
]


def fit_section(model: str, noun: str, summary: Mapping[str, Any], proof: Certificate | None) -> Section:
    """Return the section about the fit.

    ``model`` is a sentence about what is fitted, and ``noun`` names what is predicted, such as "cells".
    """
    facts = [
        Fact("Rank", str(summary["rank"]), "of the matrix that predicts"),
        Fact("Strength", number(summary["alpha"]), "alpha of the penalised fit"),
    ]
    meaning = (
        ""
        if proof is None
        else (
            f"The certificate is a statement about the penalised fit as an optimization problem. {judgement(proof)} It "
            f"says nothing about how well missing {noun} are predicted; the errors above do."
        )
    )
    return certified_section(f"{model} {_predicts(summary['predicts'], noun)}", facts, meaning, summary, proof)


def certified_section(
    model: str, facts: list[Fact], meaning: str, summary: Mapping[str, Any], proof: Certificate | None
) -> Section:
    """Return the section about a fit that ``model`` and ``facts`` describe.

    ``meaning`` says what the certificate states. A model that was read from a file has no certificate.
    """
    if proof is None:
        where = f"The certificate of the fit is in the report of its model, in {summary['model']}."
        return Section("fit", "The fit", [model, where], facts=facts)
    gap = Fact("Relative gap", number(proof.relative_gap, 2), "between the objective and its proved lower bound")
    return Section("fit", "The fit and its certificate", [model, meaning], facts=[*facts, gap])


def coverage_fact(held_out: Mapping[str, Any], noun: str) -> Fact:
    """Return the share of held-out values in their intervals; ``noun`` names them, such as "cells"."""
    level = shown_share(held_out["confidence"])
    return Fact("Coverage", shown_share(held_out["coverage"]), f"of held-out {noun}, by intervals for {level}")


def coverage_sentence(held_out: Mapping[str, Any], noun: str) -> str:
    """Return the same as a sentence about values that were spoken of."""
    level, share = (shown_share(held_out[name]) for name in ("confidence", "coverage"))
    return f"Intervals for {level} contained {share} of these {noun}."


def repeat_section(command: str, seed: int | None) -> Section:
    """Return the section with the command, its seed, and the versions of all programs."""
    facts = [Fact("Seed", str(seed)), *versions("NumPy", "SciPy", "scikit-learn")]
    return Section("repeat", "To repeat it", code=command, facts=facts)


def versions(*packages: str) -> list[Fact]:
    """Return the versions of flatmin, Python and other packages."""
    found = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    return found + [Fact(name, version(name.lower())) for name in packages]


def shown_share(share: float | None) -> str:
    """Return a share in per cent, "–" if it is not known."""
    return "–" if share is None else f"{100 * share:.3g} %"


def _predicts(chosen: str | None, noun: str) -> str:
    """Return a sentence about the model that predicts, by its name among those that were tried on held-out data."""
    if chosen is None:
        return "This fit predicts."
    kinds = {
        "offsets": "the offsets alone",
        "refit": "a least-squares fit at the rank that was found",
        "1": "this fit, with the penalty that follows from the noise",
    }
    normal = "a normal distribution of rows, whose mean and covariance are estimated from the table"
    weaker = f"this fit, with {chosen} of the penalty that follows from the noise"
    kind = normal if chosen.startswith("normal") else kinds.get(chosen, weaker)
    return f"On held-out {noun} several models were compared, and the best one predicts: {kind}."
