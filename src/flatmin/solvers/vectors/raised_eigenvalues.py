"""Uniqueness duals of large problems: the few lowest eigenvalues of a dual matrix are raised."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin.solvers.factored.tangent import solve_definite
from flatmin.solvers.vectors.amplitudes import row_inner
from flatmin.solvers.vectors.complement import Complement

__all__ = ["LEVEL", "raise_lowest"]

#: Number of eigenvalues raised in a round, the level that they are raised to, and the number of rounds.
RAISED, LEVEL, ROUNDS = 32, 0.015, 5
#: Largest number of conjugate gradient steps for a change of λ.
MAX_PRODUCTS = 60


def raise_lowest(complement: Complement, dual: Array, seed: int) -> Array:
    """Raise the lowest eigenvalues of ``A*(λ)`` on the complement by a weighted least change of λ.

    The change δ has ``A*(δ)Q = 0``, and ``Z* A*(δ) Z`` is diagonal with the missing amounts for the eigenvectors Z.
    """
    Q = complement.Q
    for _ in range(ROUNDS):
        values, Z = complement.lowest(dual, RAISED, seed)
        if not len(values) or values[0] >= LEVEL / 2 or complement.clock.out_of_time:
            break
        low = values < 3 * LEVEL
        B = complement.measurement.amplitudes(Z[:, low])
        p = dual * complement.energy / float(np.mean(dual * complement.energy))
        weights = (1 + p * min(1.0, 0.9 / max(-float(p.min()), 0.9))) ** 3 / complement.energy**2

        def forward(x: Array, B: Array = B) -> Array:
            G, rises = x[: Q.size].reshape(Q.shape), x[Q.size :].reshape(B.shape[1], -1)
            return np.asarray(complement.correlate(G) + row_inner(B, B @ rises.T))

        def normal(x: Array, B: Array = B, weights: Array = weights) -> Array:
            y = weights * forward(x, B)
            return np.concatenate([complement.apply(y).ravel(), ((B.T * y) @ B.conj()).ravel()])

        rises = np.diag(np.maximum(1.5 * LEVEL - values[low], 0)).astype(B.dtype)
        right = np.concatenate([np.zeros(Q.size, B.dtype), rises.ravel()])
        multipliers = solve_definite(normal, right, 1e-2, MAX_PRODUCTS, floor=0.0)
        dual = complement.polished(dual + weights * forward(multipliers))
    return dual
