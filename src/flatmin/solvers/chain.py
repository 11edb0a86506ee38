"""Flat solutions of linear networks ``X = W_N ⋯ W_1``, and their certificates."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from flatmin._memory import require
from flatmin.certificates import (
    LARGEST_GAP,
    LARGEST_RESIDUAL,
    Certificate,
    Fit,
    certificate_of,
    measurement_sizes,
    ratio,
)
from flatmin.errors import InputError
from flatmin.flatness import flatness
from flatmin.metric import Array
from flatmin.operator_norm import top_spectrum
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.chain import Chain
from flatmin.parametrizations.product import Product
from flatmin.problem import Problem
from flatmin.solution import Solution
from flatmin.solvers.convex import convex_minimum
from flatmin.solvers.task import Task
from flatmin.stability import Stability

__all__ = ["chain_certificate", "chain_minimum"]

#: The smallest singular values are dropped as long as together they are below this, relatively.
DROPPED = 1e-12


def chain_minimum(task: Task) -> Solution:
    """Return the flattest layers whose product fits the data, certified.

    Where the measurements see all matrices alike, the data determine X, and its flattest layers have a closed form. For
    two layers and any measurements X is the flat solution of a product, ``min ‖D1 X D2‖_*``.

    Raises
    ------
    InputError
        If there are more than two layers and the measurements do not see all matrices alike, or if a hidden layer is
        narrower than the rank of X.
    """
    task.expect_defaults("alpha", "metric_power", "max_rank", "warm_start")
    problem, metric = task.problem, task.problem.metric
    model = problem.parametrization
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # refuses what has no formula
        return _two_layers(task, model)
    d1, d2 = problem.shape
    require(8.0 * 8 * d1 * d2, "solving this problem")
    A, b = problem.measurement, problem.data
    U, s, Vt = np.linalg.svd(A.adjoint(b) / (A.size * gamma), full_matrices=False)
    tails = np.sqrt(np.cumsum(s[::-1] ** 2))[::-1]
    kept = tails > DROPPED * np.max(tails, initial=0.0)
    U, s, V = U[:, kept], s[kept], Vt[kept].T
    factors = model.flattest(U, gamma * s, V, metric)
    proof = chain_certificate(problem, factors, A.forward_factors(U, V) / A.size)
    misfit = float(np.linalg.norm(problem.residual(factors)))
    consistent = misfit <= LARGEST_RESIDUAL * float(np.linalg.norm(b))
    return task.solution(factors, proof, task.status(proof, consistent=consistent), {})


def _two_layers(task: Task, model: Chain) -> Solution:
    """Return the flat solution of the product of two layers, as layers."""
    problem, metric = task.problem, task.problem.metric
    found = convex_minimum(replace(task, problem=_two_factors(problem)))
    L, R = found.factors
    factors = model.flattest(*model.decompose(metric[0] @ L, metric[1] @ R), metric)
    return replace(
        found,
        factors=factors,
        certificate=_of_two_layers(problem, found.certificate),
        flatness=flatness(problem, factors),
        parametrization=model,
    )


def chain_certificate(problem: Problem, factors: Factors, dual: Array) -> Certificate:
    """Return what a dual vector λ proves about the layers of a linear network.

    For two layers this is the certificate of a product, times ``√(d1 d2)``, since the plain trace is minimised here.
    For measurements that see all matrices alike, ``⟨b, λ⟩ ≤ ‖Z‖_* ‖S‖_op`` with ``Z = γ X`` and ``S = A*(λ)/γ`` bounds
    the value ``2N γ (d1 d2)^(1/N) (‖Z‖_*/γ)^p`` from below; the data determine X, so that it is unique.

    Parameters
    ----------
    problem : Problem
        A problem whose parametrization is `Chain`.
    factors : tuple of ndarray
        The solution; only the matrix it makes matters.
    dual : ndarray, shape (m,)
        Any vector.
    """
    model, metric, A = problem.parametrization, problem.metric, problem.measurement
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # refuses what has no formula
        return _of_two_layers(problem, certificate_of(_two_factors(problem), model.pair(factors), dual))
    U, s, V = model.singular(factors, metric)
    residual, sizes = problem.residual(factors), measurement_sizes(problem, problem.whitened, metric)
    fit = Fit.of(problem.data, residual, sizes, float(np.linalg.norm(s)), dual)
    kept = s > DROPPED * np.max(s, initial=0.0)
    spectrum = top_spectrum(A.adjoint_operator(dual / gamma), U[:, kept], V[:, kept], unit=1 - 1e-4, seed=0)
    product = ratio(float(problem.data @ dual), spectrum.norm)
    value = model.smallest_trace(float(s.sum()), metric)
    lower = model.smallest_trace(max(product, 0.0), metric)
    gap = ratio(value - lower, value)
    proof = Certificate(
        holds=bool(abs(gap) <= LARGEST_GAP and fit.exact and spectrum.kind != "estimated"),
        objective="interpolating",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=fit.misfit,
        whitened_residual=fit.whitened,
        residual_reach=fit.reach,
        dual=dual,
        dual_norm=spectrum.norm,
        bound_kind=spectrum.kind,
    )
    if not proof.holds:
        return proof
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
    other, unique = proof.alternative, proof.unique
    if other is not None:
        try:
            other = model.flattest(*model.decompose(metric[0] @ other[0], metric[1] @ other[1]), metric)
        except InputError:  # it exists, but this network is too narrow for it
            other, unique = None, None
    return replace(
        proof, value=scale * proof.value, lower_bound=scale * proof.lower_bound, alternative=other, unique=unique
    )
