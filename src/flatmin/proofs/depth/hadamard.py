"""Certificates of sparse regression ``x = u_1 ∘ … ∘ u_N``."""

from dataclasses import replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT, gamma, inner_product, power, spread
from flatmin.linalg.metric import unseen
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.problem import Problem
from flatmin.proofs.certificate import Bound, Certificate, Fit, check_alpha, ratio
from flatmin.proofs.depth.nearby import nearby_minimisers, nearby_penalised
from flatmin.proofs.depth.power_bounds import dual_power_norm, gain_and_loss

__all__ = ["hadamard_certificate", "hadamard_factors", "hadamard_whitened"]


def hadamard_certificate(
    problem: Problem, factors: Factors, dual: Array, *, alpha: float = 0.0, look_further: bool = True
) -> Certificate:
    """Return the certificate of a vector in sparse regression that a dual vector λ proves, see docs/theory/depth.md.

    For any λ, Hölder's inequality gives a lower bound on the value. ``look_further`` asks for a verdict on uniqueness.
    """
    model = problem.parametrization
    assert isinstance(model, Hadamard)
    alpha, _ = check_alpha(alpha)
    p, b, penalty = model.power, problem.data, model.depth * alpha * problem.measurement.size
    B, units = hadamard_whitened(problem)
    z = np.divide(model.pair(factors)[0][:, 0], units, out=np.zeros(len(units)), where=units > 0)
    scale = gamma(sum(B.shape) + model.depth + 60)  # of units, of sums over coordinates, and of powers
    sizes = (1 + 2 * scale) * (np.abs(B.T @ dual) + (gamma(len(b) + 2) + scale) * (np.abs(B).T @ np.abs(dual)))
    norm = dual_power_norm(sizes, p) * (1 + 4 * scale)
    reach = max(1.0, norm) if p == 1 else norm
    residual = problem.residual(factors)
    error = (gamma(len(z) + 2) + 2 * scale) * (np.abs(B) @ np.abs(z)) + 2 * UNIT * np.abs(residual)
    fit = Fit.from_residual(b, residual, np.linalg.norm(B, axis=1), float(np.linalg.norm(z)), dual, error)
    value = 2 * model.depth * float(np.sum(power(np.abs(z), p))) * (1 + 8 * scale)
    if alpha > 0:
        misfit = float(np.linalg.norm(residual)) + float(np.linalg.norm(error))
        value = (misfit**2 / len(b) + alpha * value) * (1 + 4 * scale)
        gained, lost = gain_and_loss(sizes, b, dual, p, penalty)
        rounding = 8 * scale * (spread(b * dual) / (reach if p == 1 else 1.0) + lost)
        lower = alpha * (2 * model.depth) * (gained - lost - rounding)
    else:
        pairing, off = inner_product(b, dual)
        product = ratio(pairing - off, reach)
        lower = 2 * model.depth * (product if p == 1 else float(power(max(product, 0.0), p)))
        lower -= 40 * UNIT * abs(lower)
    bound = Bound(value, lower, norm, "dense", is_penalised=alpha > 0, unseen=unseen(problem.metric))
    proof = bound.certificate(fit, dual)
    if not (proof.holds and look_further):
        return proof
    feasible = dual / reach if reach > 0 else dual
    if alpha > 0:
        found = nearby_penalised(B, b, p, penalty, z, feasible if p == 1 else dual, units)
    else:
        found = nearby_minimisers(B, b, p, z, feasible, units)
    if found.radius is not None:
        found = replace(found, radius=found.radius + gamma(model.depth + 8) * float(np.linalg.norm(units * z)))
    return proof.with_uniqueness(found, "dense").confirmed(
        None if found.alternative is None else hadamard_factors(problem, units * found.alternative[0][:, 0]),
        lambda other: hadamard_certificate(problem, other, dual, alpha=alpha, look_further=False),
    )


def hadamard_whitened(problem: Problem) -> tuple[Array, Array]:
    """Return B (m, n) and units with ``x = units · z`` and ``A x = B z``; units are zero for unseen coordinates."""
    D1, D2 = problem.metric
    units = D1.power(-1).values * D2.power(-1).values
    return problem.measurement.matrices()[:, :, 0] * units, units


def hadamard_factors(problem: Problem, x: Array) -> Factors:
    """Return the flattest factors of a vector."""
    D1, D2 = problem.metric
    size = D1.values[:, None] * x[:, None] * D2.values
    return problem.parametrization.flattest(size, np.ones(1), np.ones((1, 1)), problem.metric)
