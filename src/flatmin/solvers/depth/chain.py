"""Solver for the flattest layers of linear networks ``X = W_N ⋯ W_1``."""

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin.parametrizations.chain import Chain
from flatmin.proofs.certificate import LARGEST_RESIDUAL, check_strength
from flatmin.proofs.depth.chain import DROPPED, chain_certificate, from_two_factors, two_factors
from flatmin.proofs.flatness import flatness
from flatmin.solution import Solution
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.task import Task, status_of

__all__ = ["chain_minimum"]


def chain_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest layers whose product fits the data, certified (see docs/theory/depth.md).

    With alpha > 0 the loss plus alpha times the trace is minimised. The solution has a closed form if the measurements
    are an isometry up to a factor. Otherwise two layers are solved as a product, at ``alpha √(d1 d2)``, and more layers
    raise `InputError`. A hidden layer that is narrower than the rank of X also raises `InputError`.
    """
    task.expect_defaults("metric_power", "max_rank", "warm_start")
    problem, metric = task.problem, task.problem.metric
    model = problem.parametrization
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # raises InputError if there is no formula
        return _two_layers(task, clock, model)
    d1, d2 = problem.shape
    require(8.0 * 8 * d1 * d2, "solving this problem")
    A, b = problem.measurement, problem.data
    U, s, Vt = np.linalg.svd(A.adjoint(b) / (A.size * gamma), full_matrices=False)
    if task.alpha > 0:
        weight = task.alpha * model.smallest_trace(gamma, metric) / gamma
        check_strength(weight, float(s.sum()) ** (2 - model.power))
        s = _shrunk(s, weight, model.power)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2))[::-1]
    kept = tails > DROPPED * np.max(tails, initial=0.0)
    U, s, V = U[:, kept], s[kept], Vt[kept].T
    factors = model.flattest(U, gamma * s, V, metric)
    if task.alpha > 0:
        dual = -problem.residual(factors) / (A.size * task.alpha * model.smallest_trace(gamma, metric) / 2)
        proof = chain_certificate(problem, factors, dual, alpha=task.alpha)
        return task.solution(clock, factors, proof, status_of(proof, clock), {})
    proof = chain_certificate(problem, factors, A.forward_factors(U, V) / A.size)
    misfit = float(np.linalg.norm(problem.residual(factors)))
    consistent = misfit <= LARGEST_RESIDUAL * float(np.linalg.norm(b))
    return task.solution(clock, factors, proof, status_of(proof, clock, consistent=consistent), {})


def _shrunk(s: Array, weight: float, power: float) -> Array:
    """Return the x ≥ 0 that minimises ``‖x − s‖² + weight · (Σ x)^power``, for s ≥ 0 in decreasing order.

    The minimiser is ``x = (s − θ)₊`` for the only root θ of ``θ = (weight · power / 2) (Σ x)^(power − 1)``.
    """
    if power == 1 or not s.any():
        return np.maximum(s - weight / 2, 0.0)
    from scipy.optimize import brentq

    def excess(theta: float) -> float:
        return float(theta - weight * power / 2 * np.maximum(s - theta, 0.0).sum() ** (power - 1))

    return np.maximum(s - float(brentq(excess, 0.0, float(s[0]), xtol=1e-16 * float(s[0]), rtol=1e-15)), 0.0)


def _two_layers(task: Task, clock: Clock, model: Chain) -> Solution:
    """Solve two layers as a product of two factors, and return the solution as layers."""
    problem, metric = task.problem, task.problem.metric
    scale = float(np.sqrt(np.prod(problem.shape)))
    found = convex_minimum(replace(task, problem=two_factors(problem), alpha=task.alpha * scale), clock)
    L, R = found.factors
    factors = model.flattest(*model.cone.decompose(metric[0] @ L, metric[1] @ R), metric)
    return replace(
        found,
        factors=factors,
        certificate=from_two_factors(problem, found.checked_certificate),
        settings=task.settings,
        flatness=flatness(problem, factors),
        parametrization=model,
    )
