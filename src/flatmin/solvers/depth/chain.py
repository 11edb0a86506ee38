"""Flat solutions of linear networks ``X = W_N ⋯ W_1``, and their certificates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin.errors import InputError
from flatmin.linalg.subspaces import EPS
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.chain import Chain
from flatmin.parametrizations.product import Product
from flatmin.problem import Problem
from flatmin.proofs.certificate import (
    LARGEST_GAP,
    LARGEST_RESIDUAL,
    Certificate,
    Fit,
    certificate_of,
    check_strength,
    measurement_sizes,
    ratio,
)
from flatmin.proofs.flatness import flatness
from flatmin.proofs.norms import top_spectrum
from flatmin.proofs.radius import Stability
from flatmin.solution import Solution
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.task import Task, status_of

__all__ = ["chain_certificate", "chain_minimum"]

#: The smallest singular values are dropped as long as together they are below this, relatively.
DROPPED = 1e-12


def chain_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest layers whose product fits the data, certified.

    Where the measurements see all matrices alike, the data determine X, and its flattest layers have a closed form. For
    two layers and any measurements X is the flat solution of a product, ``min ‖D1 X D2‖_*``. With alpha > 0 the loss
    plus alpha times the trace is minimised, which has a closed form as well in the first case, and in the second is the
    penalised problem of a product at the strength ``alpha √(d1 d2)``.

    Raises
    ------
    InputError
        If there are more than two layers and the measurements do not see all matrices alike, or if a hidden layer is
        narrower than the rank of X.
    """
    task.expect_defaults("metric_power", "max_rank", "warm_start")
    problem, metric = task.problem, task.problem.metric
    model = problem.parametrization
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # refuses what has no formula
        return _two_layers(task, clock, model)
    d1, d2 = problem.shape
    require(8.0 * 8 * d1 * d2, "solving this problem")
    A, b = problem.measurement, problem.data
    U, s, Vt = np.linalg.svd(A.adjoint(b) / (A.size * gamma), full_matrices=False)
    if task.alpha > 0:
        s = _shrunk(s, task.alpha * model.smallest_trace(gamma, metric) / gamma, model.power)
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


def _shrunk(s: Array, price: float, power: float) -> Array:
    """Return the x ≥ 0 that minimises ``‖x − s‖² + price · (Σ x)^power``, for s ≥ 0 in decreasing order.

    ``x = (s − θ)₊`` with ``θ = (price · power / 2) (Σ x)^(power − 1)``: the right side grows with the sum, which falls
    with θ, so there is one root. With k entries left ``Σ x = Σ_{j≤k} s_j − k θ``.
    """
    if power == 1 or not s.any():
        return np.maximum(s - price / 2, 0.0)

    def excess(theta: float) -> float:
        return float(theta - price * power / 2 * np.maximum(s - theta, 0.0).sum() ** (power - 1))

    return np.maximum(s - float(brentq(excess, 0.0, float(s[0]), xtol=1e-16 * float(s[0]), rtol=1e-15)), 0.0)


def _two_layers(task: Task, clock: Clock, model: Chain) -> Solution:
    """Return the flat solution of the product of two layers, as layers."""
    problem, metric = task.problem, task.problem.metric
    scale = float(np.sqrt(np.prod(problem.shape)))
    found = convex_minimum(replace(task, problem=_two_factors(problem), alpha=task.alpha * scale), clock)
    L, R = found.factors
    factors = model.flattest(*model.decompose(metric[0] @ L, metric[1] @ R), metric)
    return replace(
        found,
        factors=factors,
        certificate=_of_two_layers(problem, found.certificate),
        settings=task.settings,
        flatness=flatness(problem, factors),
        parametrization=model,
    )


def chain_certificate(problem: Problem, factors: Factors, dual: Array, *, alpha: float = 0.0) -> Certificate:
    """Return what a dual vector λ proves about the layers of a linear network.

    For two layers this is the certificate of a product, times ``√(d1 d2)``, since the plain trace is minimised here.
    For measurements that see all matrices alike, ``⟨b, λ⟩ ≤ ‖Z‖_* ‖S‖_op`` with ``Z = γ X`` and ``S = A*(λ)/γ`` bounds
    the value ``2N γ (d1 d2)^(1/N) (‖Z‖_*/γ)^p`` from below; the data determine X, so that it is unique.

    With alpha > 0 and ``c = 2N alpha γ (d1 d2)^(1/N)``, for any λ and ``y = c λ``,
    ``‖A(X) − b‖²/m + c ‖X‖_*^p ≥ ⟨b, y⟩ − (m/4) ‖y‖² − c (p − 1) (‖A*(y)‖_op / (c p))^q``; for two layers λ is scaled
    so that ``‖A*(λ)‖_op ≤ 1``, and the last term is zero. The objective grows by ``γ ‖X' − X‖²`` at least from its
    minimiser X.

    Parameters
    ----------
    problem : Problem
        A problem whose parametrization is `Chain`.
    factors : tuple of ndarray
        The solution; only the matrix it makes matters.
    dual : ndarray, shape (m,)
        Any vector.
    alpha : float
        Strength of the trace beside the loss; 0 stands for exact fit.
    """
    alpha, _ = check_strength(alpha, 1.0)
    model, metric, A = problem.parametrization, problem.metric, problem.measurement
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # refuses what has no formula
        strength = alpha * float(np.sqrt(np.prod(problem.shape)))
        proof = certificate_of(_two_factors(problem), model.pair(factors), dual, alpha=strength)
        return _of_two_layers(problem, proof)
    U, s, V = model.singular(factors, metric)
    residual, sizes = problem.residual(factors), measurement_sizes(problem, problem.whitened, metric)
    fit = Fit.of(problem.data, residual, sizes, float(np.linalg.norm(s)), dual)
    kept = s > DROPPED * np.max(s, initial=0.0)
    spectrum = top_spectrum(A.adjoint_operator(dual / gamma), U[:, kept], V[:, kept], unit=1 - 1e-4, seed=0)
    product = ratio(float(problem.data @ dual), spectrum.norm)
    value = model.smallest_trace(float(s.sum()), metric)
    lower = model.smallest_trace(max(product, 0.0), metric)
    if alpha > 0:
        value = problem.loss.value(residual) + alpha * value
        lower = _penalised_bound(problem, dual, spectrum.norm * gamma, alpha * model.smallest_trace(gamma, metric))
    gap = ratio(value - lower, value)
    proof = Certificate(
        holds=bool(abs(gap) <= LARGEST_GAP and (alpha > 0 or fit.exact) and spectrum.kind != "estimated"),
        objective="penalised" if alpha > 0 else "interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=fit.misfit,
        whitened_residual=fit.whitened,
        residual_reach=fit.reach,
        dual=dual,
        dual_norm=spectrum.norm,
        bound_kind=spectrum.kind,
        failure_probability=spectrum.failure or None,
    )
    if not proof.holds:
        return proof
    if alpha > 0:
        surplus = max(value - lower, sum(problem.shape) * EPS * value)
        return replace(proof, unique=True, radius=2 * float(np.sqrt(surplus / gamma)))
    stability = _determined(float(np.sqrt(A.size * gamma)), float(np.linalg.norm(residual)))
    return replace(
        proof,
        unique=True,
        q=0,
        injectivity=1.0,
        margin=1.0,
        margin_kind="dense",
        radius=stability.radius(),
        stability=stability,
    )


def _penalised_bound(problem: Problem, dual: Array, norm: float, price: float) -> float:
    """Return the lower bound on ``‖A(X) − b‖²/m + price · ‖X‖_*^p`` that a dual vector of this norm proves."""
    model, m = problem.parametrization, problem.measurement.size
    assert isinstance(model, Chain)
    p, y = model.power, price * dual
    if p == 1:
        y, conjugate = y / max(1.0, norm), 0.0
    else:
        conjugate = price * (p - 1) * (norm / p) ** (p / (p - 1))
    return float(problem.data @ y) - m / 4 * float(y @ y) - conjugate


def _determined(growth: float, misfit: float) -> Stability:
    """Return the bound where ``‖A(X)‖ = growth · ‖X‖``: the data alone confine X."""
    return Stability(
        space="tangent",
        semidefinite=False,
        gap=0.0,
        size=0.0,
        margin=1.0,
        inner=1.0,
        injectivity=growth,
        spread=0.0,
        dual_size=0.0,
        growth=0.0,
        misfit=misfit,
        outside=0.0,
        unwhiten=1.0,
    )


def _two_factors(problem: Problem) -> Problem:
    return Problem(problem.measurement, problem.data, Product(), problem.loss)


def _of_two_layers(problem: Problem, proof: Certificate) -> Certificate:
    """Return the certificate of a product in the units of the plain trace, with another solution as layers."""
    model = problem.parametrization
    assert isinstance(model, Chain)
    scale, metric = float(np.sqrt(np.prod(problem.shape))), problem.metric
    if proof.objective == "penalised":  # already that of loss + alpha · trace
        scale = 1.0
    other, unique = proof.alternative, proof.unique
    if other is not None:
        try:
            other = model.flattest(*model.decompose(metric[0] @ other[0], metric[1] @ other[1]), metric)
        except InputError:  # it exists, but this network is too narrow for it
            other, unique = None, None
    return replace(
        proof, value=scale * proof.value, lower_bound=scale * proof.lower_bound, alternative=other, unique=unique
    )
