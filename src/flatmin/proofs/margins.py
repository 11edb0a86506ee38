"""Lower bounds on the eigenvalues of a Hermitian matrix on the complement of a subspace."""

from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin.linalg.factorizations import positive_on_complement
from flatmin.linalg.forward_error import UNIT, defect_of_columns, gamma, pieces, summed, summed_terms
from flatmin.linalg.krylov import largest_eigenvalue
from flatmin.linalg.metric import Metric
from flatmin.linalg.random_starts import FAILURE, normal_starts, product_rounding, starts_at_once
from flatmin.linalg.subspaces import as_array, largest_of_operator, lowest_on_complement, with_unseen

__all__ = ["complement_margin"]

#: Up to this dimension a matrix known by its products is formed and factorized.
LARGEST_FORMED = 5000
#: Shares of the estimated smallest eigenvalue that a factorization tries to prove, in this order.
SHARES = (0.985, 0.5)
#: Iterations with random starts stop once the proved margin is this share of the estimated margin.
MARGIN_SETTLED = 0.57
#: Largest number of steps of an iteration with random starts.
MARGIN_STEPS = 150
#: Number of the stream of random numbers for the starts, which keeps it apart from other streams of the same seed.
MARGIN_STREAM = 1 << 20


def complement_margin(W: Any, U: Array, seen: Metric, seed: int = 0, randomized: bool = True) -> tuple[float, str]:
    """Return a lower bound on the eigenvalues of a Hermitian W on the complement of U, and the kind of its proof.

    W (d, d) vanishes on the orthonormal columns of U (d, k) and in directions that no measurement sees; ``seen`` is the
    projector on the directions that measurements see, as the power 0 of a metric. Lanczos estimates the smallest
    eigenvalue. If the matrix can be formed, a Cholesky factorization proves a little less, with its rounding errors
    subtracted. For larger matrices, a Lanczos iteration with random starts gives a bound that is wrong with probability
    at most `FAILURE`; it counts as a proof if ``randomized``.
    """
    if len(U) > LARGEST_FORMED:
        margin, kind = _likely_margin(W, U, seen, seed)
        return margin, kind if randomized else "estimated"
    values, _ = lowest_on_complement(W, U, seen, 1, 1e-4, seed)
    estimate = float(values[0]) if len(values) else 0.0
    if estimate <= 0:
        return estimate, "estimated"
    dense = as_array(W)
    if seen.rank < len(U):
        dense = dense + estimate * (np.eye(len(U)) - seen.dense)
    for share in SHARES:
        if positive_on_complement(dense, U, share * estimate):
            return share * estimate, "cholesky"
    return estimate, "estimated"


def _likely_margin(W: Any, U: Array, seen: Metric, seed: int) -> tuple[float, str]:
    """Return the bound that random starts give, or else an estimate, and its kind.

    The iteration is one for ``P (c I − W) P``, where P is the projector on the complement and c a mean eigenvalue of W,
    so that its zeros on the range of U lie inside the spectrum.
    """
    known, scale = with_unseen(U, seen), _norm_bound(W)

    def inside(x: Array) -> Array:
        x = seen @ x if seen.is_diagonal else x
        along = summed(known[piece].conj().T @ x[piece] for piece in pieces(len(x)))
        return np.asarray(x - known @ along)

    starts = inside(normal_starts(W, starts_at_once(W), (seed, MARGIN_STREAM)))
    middle = float(np.vdot(starts, W @ starts).real / np.vdot(starts, starts).real)
    whole = scale + abs(middle)
    options: dict[str, Any] = {"skew": defect_of_columns(known), "additions": summed_terms(len(known))}
    rounding = product_rounding(W, known.shape[1], whole, **options) + 8 * UNIT * whole
    rounding += float(np.linalg.norm(W @ known)) + product_rounding(W, 0, scale) * float(np.sqrt(known.shape[1]))
    found = largest_eigenvalue(
        lambda x: inside(middle * x - W @ x),
        starts,
        dimension=seen.rank - U.shape[1],
        failure=FAILURE,
        rounding=rounding,
        steps=MARGIN_STEPS,
        enough=lambda reached, upper: reached >= middle or middle - upper >= MARGIN_SETTLED * (middle - reached),
    )
    if found.upper < middle:
        return middle - found.upper, "probabilistic"
    return middle - found.reached, "estimated"


def _norm_bound(W: Any) -> float:
    """Return an upper bound on the norm of a Hermitian matrix; for an operator that states none, an estimate."""
    if isinstance(W, np.ndarray):
        return float(np.max(np.abs(W).sum(axis=0), initial=0.0)) * (1 + gamma(len(W)))
    return float(W.norm_bound) if hasattr(W, "norm_bound") else largest_of_operator(W)
