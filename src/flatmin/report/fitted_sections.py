"""Sections that the reports of fitted estimators share: the fit with its certificate, and how to repeat it."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from flatmin._version import __version__
from flatmin.proofs.certificate import Certificate
from flatmin.report.page import Fact, Section
from flatmin.report.words import judgement, number

__all__ = ["fit_section", "repeat_section", "shown_share"]


def fit_section(model: str, noun: str, summary: Mapping[str, Any], proof: Certificate | None) -> Section:
    """Return the section about the fit.

    ``model`` is a sentence about what is fitted, and ``noun`` names what is predicted, such as "cells".
    """
    prose = [f"{model} {_predicts(summary['predicts'], noun)}"]
    facts = [
        Fact("Rank", str(summary["rank"]), "of the matrix that predicts"),
        Fact("Strength", number(summary["alpha"]), "alpha of the penalised fit"),
    ]
    if proof is None:
        prose.append(f"The certificate of the fit is in the report of its model, in {summary['model']}.")
        return Section("fit", "The fit", prose, facts=facts)
    prose.append(
        f"The certificate is a statement about the penalised fit as an optimization problem. {judgement(proof)} It "
        f"says nothing about how well missing {noun} are predicted; the errors above do."
    )
    facts.append(
        Fact("Relative gap", number(proof.relative_gap, 2), "between the objective and its proved lower bound")
    )
    return Section("fit", "The fit and its certificate", prose, facts=facts)


def repeat_section(command: str, seed: int | None) -> Section:
    """Return the section with the command, its seed, and the versions of all programs."""
    versions = [Fact("flatmin", __version__), Fact("Python", platform.python_version())]
    versions += [Fact(name, version(name.lower())) for name in ("NumPy", "SciPy", "scikit-learn")]
    return Section("repeat", "To repeat it", code=command, facts=[Fact("Seed", str(seed)), *versions])


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
