"""Judge: the certificate of any factors from a dual vector, for every model."""

from collections.abc import Callable

from flatmin._core.arrays import Array
from flatmin.parametrizations import Hadamard
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate, check_dual
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.proofs.depth.chain import chain_certificate
from flatmin.proofs.depth.hadamard import hadamard_certificate
from flatmin.proofs.robust.certificate import robust_certificate

__all__ = ["judge"]


def judge(
    problem: Problem,
    factors: Factors,
    dual: Array,
    uniqueness_dual: Array | None = None,
    *,
    alpha: float = 0.0,
    metric_power: float = 1.0,
    randomized: bool = True,
) -> Certificate:
    """Return what dual vectors prove about factors; the arguments are those of `flatmin.certify`."""
    if problem.is_convex:
        return certificate_of(
            problem,
            factors,
            dual,
            uniqueness_dual=uniqueness_dual,
            alpha=alpha,
            metric_power=metric_power,
            randomized=randomized,
        )
    certificate: Callable[..., Certificate] = chain_certificate
    if problem.loss.has_gross_errors:
        certificate = robust_certificate
    elif isinstance(problem.parametrization, Hadamard):
        certificate = hadamard_certificate
    proof = certificate(problem, factors, check_dual(dual, problem), alpha=alpha)
    return proof if randomized else proof.sure()
