"""Dual vectors for exact proofs: multiples that pass their test, and vectors with given values on a tangent space."""

import math

import numpy as np
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from flatmin._core.arrays import Array
from flatmin.linalg.subspaces import as_array
from flatmin.proofs.exact.explicit_problem import ExplicitProblem
from flatmin.proofs.exact.tangent_equations import TangentEquations

__all__ = ["aligned", "largest_multiple", "lower_bound", "value_dual", "without_traces"]

#: The exact test accepts a matrix with diagonal near one if its smallest eigenvalue is at least this number times its
#: order, in units of 2⁻⁵².
ROOM = 2.0
#: Entries of a dual vector below this share of the largest are set to zero.
TRACE = 1e-18


def value_dual(explicit: ExplicitProblem, duals: list[Array], room: float = ROOM) -> Array:
    """Return the multiple of one of the dual vectors that passes the test of theorem V and has the largest bound."""
    best, value = np.zeros(len(explicit.problem.data)), 0.0
    for dual in duals:
        if not (np.all(np.isfinite(dual)) and np.any(dual)):
            continue
        scaled = dual * _share(explicit, dual, room)
        if (proved := lower_bound(explicit, scaled)) > value:
            best, value = scaled, proved
    return without_traces(best)


def without_traces(values: Array, share: float = TRACE) -> Array:
    """Return an array with zeros for numbers below a share of the largest, to shorten exact products."""
    return np.where(np.abs(values) < share * np.max(np.abs(values), initial=0.0), 0.0, values)


def lower_bound(explicit: ExplicitProblem, dual: Array) -> float:
    """Return the lower bound, rounded, that a dual vector proves if it passes its test."""
    data, m = explicit.problem.data, len(dual)
    if explicit.objective == "robust":
        return float(data @ dual)
    f = explicit.problem.parametrization.trace_factor
    if explicit.objective == "penalised":
        alpha = explicit.alpha
        return f * alpha * float(data @ dual) - f**2 / 4 * m * alpha**2 * float(dual @ dual)
    return f * float(data @ dual)


def _share(explicit: ExplicitProblem, dual: Array, room: float) -> float:
    """Return the factor of a dual vector with the best bound, among those with which it passes its test."""
    largest = largest_multiple(explicit, dual, room)
    if explicit.objective == "robust":
        weight, top = float(explicit.weight or 0.0), float(np.max(np.abs(dual)))
        while top * largest > weight:
            largest = min(weight / top, np.nextafter(largest, 0))
    if explicit.objective != "penalised":
        return largest if largest < math.inf else 1.0
    f, m, data = explicit.problem.parametrization.trace_factor, len(dual), explicit.problem.data
    best = 2 * float(data @ dual) / (f * m * explicit.alpha * float(dual @ dual))
    return min(largest, max(best, 0.0))


def largest_multiple(explicit: ExplicitProblem, dual: Array, room: float = ROOM) -> float:
    """Return the largest θ for which ``θ Λ``, ``Λ = A*(dual)``, passes the test of its cone with room for rounding.

    The room is about ``room · n · 2⁻⁵²`` for a test of order n. θ is 0 for a metric that is singular up to rounding,
    and infinite if all multiples pass.

    With ``G_j − slack = T_j T_j*`` after scaling to unit diagonals, θ is one over the norm of ``T_1⁻¹ Λ T_2⁻*``.
    """
    G1, G2 = explicit.squares
    n = sum(explicit.shape) if explicit.cone == "rectangular" else explicit.shape[0]
    slack = room * (n + 8) * 2.0**-52
    M = as_array(explicit.problem.measurement.adjoint_operator(dual))
    try:
        M = _divided(G1, _divided(G2, M.conj().T, slack).conj().T, slack)
    except LinAlgError:
        return 0.0
    if explicit.cone == "rectangular":
        norm = float(np.linalg.norm(M, 2))
    else:
        values = np.linalg.eigvalsh((M + M.conj().T) / 2)
        norm = float(values[-1]) if explicit.cone == "semidefinite" else float(np.max(np.abs(values)))
    return 1 / norm if norm > 0 else math.inf


def _divided(G: Array, M: Array, slack: float) -> Array:
    """Return ``T⁻¹ S M`` on the rows where G is not zero, with ``T T* = S G S − slack``.

    The diagonal matrix S scales G to a unit diagonal.
    """
    diagonal = G if G.ndim == 1 else np.diagonal(G).real
    seen = diagonal > 0
    scale = np.where(seen, 1 / np.sqrt(np.where(seen, diagonal, 1)), 0.0)
    scaled = scale[:, None] * M
    if G.ndim == 1:
        return np.asarray(scaled / np.sqrt(1 - slack))
    even = scale[:, None] * G * scale
    even[np.diag_indices_from(even)] = np.where(seen, 1 - slack, 1.0)
    return np.asarray(solve_triangular(cholesky(even, lower=True), scaled, lower=True))


def aligned(tangent: TangentEquations, dual: Array, target: Array) -> Array:
    """Return the nearest dual vector whose matrix agrees with ``target`` on the tangent space."""
    for _ in range(2):
        dual = dual + tangent.dual_step(target - tangent.adjoint(dual))
    return without_traces(dual)
