"""Fits as flat as the solution, pushed as far away as possible by SLSQP: none may lie beyond its radius.

For small problems of every model, SciPy's SLSQP maximizes the distance over matrices that fit and are as flat. It
starts near the solution. Its points miss both conditions by rounding errors, so they are compared with the radius for
their own misfit and their own flatness.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.inaccurate_rivals import MEASURED
from flatmin.measurements import Dense, Identity

__all__ = ["attack"]

#: Random starts of one problem, and steps of SLSQP from each.
STARTS, STEPS = 2, 60


def attack(seed: int) -> Verdict:
    """Maximize the distance from a solution below, at, or above the recovery threshold."""
    rng = np.random.default_rng(seed)
    problem = (_product, _signed, _gram, _split)[seed % 4](rng)
    solution = fm.flat_minimum(problem, seed=seed)
    proof = solution.certificate
    if not proof.holds or proof.radius is None:
        return Verdict(proof.holds)
    value, misfit, matrix = _conditions(problem)
    centre, size = solution.matrix, float(value(solution.matrix))
    for _ in range(STARTS):
        X = _farthest(rng, problem, centre, size, value, matrix)
        noise = misfit(X) + MEASURED * float(np.linalg.norm(problem.data))
        excess = max(0.0, value(X) / size - 1) + MEASURED
        radius, apart = proof.error_radius(noise, excess), float(np.linalg.norm(X - centre))
        if radius is not None and apart > radius:
            return Verdict(True, f"a fit as flat lies {apart:.3g} away, the radius for it is {radius:.3g}")
        if proof.unique and misfit(X) < 1e-10 and excess < 1e-10 and apart > 2e-2 * np.linalg.norm(centre):
            return Verdict(True, f"the solution is called unique, another one lies {apart:.3g} away")
    return Verdict(True)


def _conditions(problem: fm.Problem) -> tuple[Callable[..., float], Callable[..., float], Callable[..., Any]]:
    """Return the flatness and the misfit of a matrix, and the map from unknowns to matrices of the model."""
    D1, D2 = (np.asarray(D) for D in problem.metric)
    cone, (d1, d2) = problem.parametrization.cone, problem.shape
    triangle = np.triu_indices(d1)

    def flat(X: Any) -> float:
        return float(np.linalg.svd(D1 @ X @ D2, compute_uv=False).sum())

    def objective(X: Any) -> float:
        gross = np.abs(problem.data - problem.measurement.forward(X)).sum()
        return float(np.linalg.svd(X, compute_uv=False).sum() + problem.loss.weight_for(problem.shape) * gross)

    def misfit(X: Any) -> float:
        return float(np.linalg.norm(problem.measurement.forward(X) - problem.data))

    def matrix(x: Any) -> Any:
        if cone.is_semidefinite:
            return x.reshape(d1, d1) @ x.reshape(d1, d1).T
        if cone.is_hermitian:
            X = np.zeros((d1, d1))
            X[triangle] = x
            return X + X.T
        return x.reshape(d1, d2)

    if isinstance(problem.loss, fm.losses.Absolute):
        return objective, lambda X: 0.0, matrix
    return flat, misfit, matrix


def _farthest(rng: np.random.Generator, problem: fm.Problem, centre: Any, size: float, value: Any, matrix: Any) -> Any:
    """Return a matrix far from the centre that almost fits and is almost as flat."""
    d1, cone, rows = problem.shape[0], problem.parametrization.cone, problem.measurement.forward
    if cone.is_semidefinite:
        w, Q = np.linalg.eigh(centre)
        start = (Q * np.sqrt(np.maximum(w, 0))).ravel()
    else:
        start = (centre / (1 + np.eye(d1)))[np.triu_indices(d1)] if cone.is_hermitian else centre.ravel()
    start = start + 10.0 ** -rng.integers(1, 6) * np.abs(start).max() * rng.standard_normal(start.shape)
    limits = [{"type": "ineq", "fun": lambda x: 1 - value(matrix(x)) / size}]
    if not isinstance(problem.loss, fm.losses.Absolute):
        unit = float(np.linalg.norm(problem.data))
        limits.append({"type": "eq", "fun": lambda x: (rows(matrix(x)) - problem.data) / unit})
    scale = float(np.linalg.norm(centre)) or 1.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = minimize(
            lambda x: -(np.linalg.norm(matrix(x) - centre) / scale),
            start,
            constraints=limits,
            method="SLSQP",
            options={"maxiter": STEPS, "ftol": 1e-14},
        )
    return matrix(found.x) if np.all(np.isfinite(found.x)) else centre


def _product(rng: np.random.Generator) -> fm.Problem:
    d1, d2 = rng.integers(2, 5, 2)
    T = rng.integers(-5, 6, (int(rng.integers(d1 + d2 - 2, d1 * d2 + 1)), d1, d2)).astype(float)
    return _measured(Dense(T), np.outer(rng.integers(1, 5, d1), rng.integers(1, 5, d2)), fm.Product())


def _symmetric(rng: np.random.Generator, model: Any, sign: float) -> fm.Problem:
    d = int(rng.integers(2, 5))
    T = rng.integers(-5, 6, (int(rng.integers(d, d * (d + 1) // 2 + 1)), d, d)).astype(float)
    u, v = rng.integers(1, 5, d), rng.integers(-2, 3, d)
    return _measured(Dense(T + T.transpose(0, 2, 1)), np.outer(u, u) + sign * np.outer(v, v), model)


def _signed(rng: np.random.Generator) -> fm.Problem:
    return _symmetric(rng, fm.SignedGram(), -1.0)


def _gram(rng: np.random.Generator) -> fm.Problem:
    return _symmetric(rng, fm.Gram(), float(rng.integers(0, 2)))


def _split(rng: np.random.Generator) -> fm.Problem:
    d1, d2 = rng.integers(4, 7, 2)
    Y = np.outer(rng.integers(1, 4, d1), rng.integers(1, 4, d2)).astype(float)
    Y[rng.integers(0, d1), rng.integers(0, d2)] += 30
    loss = fm.losses.Absolute(weight=float(rng.uniform(0.3, 0.9)))
    return fm.Problem(Identity((int(d1), int(d2))), Y.ravel(), loss=loss)


def _measured(A: Any, X: Any, model: Any) -> fm.Problem:
    return fm.Problem(A, A.forward(X.astype(float)), model)
