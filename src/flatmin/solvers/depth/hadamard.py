"""Flat solutions of sparse regression ``x = u_1 ∘ … ∘ u_N``, and their certificates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.linalg.subspaces import EPS
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.problem import Problem
from flatmin.proofs.certificate import LARGEST_GAP, Certificate, Fit, check_strength, ratio
from flatmin.solution import Solution
from flatmin.solvers.depth.power_norm import dual_power_norm, minimise_power_norm, penalised_bound
from flatmin.solvers.depth.power_uniqueness import nearby_minimisers, nearby_penalised
from flatmin.solvers.task import Task, status_of

__all__ = ["hadamard_certificate", "hadamard_factors", "hadamard_minimum", "hadamard_whitened"]


def hadamard_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest x with ``A x = b``, certified: the minimiser of ``2N Σ_j w_j |x_j|^(2 − 2/N)``.

    With alpha > 0 it minimises ``(1/m) ‖A x − b‖² + 2N alpha Σ_j w_j |x_j|^(2 − 2/N)``: for two factors the lasso with
    weights, for more of them something between the lasso and ridge regression.
    """
    task.expect_defaults("metric_power", "max_rank", "warm_start")
    problem, model = task.problem, task.problem.parametrization
    assert isinstance(model, Hadamard)
    m, n = problem.measurement.size, problem.shape[0]
    require(8.0 * (5 * m * n + 3 * min(m, n) ** 2), "solving this problem")
    with one_thread():
        B, units = hadamard_whitened(problem)
        noise = model.depth * task.alpha * m
        found = minimise_power_norm(B, problem.data, model.power, clock, task.limits.callback, noise=noise)
        factors = hadamard_factors(problem, units * found.z)
        proof = hadamard_certificate(problem, factors, found.dual, alpha=task.alpha)
    status = status_of(proof, clock, consistent=found.consistent, converged=found.converged)
    return task.solution(clock, factors, proof, status, found.history)


def hadamard_certificate(
    problem: Problem, factors: Factors, dual: Array, *, alpha: float = 0.0, look_further: bool = True
) -> Certificate:
    """Return what a dual vector λ proves about a solution.

    With ``s_j = (Aᵀλ)_j w_j^(−1/p)`` and ``1/p + 1/q = 1``, Hölder's inequality bounds the value from below for any λ:
    by ``2N ⟨b, λ⟩ / max(1, ‖s‖_∞)`` for two factors, where p = 1, and by ``2N (⟨b, λ⟩ / ‖s‖_q)^p`` for more. With
    alpha > 0 the bound is ``2N alpha`` times that of `penalised_bound`, with ``μ = N alpha m``.

    Parameters
    ----------
    problem : Problem
        A problem whose parametrization is `Hadamard`.
    factors : tuple of ndarray
        The solution; only the vector x they make matters.
    dual : ndarray, shape (m,)
        Any vector.
    alpha : float
        Strength of the trace beside the loss; 0 stands for exact fit.
    look_further : bool
        Whether to look at other flat minima as well.
    """
    model = problem.parametrization
    assert isinstance(model, Hadamard)
    alpha, _ = check_strength(alpha, 1.0)
    p, count, b = model.power, 2 * model.depth, problem.data
    noise = model.depth * alpha * len(b)
    B, units = hadamard_whitened(problem)
    z = np.divide(model.pair(factors)[0][:, 0], units, out=np.zeros(len(units)), where=units > 0)
    fit = Fit.of(b, problem.residual(factors), np.linalg.norm(B, axis=1), float(np.linalg.norm(z)), dual)
    norm = dual_power_norm(B.T @ dual, p)
    reach = max(1.0, norm) if p == 1 else norm
    product = ratio(float(b @ dual), reach)
    value = count * float(np.sum(np.abs(z) ** p))
    lower = count * (product if p == 1 else max(product, 0.0) ** p)
    if alpha > 0:
        value = problem.loss.value(problem.residual(factors)) + alpha * value
        lower = alpha * count * penalised_bound(B, b, dual, p, noise)
    gap = ratio(value - lower, value)
    proof = Certificate(
        holds=bool(abs(gap) <= LARGEST_GAP and (alpha > 0 or fit.exact)),
        objective="penalised" if alpha > 0 else "interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=fit.misfit,
        whitened_residual=fit.whitened,
        residual_reach=fit.reach,
        dual=dual,
        dual_norm=norm,
        bound_kind="dense",
    )
    if not (proof.holds and look_further):
        return proof
    feasible = dual / reach if reach > 0 else dual
    if alpha > 0:
        found = nearby_penalised(B, b, p, noise, z, feasible if p == 1 else dual, units)
    else:
        found = nearby_minimisers(B, b, p, z, feasible, units)
    proof = replace(
        proof,
        unique=found.unique,
        q=found.q,
        injectivity=found.injectivity,
        margin=found.margin,
        margin_kind="dense",
        radius=None if found.radius is None else found.radius + len(z) * EPS * float(np.linalg.norm(units * z)),
        stability=found.stability,
    )
    if found.other is None:
        return proof
    other = hadamard_factors(problem, units * found.other)
    judged = hadamard_certificate(problem, other, dual, alpha=alpha, look_further=False)
    return replace(proof, alternative=other) if judged.holds else replace(proof, unique=None)


def hadamard_whitened(problem: Problem) -> tuple[Array, Array]:
    """Return B (m, n) and the units in which ``x = units · z`` and ``A x = B z``; zero where no measurement sees."""
    D1, D2 = problem.metric
    units = D1.power(-1).values * D2.power(-1).values
    return problem.measurement.matrices()[:, :, 0] * units, units


def hadamard_factors(problem: Problem, x: Array) -> Factors:
    """Return the flattest factors of a vector."""
    D1, D2 = problem.metric
    size = D1.values[:, None] * x[:, None] * D2.values
    return problem.parametrization.flattest(size, np.ones(1), np.ones((1, 1)), problem.metric)
