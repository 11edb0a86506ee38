"""Certificates of models whose smallest scaled trace is a multiple of the norm of their cone."""

from dataclasses import replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, gamma, inner_product, rounded_up
from flatmin.linalg.metric import unseen
from flatmin.linalg.operator_norm import TopSpectrum
from flatmin.linalg.random_starts import FAILURE, product_rounding
from flatmin.linalg.subspaces import EPS
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Bound, Certificate, check_alpha, check_dual, ratio
from flatmin.proofs.margins import complement_margin
from flatmin.proofs.rounding.dual_matrix import DualMatrix
from flatmin.proofs.uniqueness import uniqueness
from flatmin.proofs.uniqueness_conditions import UniquenessConditions
from flatmin.proofs.whitening import WhitenedSolution

__all__ = ["certificate_of", "trace_is_determined", "trivial_dual"]

#: Up to this dimension all eigenvalues of a matrix that proves uniqueness are computed.
LARGEST_WHOLE = 1000
#: Singular values of the dual matrix above this share of its norm belong to its leading part.
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
    rough: bool = False,
) -> Certificate:
    """Return the certificate of factors that follows from a dual vector; only the matrix of the factors matters.

    The arguments are those of `flatmin.certify`. ``look_further`` asks for a verdict on uniqueness, and ``randomized``
    accepts bounds that fail with a small probability. ``rough`` is for dual matrices of a norm well above one, as where
    `max_rank` binds: the norm is bounded without a search for the many singular vectors near it, and there is no
    verdict on uniqueness.
    """
    alpha, metric_power = check_alpha(alpha, metric_power)
    dual = check_dual(dual, problem)
    point = WhitenedSolution.from_factors(problem, factors, metric_power)
    spectrum = _spectrum(point, dual, seed, randomized, np.inf if rough else LEADING)
    paired = inner_product(problem.data, dual)
    proof = _bound(point, dual, paired, spectrum, alpha).certificate(point.fit(dual), dual)
    if rough or not (proof.holds and look_further):
        return proof
    if trace_is_determined(problem, metric_power) and alpha == 0:
        if uniqueness_dual is None:
            return proof
        other = check_dual(uniqueness_dual, problem, "the uniqueness dual")
        proof, conditions = replace(proof, uniqueness_dual=other), _complement(point, other, seed, randomized)
        chance = conditions.spectrum.failure
    else:
        conditions, chance = _conditions(point, proof, paired, spectrum, alpha), 0.0
    found = uniqueness(conditions)
    if conditions.spectrum.kind == "estimated":
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


def _spectrum(point: WhitenedSolution, dual: Array, seed: int, randomized: bool, unit: float) -> TopSpectrum:
    """Return the spectrum of the dual matrix, rounding counted; ``unit`` is that of `top_spectrum`.

    For multiples of the trivial dual vector it is known without a computation.
    """
    U, _, V = point.Z
    if trace_is_determined(point.problem, point.metric_power):
        top = _multiple(dual, trivial_dual(point.problem))
        if top is not None:
            top *= 1 + gamma(3 * len(U) + 8, point.is_complex)
            return TopSpectrum(U, np.full(U.shape[1], top), U, top, top, "proven")
    matrix = DualMatrix.from_dual(point, dual)
    return matrix.spectrum(U, V, unit=unit, seed=seed, randomized=randomized).widened(matrix.error)


def _multiple(dual: Array, trivial: Array) -> float | None:
    """Return the factor with which a dual vector is a multiple of the trivial one, or None if it is no multiple.

    The factor is the largest ratio of two entries; the ratios may differ by a few rounding errors.
    """
    if not np.any(trivial) or np.any(dual[trivial == 0]):
        return None
    ratios = dual[trivial > 0] / trivial[trivial > 0]
    lowest, highest = float(ratios.min()), float(ratios.max())
    return max(0.0, highest) if highest - lowest <= 16 * EPS * abs(highest) else None


def _bound(
    point: WhitenedSolution, dual: Array, paired: tuple[float, float], spectrum: TopSpectrum, alpha: float
) -> Bound:
    """Return the lower bound on the scaled trace, or on loss + alpha · trace, with all rounding errors counted.

    ``paired`` is the inner product of data and dual vector, with a bound on its error.
    """
    problem, kind, (low, high) = point.problem, spectrum.kind, point.stretch
    factor, m, largest = problem.parametrization.trace_factor, problem.measurement.size, high * point.norm_bound
    if point.is_hidden:
        kind, low, largest = "estimated", 1.0, point.norm
    norm = spectrum.norm if kind == "proven" else rounded_up(spectrum.norm / low)
    (pairing, error), scale = paired, max(1.0, norm)
    value, lower = rounded_up(factor * largest), factor * (pairing - error) / scale
    lower -= 4 * UNIT * abs(lower)
    plain = factor * (
        float(point.Z[1].sum()) - pairing / max(1.0, spectrum.rest, float(np.max(spectrum.values, initial=0.0)))
    )
    rounding = 1.0 if point.is_hidden else ratio(value - lower - plain, value)
    if alpha > 0:
        loss = point.misfit**2 / m
        value = rounded_up(loss + alpha * value)
        strong = alpha / scale * dual  # alpha² alone may overflow
        conjugate = factor**2 / 4 * m * float(strong @ strong) * (1 + gamma(m + 8))
        lower = alpha * lower - conjugate - 4 * UNIT * (alpha * abs(lower) + conjugate)
        rounding *= alpha * ratio(factor * largest, value)
    rounding, directions = max(0.0, rounding), unseen(problem.metric)
    return Bound(value, lower, norm, kind, spectrum.failure, alpha > 0, rounding, directions)


def _conditions(
    point: WhitenedSolution, proof: Certificate, paired: tuple[float, float], spectrum: TopSpectrum, alpha: float
) -> UniquenessConditions:
    """Return the conditions of uniqueness, for a dual vector scaled to norm at most one."""
    problem, scale, misfit = point.problem, max(1.0, proof.dual_norm), point.misfit
    pairing, error = paired
    gap = ratio(point.norm - (pairing - error) / scale, point.norm) + 8 * UNIT
    penalty = alpha * problem.parametrization.trace_factor
    if penalty > 0:
        surplus = proof.value - proof.lower_bound
        apart = rounded_up(surplus / penalty)
        gap = ratio(apart + (1 / point.stretch[0] - 1) * (point.norm + apart), point.norm)
        misfit = 2 * float(np.sqrt(problem.measurement.size * surplus)) * (1 + 8 * UNIT)
    return UniquenessConditions(point, spectrum.scaled(1 / scale), proof.dual / scale, gap, misfit, penalty=penalty)


def _complement(point: WhitenedSolution, dual: Array, seed: int, randomized: bool) -> UniquenessConditions:
    """Return the conditions of uniqueness from ``W = B*(λ)`` with the dual matrix I − W (docs/theory/uniqueness.md)."""
    problem, spectrum = point.problem, _complement_spectrum(point, dual, seed, randomized)
    lacking, growth = max(0.0, spectrum.norm - 1), float(np.linalg.norm(trivial_dual(problem)))
    pairing, error = inner_product(problem.data, dual)
    gap = ratio(abs(pairing) + error, point.norm) + lacking + 8 * UNIT
    return UniquenessConditions(point, spectrum, dual, gap, point.misfit, rounded_up(growth / point.stretch[0], 40))


def _complement_spectrum(point: WhitenedSolution, dual: Array, seed: int, randomized: bool) -> TopSpectrum:
    """Return the spectrum of ``I − W``, ``W = B*(λ)``: it is one on the range of Z and below one on the complement."""
    U, matrix = point.Z[0], DualMatrix.from_dual(point, dual)
    if len(U) <= LARGEST_WHOLE:
        options: dict[str, Any] = {"unit": LEADING, "seed": seed}
        return matrix.complement().spectrum(U, U, **options).widened(matrix.error)
    W = matrix.whole
    margin, kind = complement_margin(W, U, point.metric[0].power(0), seed=seed, randomized=randomized)
    formed = product_rounding(W, 0, 1.0) * float(np.sqrt(U.shape[1]))
    slack = float(np.linalg.norm(W @ U)) + formed + (matrix.error if kind == "cholesky" else matrix.error_of_products)
    failure = FAILURE if kind == "probabilistic" else 0.0
    return TopSpectrum(U, np.ones(U.shape[1]), U, 1.0 + slack, 1.0 - margin, kind, slack, failure)
