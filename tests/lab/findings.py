"""Evidence that no sweep made, of recipes with claims of every verdict and a figure of every kind."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from flatmin.lab import Evidence, PhaseMap, Result
from flatmin.lab.claims import Claim
from flatmin.lab.displays import BoundaryDisplay, CurvesDisplay, PhaseMapDisplay, ScatterDisplay
from flatmin.lab.runs.provenance import Environment, Provenance
from tests.lab.experiments import is_shown, known, mapped, recipe_of
from tests.report.test_page import check as check_without_script

#: A reason that would be markup if it were not escaped.
EVIL = "ValueError: <script>alert(1)</script> & <img src=x> (made.py, line 3)"
MAKER = {"flatmin": "0.1.0", "python": "3.11", "numpy": "2.4", "scipy": "1.17", "machine": "Linux", "library": "abc"}
PROVENANCE = {
    "mapped": Provenance(("a.db", "b.db"), (Environment(MAKER, 300), Environment({}, 2)), 1.7e9, 1.71e9, repeated=4)
}


def judge_map(evidence):
    """Return a claim that holds, one that fails and one that is open."""
    if not len(evidence):
        return [Claim.open("the boundary in multiples of d", below=3)]
    boundary = PhaseMap(evidence.experiment, evidence.results).constant()
    text = "The boundary of success, in multiples of the dimension, over all dimensions from 40 to 100 at once,"
    return [
        Claim(f"{text} lies below 3", boundary.value, boundary.low, boundary.high, below=3),
        Claim(f"{text} lies above 5", boundary.value, boundary.low, boundary.high, above=5),
        Claim.open("the share of draws of dimension 1000 that succeed", above=0.5),
    ]


def show_map(evidence):
    """Return a heat map and a boundary."""
    if not len(evidence):
        return []
    return [
        PhaseMapDisplay.from_evidence(evidence, "map", "Share of successes", predicted=lambda parameters: 2.0),
        BoundaryDisplay.from_evidence(evidence, "boundary", "Boundary over the dimension", caption="With its band."),
    ]


def judge_curves(evidence):
    """Return a claim that holds by an exact number."""
    return [Claim.exact("the largest error", max(evidence.values("error")), below=1)] if len(evidence) else []


def show_curves(evidence):
    """Return lines and points."""
    if not len(evidence):
        return []
    return [
        CurvesDisplay.from_evidence(
            evidence, "error", "Error over noise", x="noise", y="error", by="method", y_log=True
        ),
        ScatterDisplay.from_evidence(evidence, "cloud", "Error and gap", x="gap", y="error", by="method"),
    ]


def of_map():
    """Return evidence about a boundary at 2 d."""
    recipe = mapped(repetitions=4, judge=judge_map, show=show_map)
    return Evidence(
        recipe, [Result(t, is_shown(t.parameters, t.seed), 0.5 + t.repetition / 10) for t in recipe.trials()]
    )


def of_curves():
    """Return evidence with failures, of a recipe whose title and name would be markup."""
    recipe = recipe_of(
        known,
        grid=[{"method": ["flat", "nuclear", "<b>"], "noise": [0.1, 0.2, 0.4]}],
        repetitions=5,
        paired=("method",),
        judge=judge_curves,
        show=show_curves,
    )
    about = "Errors & <i>noise</i>\n\nClaim: a < b.\n\nRefuted by: a > b.\n"
    recipe = replace(recipe, name="curves", about=about)
    results = []
    for index, trial in enumerate(recipe.trials()):
        size = float(np.random.default_rng(trial.seed).gamma(20)) / 100
        error = size * trial.parameters["noise"] * (1 + (trial.parameters["method"] == "nuclear"))
        reason = EVIL if index % 11 == 3 else None
        results.append(Result(trial, {} if reason else {"error": error, "gap": size}, 3.0, reason))
    return Evidence(recipe, results)


def of_nothing():
    """Return evidence that is only failures, of a recipe that judges nothing."""
    recipe = replace(recipe_of(known, count=2), name="lost")
    return Evidence(recipe, [Result(trial, {}, 1.0, "MemoryError: no memory") for trial in recipe.trials()])


def all_evidence():
    """Return all of it."""
    return [of_curves(), of_nothing(), of_map()]


SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)


def check(html: str) -> str:
    """Assert that a page is sound, with one script of its own at most, and return its text."""
    assert html.count("<script") <= 1
    return check_without_script(SCRIPT.sub("", html))
