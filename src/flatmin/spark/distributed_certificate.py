"""The certificate of factors over distributed cells, by sums over cells and products with a distributed matrix."""

from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.forward_error import UNIT as ROUNDOFF
from flatmin.linalg.forward_error import gamma
from flatmin.linalg.metric import Metric, condition_number, unseen
from flatmin.linalg.nuclear_bound import nuclear_bound
from flatmin.linalg.operator_norm import FACTORED, TopSpectrum, top_spectrum
from flatmin.parametrizations import Product
from flatmin.parametrizations.base import Factors
from flatmin.proofs.certificate import LARGEST_GAP, Certificate, ratio
from flatmin.proofs.flatness import Flatness
from flatmin.proofs.whitening import ALIKE
from flatmin.spark.distributed_cells import DistributedCells

__all__ = ["MAX_COLLECTED", "CertifiedFactors", "certify_factors", "regularization"]

#: Largest number of cells for which the dual matrix is collected on this machine, where its norm is proved.
MAX_COLLECTED = 2_000_000
#: Singular vectors of the dual matrix with singular values above this number belong to the solution.
UNIT = 1 - 1e-3


@dataclass(frozen=True, eq=False)
class CertifiedFactors:
    """The flattest factors of a matrix, with their flatness and certificate.

    The certificate has no uniqueness and an empty ``dual``: the dual is the residual of the factors times a number.
    """

    certificate: Certificate
    flatness: Flatness
    factors: Factors
    products: int  # columns multiplied by the distributed matrix; 0 if it was collected


def regularization(alpha: float, shape: tuple[int, int]) -> float:
    """Return the regParam of Spark that corresponds to an alpha of the scaled trace, ``2 alpha / √(d1 d2)``."""
    return 2 * alpha / float(np.sqrt(np.prod(shape)))


def certify_factors(
    cells: DistributedCells, factors: Factors, reg_param: float, *, seed: int = 0, collect: bool | None = None
) -> CertifiedFactors:
    """Return the certificate of factors (d1, k) and (d2, k) as a minimum of loss + alpha · scaled trace.

    Let ``E = b − X`` be the residuals at the cells, N1 and N2 the numbers of cells of rows and columns, and
    ``s = ‖N1^-½ E N2^-½‖ / regParam``. The objective ``Σ e² + 2 regParam ‖N1^½ X N2^½‖_*`` of every matrix is at least
    ``2c ⟨E, b⟩ − c² ‖E‖²`` with ``c = min(1, 1/s)``. ``collect`` says whether the dual matrix is collected on this
    machine, where the bound on its norm is sharper; by default, if there are at most two million cells.
    """
    m, shape, model = cells.size, cells.shape, Product()
    pair = zip(cells.counts, shape[::-1], strict=True)
    D1, D2 = (Metric.root(counts / (m * other), 2 * ROUNDOFF) for counts, other in pair)
    U, s, V = model.singular(factors, (D1, D2))
    keep = s > 1e-13 * s[0] if len(s) else np.zeros(0, bool)
    U, s, V = U[:, keep], s[keep], V[:, keep]
    alpha = reg_param / regularization(1.0, shape)
    rows, columns = (1 / np.sqrt(np.maximum(counts, 1)) for counts in cells.counts)
    with cells.residual(*factors) as residual:
        sums = residual.sums((D1.values, D2.values))
        wanted = m <= MAX_COLLECTED if collect is None else collect
        if wanted:
            S = residual.collected((rows / reg_param, columns))
            spectrum, products = top_spectrum(S, U, V, unit=UNIT, seed=seed), 0
        else:
            with residual.matrix((rows / reg_param, columns), FACTORED + 1) as S:
                left, right = (np.pad(F, ((0, d - len(F)), (0, 0))) for F, d in zip((U, V), S.shape, strict=True))
                spectrum = top_spectrum(S, left, right, unit=UNIT, seed=seed)
                products = int(sum(S.products))
    bound = nuclear_bound((D1, D2), model.pair(factors), (U, s, V))
    reach = float(np.prod([np.linalg.norm(F) for F in factors]))
    certificate = _certificate(sums, bound, reach, float(np.linalg.norm(s)), (D1, D2), m, alpha, spectrum)
    flattest = model.flattest(U, s, V, (D1, D2))
    return CertifiedFactors(certificate, _flatness(flattest, (D1, D2), sums[2] / m), flattest, products)


def _certificate(
    sums: Array,
    norm: float,
    reach: float,
    size: float,
    metric: tuple[Metric, Metric],
    m: int,
    alpha: float,
    spectrum: TopSpectrum,
) -> Certificate:
    """Return the certificate: that of `flatmin.proofs.cone_certificate.certificate_of`, from sums over cells.

    All rounding errors are counted: of sums over m cells in any order, and of residuals, which are off by a share of
    ``reach = ‖L‖ ‖R‖``.
    """
    squares, inner, left, scaled = map(float, sums)
    summed, shape = gamma(m + 64), (len(metric[0].values), len(metric[1].values))
    low, high = (float(np.prod([1 + sign * D.defect for D in metric])) ** 0.5 for sign in (-1, 1))
    entries = 8 * ROUNDOFF * left**0.5 / regularization(alpha, shape)
    dual_norm = (spectrum.norm + entries) / low
    factor, c = Product().trace_factor, 1 / max(1.0, dual_norm)
    misfit = left**0.5 * (1 + summed) + gamma(96 + spectrum.U.shape[1]) * reach
    value = misfit**2 / m + alpha * factor * norm * high
    lower = (2 * c * inner - c**2 * left) / m
    lower -= summed * (2 * c * (squares * left) ** 0.5 + c**2 * left) / m
    gap = ratio(value - lower, value)
    if metric[0].condition * metric[1].condition <= ALIKE:  # as `certificates.measurement_sizes` has it
        typical = [np.sqrt(D.values.max()) * np.sqrt(D.values[D.values > 0].min()) for D in metric]
        scaled = left * float(np.prod(typical)) ** 2
    return Certificate(
        holds=bool(abs(gap) <= LARGEST_GAP and spectrum.kind != "estimated"),
        objective="penalised",
        value=value,
        lower_bound=lower,
        relative_gap=gap,
        relative_residual=ratio(left**0.5, squares**0.5),
        whitened_residual=ratio(scaled**0.5, size),
        dual=np.empty(0),
        dual_norm=dual_norm,
        bound_kind=spectrum.kind,
        failure_probability=spectrum.failure or None,
        unseen=unseen(metric),
        residual_reach=left / max(abs(inner), float(np.finfo(float).tiny)) if left else 0.0,
    )


def _flatness(factors: Factors, metric: tuple[Metric, Metric], loss: float) -> Flatness:
    """Return the flatness of factors, which depends on the counts of cells and not on the cells."""
    model = Product()
    (L, R), (D1, D2) = factors, metric
    trace = float(2 * len(R) * np.sum((D1 @ L) ** 2) + 2 * len(L) * np.sum((D2 @ R) ** 2))
    return Flatness(
        hessian_trace=trace,
        gauss_newton_trace=trace,
        scaled_trace=float(2 * np.sum((D1 @ L) ** 2) + 2 * np.sum((D2 @ R) ** 2)),
        fibre_minimum=model.fibre_minimum(factors, metric),
        balance=model.balance(factors),
        norm_excess=model.norm_excess(factors),
        condition=condition_number(metric),
        loss=float(loss),
    )
