"""Step size between norm and sharpness: both ends against independent oracles, and claims that can fail."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

import flatmin as fm
from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import step_size
from flatmin.lab.recipes._least_sharpness import least_sharpness, least_weighted_norm, sharpness
from tests.lab.quick import check_finding, quick_finding

RECIPE = recipes.find("step-size")


def drawn(n=12, m=6, seed=2):
    problem = fm.families.sparse_regression.sample(n, 2, m, seed=seed).problem
    return problem.measurement.matrices()[:, :, 0], problem.data


@pytest.mark.slow
def test_the_quick_version_says_what_step_sizes_do():
    finding = quick_finding("step-size", seed=7)
    errors = [claim for claim in finding.claims if "the error at" in claim.text]
    check_finding(replace(finding, claims=[claim for claim in finding.claims if claim not in errors]), holding=7)
    assert len(errors) == 8


def test_the_least_sharpness_is_the_one_of_a_semidefinite_programme():
    cvxpy = pytest.importorskip("cvxpy")
    A, b = drawn()
    found = least_sharpness(A, b)
    x, size = cvxpy.Variable(12), cvxpy.Variable(12)
    constraints = [A @ x == b, cvxpy.abs(x) <= size]
    least = cvxpy.Problem(cvxpy.Minimize(cvxpy.lambda_max(A @ cvxpy.diag(size) @ A.T)), constraints)
    value = 4 / 6 * least.solve(solver="CLARABEL")
    assert found.bound <= value * (1 + 1e-7)
    assert found.value >= value * (1 - 1e-7)
    assert found.value <= 1.002 * found.bound
    assert np.allclose(A @ found.x, b)
    root = np.sqrt(np.abs(found.x))
    assert sharpness(A, np.sign(found.x) * root, root) == pytest.approx(found.value)


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian():
    rng = np.random.default_rng(0)
    A, u, v = rng.standard_normal((3, 4)), *rng.standard_normal((2, 4))
    b = A @ (u * v)

    def slope(w):
        residual = A @ (w[:4] * w[4:]) - b
        return 2 / 3 * np.concatenate([w[4:] * (A.T @ residual), w[:4] * (A.T @ residual)])

    w = np.concatenate([u, v])
    hessian = [(slope(w + 1e-6 * e) - slope(w - 1e-6 * e)) / 2e-6 for e in np.eye(8)]
    assert sharpness(A, u, v) == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-7)


def test_a_weighted_norm_is_the_one_of_a_linear_programme():
    A, b = drawn()
    weights = np.random.default_rng(1).uniform(0.5, 2.0, 12)
    x, bound = least_weighted_norm(A, b, weights)
    best = linprog(np.concatenate([weights, weights]), A_eq=np.hstack([A, -A]), b_eq=b).fun
    assert np.allclose(A @ x, b)
    assert weights @ np.abs(x) == pytest.approx(best)
    assert bound == pytest.approx(best)


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
