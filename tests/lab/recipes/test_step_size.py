"""Step size between norm and sharpness: gradient flow and gradient descent, and claims that can fail."""

from dataclasses import replace

import numpy as np
import pytest

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import step_size
from flatmin.lab.recipes._least_sharpness import least_sharpness
from tests.lab.quick import check_finding, quick_finding
from tests.lab.recipes.test_least_sharpness import drawn

RECIPE = recipes.find("step-size")


@pytest.mark.slow
def test_the_quick_version_says_what_step_sizes_do():
    finding = quick_finding("step-size", seed=7)
    errors = [claim for claim in finding.claims if "the error at" in claim.text]
    check_finding(replace(finding, claims=[claim for claim in finding.claims if claim not in errors]), holding=7)
    assert len(errors) == 8


def test_small_steps_end_at_the_limit_of_the_flow_and_large_ones_at_no_fit():
    A, b = drawn()
    limit = np.prod(step_size.flow_limit(A, b, 0.15), axis=0)
    assert np.allclose(A @ limit, b)
    unit = 2 / least_sharpness(A, b).bound
    small, large = step_size.descend(A, b, 0.15, np.array([0.02, 1.1]) * unit)
    assert large is None
    assert np.linalg.norm(small[0] * small[1] - limit) < 0.02 * np.linalg.norm(limit)


def as_claimed(parameters, repetition):
    """Return metrics of `step_size.train` under which the claim is true: the error is smallest at share 0.5."""
    shares = (0.0, *step_size.SHARES)
    scatter = 1 + 0.01 * (repetition % 3)
    error = [scatter * (0.3 + abs(share - 0.5)) if share < 1 else None for share in shares]
    return {
        "share": list(shares),
        "fits": [share < 1 for share in shares],
        "norm": [scatter * (1.1 + share) if share < 1 else None for share in shares],
        "sharpness": [2.0 - share if share < 0.9 else 1.05 if share < 1 else None for share in shares],
        "error": error,
        **{"flow_error": error[0], "last_error": error[-2], "norm_error": 0.6, "flat_error": 0.7, "gap": 1e-3},
    }


def verdicts(**changes):
    """Return the verdicts if some metrics of every trial are replaced by functions of the claimed ones."""

    def metrics(trial):
        found = as_claimed(trial.parameters, trial.repetition)
        return found | {name: change(found) for name, change in changes.items()}

    recipe = replace(RECIPE, repetitions=8)
    return [c.verdict for c in recipe.judge(Evidence(recipe, [Result(t, metrics(t)) for t in recipe.trials()]))]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, 0),
        ({"fits": lambda found: [True] * len(found["fits"])}, 1),
        ({"norm": lambda found: [1.2 if n else None for n in found["norm"]]}, 2),
        ({"sharpness": lambda found: [1.9 if n else None for n in found["norm"]]}, 4),
        ({"norm": lambda found: [0.9 * n if n else None for n in found["norm"]]}, 1),
        ({"gap": lambda found: 0.1}, 1),
        ({"norm_error": lambda found: 0.01}, 2),
        ({"flow_error": lambda found: 0.01, "flat_error": lambda found: 0.01}, 4),
    ],
)
def test_every_claim_can_fail(changes, failing):
    found = verdicts(**changes)
    assert found.count("fails") == failing
    assert found.count("holds") == len(found) - failing


def test_without_results_nothing_is_decided():
    empty = Evidence(RECIPE, [])
    assert {claim.verdict for claim in RECIPE.judge(empty)} == {"undecided"}
    assert not RECIPE.show(empty)
