"""Certificates of linear networks ``X = W_N ⋯ W_1``."""

from dataclasses import dataclass, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin.errors import InputError
from flatmin.linalg.forward_error import UNIT, inner_product, power, rounded_up
from flatmin.linalg.forward_error import gamma as summation
from flatmin.linalg.metric import unseen
from flatmin.linalg.nuclear_bound import nuclear_bound
from flatmin.linalg.operator_norm import top_spectrum
from flatmin.linalg.subspaces import EPS
from flatmin.measurements import Entries
from flatmin.parametrizations.base import Factors
from flatmin.parametrizations.chain import ISOTROPY_ROUNDING, Chain
from flatmin.parametrizations.product import Product
from flatmin.problem import Problem
from flatmin.proofs.certificate import Bound, Certificate, Fit, check_alpha, ratio
from flatmin.proofs.cone_certificate import LEADING, certificate_of
from flatmin.proofs.radius import Stability, Uniqueness
from flatmin.proofs.whitening import measurement_sizes

__all__ = ["DROPPED", "chain_certificate", "from_two_factors", "two_factors"]

#: Trailing singular values whose size, relative to that of all singular values, is below this number are dropped.
DROPPED = 1e-12


def chain_certificate(problem: Problem, factors: Factors, dual: Array, *, alpha: float = 0.0) -> Certificate:
    """Return the certificate that a dual vector λ gives the layers of a linear network, see docs/theory/depth.md.

    For isotropic measurements the data determine X, so that it is unique. For other measurements there must be two
    layers. Then value and bound are those of a `Product` times ``√(d1 d2)``, since the plain trace is minimised here.
    Only the matrix of the factors matters.
    """
    alpha, _ = check_alpha(alpha)
    model, metric, A = problem.parametrization, problem.metric, problem.measurement
    assert isinstance(model, Chain)
    gamma = model.isotropy(metric)
    if gamma is None:
        model.smallest_trace(0.0, metric)  # raises InputError if there is no formula
        scaled = alpha * float(np.sqrt(np.prod(problem.shape)))
        return from_two_factors(problem, certificate_of(two_factors(problem), model.pair(factors), dual, alpha=scaled))
    U, s, V = model.singular(factors, metric)
    formed = _Formed.from_layers(problem, factors)
    residual, sizes = problem.residual(factors), measurement_sizes(problem, problem.whitened, metric)
    fit = Fit.from_residual(problem.data, residual, sizes, float(np.linalg.norm(s)), dual, formed.residual_error)
    kept = s > DROPPED * np.max(s, initial=0.0)
    spectrum = top_spectrum(A.adjoint_operator(dual / gamma), U[:, kept], V[:, kept], unit=LEADING)
    spectrum = spectrum.widened(A.adjoint_error(dual, entry=4 * UNIT) / gamma)
    pairing, off = inner_product(problem.data, dual)
    product, uneven = ratio(pairing - off, spectrum.norm), formed.unevenness + 100 * UNIT
    norm = nuclear_bound(metric, model.pair(factors), (U, s, V)) + 1.01 * gamma * formed.error
    value = model.smallest_trace(norm, metric) * (1 + 2 * uneven)
    lower = model.smallest_trace(max(product, 0.0), metric) * (1 - 2 * uneven)
    if alpha > 0:
        misfit = float(np.linalg.norm(residual)) + float(np.linalg.norm(formed.residual_error))
        value = rounded_up(misfit**2 / A.size * (1 + summation(2 * A.size)) + alpha * value)
        penalty = alpha * model.smallest_trace(gamma, metric) * (1 - 2 * uneven)
        lower = _penalised_bound(problem, dual, spectrum.norm * gamma, penalty)
    kind, failure, directions = spectrum.kind, spectrum.failure, unseen(metric)
    bound = Bound(value, lower, spectrum.norm, kind, failure, is_penalised=alpha > 0, unseen=directions)
    proof = bound.certificate(fit, dual)
    if not proof.holds:
        return proof
    if alpha > 0:
        surplus = max(value - lower, sum(problem.shape) * EPS * value)
        found = Uniqueness(True, 0, 1.0, 1.0, radius=2 * float(np.sqrt(surplus / gamma)))
        return proof.with_uniqueness(found, "dense")
    apart = rounded_up(float(np.linalg.norm(residual)) + float(np.linalg.norm(formed.residual_error)))
    stability = Stability("tangent", float(np.sqrt(A.size * gamma * (1 - uneven))), apart)
    found = Uniqueness(True, 0, 1.0, 1.0, stability=stability, radius=stability.radius())
    return proof.with_uniqueness(found, "dense")


def _penalised_bound(problem: Problem, dual: Array, norm: float, penalty: float) -> float:
    """Return the lower bound on ``‖A(X) − b‖²/m + penalty · ‖X‖_*^p`` that a dual vector of this norm proves."""
    model, m = problem.parametrization, problem.measurement.size
    assert isinstance(model, Chain)
    p, y = model.power, penalty * dual
    if p == 1:
        y, conjugate = y / max(1.0, norm), 0.0
    else:
        with np.errstate(over="ignore"):  # a dual vector that is too long proves nothing
            conjugate = float(penalty * (p - 1) * power(norm / p, p / (p - 1)))
    (gained, off), (square, more) = inner_product(problem.data, y), inner_product(y, y)
    lost = m / 4 * (square + more) + conjugate
    bound = gained - off - lost - 100 * UNIT * (abs(gained) + lost)
    return bound if np.isfinite(bound) else -np.inf


@dataclass(frozen=True, eq=False)
class _Formed:
    """Rounding errors of the product of all layers.

    ``error`` bounds the nuclear norm of the error of X, ``residual_error`` (m,) bounds the errors of the residual, and
    ``unevenness`` bounds the relative departure of the measurements from isotropic ones.
    """

    error: float
    residual_error: Array
    unevenness: float

    @classmethod
    def from_layers(cls, problem: Problem, layers: Factors) -> "_Formed":
        A, model = problem.measurement, problem.parametrization
        P, Q = model.pair(tuple(np.abs(W) for W in layers))
        terms = sum(W.shape[1] for W in layers) if len(layers) > 2 else 0
        error = 2.02 * summation(terms) * float(np.linalg.norm(P, axis=0) @ np.linalg.norm(Q, axis=0))
        measured = A.forward_error(P, Q) + error * A.norms() + 2 * UNIT * np.abs(problem.residual(layers))
        even = isinstance(A, Entries) and A.weights is None
        return cls(error, np.asarray(measured), 0.0 if even else ISOTROPY_ROUNDING * A.size * int(np.prod(A.shape)))


def two_factors(problem: Problem) -> Problem:
    """Return the problem of a product with the same measurements and data."""
    return Problem(problem.measurement, problem.data, Product(), problem.loss)


def from_two_factors(problem: Problem, proof: Certificate) -> Certificate:
    """Return the certificate of a network of two layers from ``proof``, that of the problem `two_factors`.

    Its values are in the units of the plain trace, and the factors of another solution are layers.
    """
    model = problem.parametrization
    assert isinstance(model, Chain)
    scale, metric = float(np.sqrt(np.prod(problem.shape))), problem.metric
    if proof.objective == "penalised":  # already that of loss + alpha · trace
        scale = 1.0
    other, unique = proof.alternative, proof.unique
    if other is not None:
        try:
            other = model.flattest(*model.cone.decompose(metric[0] @ other[0], metric[1] @ other[1]), metric)
        except InputError:  # this network is too narrow for it
            other, unique = None, None
    return replace(
        proof, value=scale * proof.value, lower_bound=scale * proof.lower_bound, alternative=other, unique=unique
    )
