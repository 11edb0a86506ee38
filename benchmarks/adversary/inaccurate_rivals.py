"""Points of an inaccurate solver, compared with the radius for their misfit and flatness.

A proximal gradient method is stopped early. Its points can lie far beyond `Certificate.radius`, which is about exact
fits: a misfit of 1e-6 moves a point by 1e-6 over the injectivity, some hundred times more. Their distance must stay
below ``error_radius(noise, excess)``, with the misfit and the excess that they really have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import flatmin as fm
from benchmarks.adversary import Verdict
from benchmarks.adversary.integer_truths import KINDS
from flatmin.measurements import Dense, RankOne

__all__ = ["Rival", "attack", "rivals"]

#: Rounding errors of a measured misfit and of a measured flatness, relative to the data and to the value.
MEASURED = 1e-13


class Rival:
    """A matrix X with its distance from a solution, its misfit, and how much less flat it is."""

    def __init__(self, problem: fm.Problem, solution: fm.Solution, X: Any) -> None:
        data, proof = problem.data, solution.certificate
        D1, D2 = (np.asarray(D) for D in problem.metric)
        value = problem.parametrization.trace_factor * np.linalg.svd(D1 @ X @ D2, compute_uv=False).sum()
        self.distance = float(np.linalg.norm(X - solution.matrix))
        self.noise = float(np.linalg.norm(problem.measurement.forward(X) - data) + MEASURED * np.linalg.norm(data))
        self.excess = max(0.0, float(value / proof.value - 1)) + MEASURED


def rivals(seed: int) -> tuple[fm.Solution, list[Rival]]:
    """Return a solution and the points of an inaccurate solver, from start to stop."""
    rng = np.random.default_rng(seed)
    problem = _problem(rng, KINDS[seed % len(KINDS)])
    solution = fm.flat_minimum(problem)
    if not solution.certificate.holds or solution.certificate.radius is None:
        return solution, []
    D1, D2 = (np.asarray(D) for D in problem.metric)
    W1, W2 = (np.linalg.inv(D) for D in (D1, D2))
    B = (W1 @ problem.measurement.matrices() @ W2).reshape(problem.measurement.size, -1)
    step, hermitian = 1 / np.linalg.norm(B, 2) ** 2, problem.parametrization.cone.is_hermitian
    Z, found = np.zeros(problem.shape), []
    shrink = 0.1 * np.linalg.norm(D1 @ solution.matrix @ D2, 2)
    for number in range(int(rng.integers(200, 600))):
        Z = Z - step * (B.T @ (B @ Z.ravel() - problem.data)).reshape(Z.shape)
        U, s, Vt = np.linalg.svd((Z + Z.T) / 2 if hermitian else Z)
        if problem.parametrization.cone.is_semidefinite:
            s = s * (np.einsum("ij,ji->i", Vt, U) > 0)
        Z = U[:, : len(s)] * np.maximum(s - shrink, 0) @ Vt[: len(s)]
        shrink *= 0.97
        if number % 20 == 19:
            found.append(Rival(problem, solution, W1 @ Z @ W2))
    return solution, found


def attack(seed: int) -> Verdict:
    """Compare the distance of every point with the radius for its misfit and flatness."""
    solution, found = rivals(seed)
    for rival in found:
        radius = solution.certificate.error_radius(rival.noise, rival.excess)
        if radius is not None and rival.distance > radius:
            return Verdict(True, f"a point lies {rival.distance:.3g} away, the radius for it is {radius:.3g}")
    return Verdict(bool(found))


def _problem(rng: np.random.Generator, kind: str) -> fm.Problem:
    """Return a well-conditioned problem, above the recovery threshold or below it."""
    shape, r, times = (int(rng.integers(4, 8)), int(rng.integers(4, 8))), int(rng.integers(1, 3)), rng.integers(1, 4)
    if kind == "entries":
        return fm.families.matrix_completion.sample((15, 12), r, 140, seed=int(rng.integers(1000))).problem
    if kind == "product":
        return fm.families.matrix_sensing.sample(
            shape, r, int(times) * r * sum(shape) // 2, seed=int(rng.integers(1000))
        ).problem
    d = shape[0]
    T, U, v = rng.standard_normal((times * r * d, d, d)), rng.standard_normal((d, r)), rng.standard_normal((d, 1))
    A = RankOne(rng.standard_normal((6 * r * d, d))) if kind == "vectors" else Dense(T + T.transpose(0, 2, 1))
    X = U @ U.T - (kind == "signed") * v @ v.T
    return fm.Problem(A, A.forward(X), fm.SignedGram() if kind == "signed" else fm.Gram())
