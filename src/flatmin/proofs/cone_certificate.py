"""Certificates of models whose smallest scaled trace is the norm of their cone."""

from dataclasses import replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.linalg.random_starts import FAILURE
from flatmin.linalg.subspaces import EPS, as_array
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Bound, Certificate, check_alpha, check_dual, ratio
from flatmin.proofs.margins import complement_margin
from flatmin.proofs.uniqueness import uniqueness
from flatmin.proofs.uniqueness_conditions import UniquenessConditions
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["certificate_of", "trace_is_determined", "trivial_dual"]

#: Up to this dimension all eigenvalues of a matrix that proves uniqueness are computed.
LARGEST_WHOLE = 1000
#: Singular values above this share of the norm of the dual matrix belong to its leading part.
LEADING = 1 - 1e-4


def certificate_of(
    problem: Problem,
    factors: Factors,
    dual: Array,
    *,
    uniqueness_dual: Array | None = None,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    seed: int = 0,
    look_further: bool = True,
    randomized: bool = True,
) -> Certificate:
    """Return the certificate that a dual vector gives factors, of which only the matrix matters.

    The arguments are those of `flatmin.certify`. ``look_further`` asks for a verdict on uniqueness, and ``randomized``
    accepts bounds that fail with a small probability.
    """
    alpha, metric_power = check_alpha(alpha, metric_power)
    dual = check_dual(dual, problem)
    point = WhitenedSolution.from_factors(problem, factors, metric_power)
    spectrum = _spectrum(point, dual, seed, randomized)
    proof = _bound(point, dual, spectrum, alpha).certificate(point.fit(dual), dual)
    if not (proof.holds and look_further):
        return proof
    if trace_is_determined(problem, metric_power) and alpha == 0:
        if uniqueness_dual is None:
            return proof
        other = check_dual(uniqueness_dual, problem, "the uniqueness dual")
        proof, conditions = replace(proof, uniqueness_dual=other), _complement(point, other, seed, randomized)
        chance = conditions.spectrum.failure
    else:
        conditions, chance = _conditions(point, proof, spectrum, alpha), 0.0
    found = uniqueness(conditions)
    if conditions.spectrum.kind == "estimated" or point.is_blind:
        found = replace(found, unique=None, stability=None, radius=None)
    proof = proof.with_uniqueness(found, conditions.spectrum.kind, chance)

    def judge(other: Factors) -> Certificate:
        options: dict[str, Any] = {"seed": seed, "look_further": False, "randomized": randomized}
        return certificate_of(problem, other, dual, alpha=alpha, metric_power=metric_power, **options)

    return proof.confirmed(point.flattest(found.alternative), judge)


def trace_is_determined(problem: Problem, metric_power: float = 1.0) -> bool:
    """Return whether the data determine ``tr(D X)``: all positive semidefinite solutions are then equally flat."""
    return metric_power == 1 and problem.parametrization.cone.is_semidefinite and problem.measurement.is_rank_one


def trivial_dual(problem: Problem) -> Array:
    """Return ``λ_i = tr A_i / m``, for which ``A*(λ) = D`` if the measurements have rank one."""
    return np.asarray(problem.measurement.traces() / problem.measurement.size)


def _spectrum(point: WhitenedSolution, dual: Array, seed: int, randomized: bool) -> TopSpectrum:
    """Return the spectrum of the dual matrix; that of a multiple of the trivial one is known."""
    U, _, V = point.Z
    if trace_is_determined(point.problem, point.metric_power):
        trivial = trivial_dual(point.problem)
        share = float(dual @ trivial) / float(trivial @ trivial) if np.any(trivial) else 0.0
        if np.max(np.abs(dual - share * trivial)) <= 8 * EPS * float(np.max(np.abs(dual))):
            top = max(0.0, share) * (1 + 16 * EPS)
            return TopSpectrum(U, np.full(U.shape[1], top), U, top, top, "proven")
    cone, S = point.cone, point.whitened.adjoint_operator(dual)
    return cone.spectrum(S, U, V, unit=LEADING, seed=seed, randomized=randomized)


def _bound(point: WhitenedSolution, dual: Array, spectrum: TopSpectrum, alpha: float) -> Bound:
    """Return the lower bound on the scaled trace, or on loss + alpha · trace."""
    problem = point.problem
    factor, m = problem.parametrization.trace_factor, problem.measurement.size
    scaled = dual / max(1.0, spectrum.norm)
    value, lower = factor * point.norm, factor * float(problem.data @ scaled)
    if alpha > 0:
        value = problem.loss.value(point.residual) + alpha * value
        strong = alpha * scaled  # alpha² alone may overflow
        lower = alpha * lower - factor**2 / 4 * m * float(strong @ strong)
    return Bound(value, lower, spectrum.norm, spectrum.kind, spectrum.failure, is_penalised=alpha > 0)


def _conditions(
    point: WhitenedSolution, proof: Certificate, spectrum: TopSpectrum, alpha: float
) -> UniquenessConditions:
    """Return the conditions of uniqueness, for a dual vector scaled to norm at most one."""
    problem, scale = point.problem, max(1.0, spectrum.norm)
    gap, misfit = proof.relative_gap, float(np.linalg.norm(point.residual))
    penalty = alpha * problem.parametrization.trace_factor
    if penalty > 0:
        surplus = proof.value * max(gap, 10 * EPS * sum(problem.shape))
        gap = ratio(surplus / penalty, point.norm)
        misfit = 2 * float(np.sqrt(problem.measurement.size * surplus))
    return UniquenessConditions(point, spectrum.scaled(1 / scale), proof.dual / scale, gap, misfit, penalty=penalty)


def _complement(point: WhitenedSolution, dual: Array, seed: int, randomized: bool) -> UniquenessConditions:
    """Return the conditions of uniqueness from ``W = B*(λ)`` with the dual matrix I − W (docs/theory/uniqueness.md)."""
    problem, spectrum = point.problem, _complement_spectrum(point, dual, seed, randomized)
    lacking, growth = max(0.0, spectrum.norm - 1), float(np.linalg.norm(trivial_dual(problem)))
    gap = ratio(abs(float(problem.data @ dual)), point.norm) + lacking
    return UniquenessConditions(point, spectrum, dual, gap, float(np.linalg.norm(point.residual)), growth)


def _complement_spectrum(point: WhitenedSolution, dual: Array, seed: int, randomized: bool) -> TopSpectrum:
    """Return the spectrum of ``I − W``, ``W = B*(λ)``: ones on the range of Z, below one on its complement."""
    W, U = point.whitened.adjoint_operator(dual), point.Z[0]
    seen = point.metric[0].power(0)
    if len(U) <= LARGEST_WHOLE:
        cone = point.cone
        return cone.spectrum(seen.dense - as_array(W), U, U, unit=LEADING, seed=seed)
    margin, kind = complement_margin(W, U, seen, seed=seed, randomized=randomized)
    slack = float(np.linalg.norm(W @ U))
    failure = FAILURE if kind == "probabilistic" else 0.0
    return TopSpectrum(U, np.ones(U.shape[1]), U, 1.0 + slack, 1.0 - margin, kind, slack, failure)
