"""Sharpness by depth: the formulas against dense Hessians and descent, and claims that can fail."""

from dataclasses import replace
from functools import reduce
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize

from flatmin.lab import Evidence, Result, recipes
from flatmin.lab.recipes import sharpness_depth
from tests.lab.quick import quick_finding

RECIPE = recipes.find("sharpness-depth")


def product(layers):
    return reduce(lambda X, W: W @ X, layers)


def dense_sharpness(layers, C):
    """Return the largest eigenvalue of the Hessian of ``tr((X − Y) C (X − Y)ᵀ)``, Y the product, by differences."""
    target, ends = product(layers), np.cumsum([W.size for W in layers])[:-1]

    def change(flat):
        moved = [p.reshape(W.shape) for p, W in zip(np.split(flat, ends), layers, strict=True)]
        return ((product(moved) - target) @ np.linalg.cholesky(C)).ravel()

    flat = np.concatenate([W.ravel() for W in layers])
    slopes = np.array([(change(flat + 1e-6 * e) - change(flat - 1e-6 * e)) / 2e-6 for e in np.eye(flat.size)])
    return 2 * np.linalg.eigvalsh(slopes @ slopes.T)[-1]


def drawn(shapes, seed=0):
    rng = np.random.default_rng(seed)
    factor = rng.standard_normal((shapes[0][1], 6))
    return [rng.standard_normal(shape) for shape in shapes], factor @ factor.T / 6


@pytest.mark.parametrize("shapes", [[(4, 3), (2, 4), (1, 2)], [(3, 3), (2, 3)], [(2, 3), (4, 2), (3, 4), (2, 3)]])
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(shapes):
    layers, C = drawn(shapes)
    assert sharpness_depth.chain_sharpness(layers, C) == pytest.approx(dense_sharpness(layers, C), rel=1e-6)


@pytest.mark.parametrize("depth", [2, 5])
def test_aligned_layers_have_the_sharpness_of_the_formula(depth):
    (w,), C = drawn([(1, 3)])
    size, rng = np.linalg.norm(w), np.random.default_rng(1)
    units = [w[0] / size, *(u / np.linalg.norm(u) for u in rng.standard_normal((depth - 1, 4))), np.ones(1)]
    layers = [size ** (1 / depth) * np.outer(units[i + 1], units[i]) for i in range(depth)]
    assert np.allclose(product(layers), w)
    assert sharpness_depth.aligned(C, w, depth) == pytest.approx(dense_sharpness(layers, C), rel=1e-6)


def test_no_minimum_of_three_layers_is_below_the_bound():
    """A direct search for the flattest layers of one w stays above the bound."""
    (w,), C = drawn([(1, 3)])
    w = w / np.linalg.norm(w)
    bound = 6 * float((w @ C @ w.T).item())

    def value(flat):
        first, second = np.eye(3) + flat[:9].reshape(3, 3), np.exp(flat[9]) * np.eye(3) + flat[10:19].reshape(3, 3)
        last = w @ np.linalg.inv(second @ first)
        return sharpness_depth.chain_sharpness([first, second, last], C)

    start = 0.1 * np.random.default_rng(0).standard_normal(19)
    found = minimize(value, start, method="Powell", options={"maxfev": 3000}).fun
    assert bound <= found <= 2 * value(start)


def test_gradient_flow_conserves_balance_and_fits():
    layers, C = drawn([(4, 3), (4, 4), (1, 4)])
    (w,), _ = drawn([(1, 3)], seed=1)
    layers = [0.3 * W for W in layers]
    found = sharpness_depth.ChainLoss(layers, C, w).limit()
    assert np.linalg.norm((product(found) - w) @ C) <= 1e-6
    before, after = ([V.T @ V - W @ W.T for W, V in pairwise(some)] for some in (layers, found))
    assert all(np.allclose(x, y, atol=1e-6) for x, y in zip(before, after, strict=True))


@pytest.mark.slow
def test_the_quick_version_finds_no_minimum_below_the_bound():
    finding = quick_finding("sharpness-depth", seed=3)
    assert not finding.trouble
    assert finding.claims[0].verdict == "holds"
    assert "fails" not in {claim.verdict for claim in finding.claims if "exponent" not in claim.text}
    assert len(finding.displays) == 5


def verdicts(**changes):
    """Return the verdicts if every ratio is near one, and some metrics are replaced by functions of depth."""
    recipe = replace(RECIPE, repetitions=3)
    results = []
    for trial in recipe.trials():
        flow = 1.001 + 1e-4 * trial.repetition
        found = {"aligned": 1.0, "flow": flow, "changed": 20.0 + trial.repetition, "gap": 0.0}
        found |= {name: change(trial.parameters) for name, change in changes.items()}
        results.append(Result(trial, found))
    return [claim.verdict for claim in recipe.judge(Evidence(recipe, results))]


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({}, 0),
        ({"flow": lambda at: 0.99}, 1),
        ({"flow": lambda at: 1.01 * at["depth"], "aligned": lambda at: at["depth"]}, 4),
        ({"flow": lambda at: 3 / at["depth"], "aligned": lambda at: 3 / at["depth"]}, 5),
        ({"flow": lambda at: 1.0 + 0.03 * at["width"]}, 4),
        ({"flow": lambda at: None}, 1),
        ({"changed": lambda at: 2.0 + 0.01 * at["width"]}, 1),
        ({"gap": lambda at: 0.1}, 1),
    ],
)
def test_every_claim_can_fail(changes, failing):
    assert verdicts(**changes).count("fails") == failing


def test_without_results_nothing_is_decided():
    empty = Evidence(RECIPE, [])
    assert {claim.verdict for claim in RECIPE.judge(empty)} == {"undecided"}
    assert not RECIPE.show(empty)
