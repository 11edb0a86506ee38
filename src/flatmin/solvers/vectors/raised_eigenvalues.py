"""A uniqueness dual of a large problem, its few lowest eigenvalues raised."""

from collections.abc import Callable

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.vectors.amplitudes import row_inner
from flatmin.solvers.vectors.complement import Complement

__all__ = ["LEVEL", "raise_lowest"]

#: So many of the lowest eigenvalues at a time are raised to this level, in so many rounds.
RAISED, LEVEL, ROUNDS = 32, 0.015, 5


def raise_lowest(complement: Complement, dual: Array, seed: int) -> Array:
    """Raise the lowest eigenvalues of ``A*(λ)`` on the complement, with as small a weighted change of λ as will do it.

    The change δ has ``A*(δ)Q = 0`` and ``Z* A*(δ) Z`` diagonal with the rises missing, where Z are the eigenvectors.

    Parameters
    ----------
    complement : Complement
        Where A*(λ) shall be positive.
    dual : ndarray, shape (m,)
        Where to start, its smallest eigenvalue not far below zero.

    Returns
    -------
    ndarray, shape (m,)
        Polished.
    """
    for _ in range(ROUNDS):
        values, Z = complement.lowest(dual, RAISED, seed)
        if not len(values) or values[0] >= LEVEL / 2 or complement.out_of_time:
            break
        low = values < 3 * LEVEL
        B = complement.measurement.amplitudes(Z[:, low])
        p = dual * complement.energy / float(np.mean(dual * complement.energy))
        weights = (1 + p * min(1.0, 0.9 / max(-float(p.min()), 0.9))) ** 3 / complement.energy**2

        def forward(x: tuple[Array, Array], B: Array = B) -> Array:
            return np.asarray(complement.correlate(x[0]) + row_inner(B, B @ x[1].T))

        def adjoint(y: Array, B: Array = B) -> tuple[Array, Array]:
            return complement.apply(y), (B.T * y) @ B.conj()

        rises = np.diag(np.maximum(1.5 * LEVEL - values[low], 0)).astype(B.dtype)
        multipliers = _solve_pair(forward, adjoint, weights, (np.zeros_like(complement.Q), rises))
        dual = complement.polished(dual + weights * forward(multipliers))
    return dual


def _solve_pair(
    forward: Callable[[tuple[Array, Array]], Array],
    adjoint: Callable[[Array], tuple[Array, Array]],
    weights: Array,
    right: tuple[Array, Array],
) -> tuple[Array, Array]:
    """Solve ``adjoint(weights ∘ forward(x)) = right`` for a pair of matrices, to two digits, by conjugate gradients."""
    x = (np.zeros_like(right[0]), np.zeros_like(right[1]))
    residual = p = right
    rr = goal = sum(float(np.vdot(r, r).real) for r in right)
    for _ in range(60):
        if rr <= 1e-4 * goal:
            break
        image = adjoint(weights * forward(p))
        t = rr / sum(float(np.vdot(u, v).real) for u, v in zip(p, image, strict=True))
        x = (x[0] + t * p[0], x[1] + t * p[1])
        residual = (residual[0] - t * image[0], residual[1] - t * image[1])
        rr, before = sum(float(np.vdot(r, r).real) for r in residual), rr
        p = (residual[0] + rr / before * p[0], residual[1] + rr / before * p[1])
    return x
