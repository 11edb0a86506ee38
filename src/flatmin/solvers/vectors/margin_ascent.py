"""Two ways to enlarge the margin of a uniqueness dual: an interior point method, and raising the lowest eigenvalues.

The margin is the smallest eigenvalue of ``A*(λ)`` on the complement, where the mean eigenvalue is one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular

from flatmin._core.arrays import Array
from flatmin.solvers.factored.tangent import solve_definite
from flatmin.solvers.vectors.amplitudes import row_inner
from flatmin.solvers.vectors.complement import Complement

__all__ = ["RAISED_LEVEL", "ascend_margin", "raise_lowest"]

#: Largest number of interior point steps.
MAX_STEPS = 40
#: Factor of the weight μ of the barrier after a step that ends near the minimiser of the barrier function.
BARRIER_FALL = 0.2
#: Smallest margin of interest. The ascent ends when the margin is known to stay below this.
SMALLEST_MARGIN = 1e-3
#: Number of lowest eigenvalues that a round of `raise_lowest` considers.
RAISED_EIGENVALUES = 32
#: Half of this is the lowest eigenvalue at which `raise_lowest` ends. The target of a round is somewhat higher than
#: this.
RAISED_LEVEL = 0.015
#: Largest number of rounds of `raise_lowest`.
RAISING_ROUNDS = 5
#: Largest number of conjugate gradient steps for a change of λ in a round of `raise_lowest`.
MAX_PRODUCTS = 60


@dataclass(frozen=True, eq=False)
class _Barrier:
    """A point (p, t) of the interior point method, with the inverse Cholesky factor of ``S = Σ p_i y_i y_i* − tI``."""

    p: Array
    t: float
    inverse_root: Array

    @classmethod
    def from_weights(cls, Y: Array, p: Array, t: float) -> _Barrier:
        n = Y.shape[1]
        S = (Y.conj().T * p) @ Y
        S[np.diag_indices(n)] -= t
        L = cholesky(S, lower=True, check_finite=False)
        return cls(p, t, solve_triangular(L, np.eye(n), lower=True, check_finite=False))


def ascend_margin(complement: Complement, dual: Array) -> Array:
    """Maximise the margin t over all λ with ``A*(λ) Q = 0`` and a fixed trace, starting at a λ of any margin.

    Newton steps minimise the barrier function ``−t/μ − log det(Σ p_i y_i y_i* − tI)``; see docs/theory/algorithms.md
    ("Interior point"). The result meets the constraints approximately; `Complement.polished` makes it meet them
    exactly.
    """
    X = complement.measurement.amplitudes(complement.basis.astype(complement.Q.dtype))
    length = np.sqrt(np.maximum(row_inner(X, X), 1e-3 * complement.energy))
    Y, n = X / length[:, None], X.shape[1]
    constraints = _constraints(Y, complement.V / length[:, None])
    p = dual * length**2
    trace = float(np.sum(p))
    if trace == 0:
        return dual
    p = p * (n / trace)
    lowest = float(np.linalg.eigvalsh((Y.conj().T * p) @ Y)[0])
    try:
        point = _Barrier.from_weights(Y, p, lowest - 0.1 * max(abs(1 - lowest), SMALLEST_MARGIN))
    except LinAlgError:
        return dual
    mu = 0.3 / float(np.linalg.norm(point.inverse_root) ** 2)
    for _ in range(MAX_STEPS):
        if complement.clock.out_of_time:
            break
        try:
            dp, dt = _newton_direction(Y, constraints, point, mu)
            a, centred = _step_length(Y, point, dp, dt, mu)
            point = _Barrier.from_weights(Y, point.p + a * dp, point.t + a * dt)
        except LinAlgError:
            break
        if centred:
            if n * mu < 0.5 * point.t or point.t + 2 * n * mu < SMALLEST_MARGIN:
                break
            mu *= BARRIER_FALL
    return np.asarray(point.p / length**2)


def _constraints(Y: Array, V: Array) -> Array:
    """Return C such that changes p with ``Cᵀ p = 0`` have ``Σ p_i [v_i; y_i] v_i* = 0`` and ``Σ p_i = 0``."""
    r = V.shape[1]
    rows, cols = np.triu_indices(r)
    own = V[:, rows] * V[:, cols].conj()
    across = (V[:, :, None] * Y.conj()[:, None, :]).reshape(len(Y), -1)
    both = np.hstack([own, across])
    columns = [both.real, both.imag[:, np.r_[rows != cols, np.ones(across.shape[1], bool)]]]
    return np.hstack([*columns[: 1 + np.iscomplexobj(both)], np.ones((len(Y), 1))])


def _newton_direction(Y: Array, constraints: Array, point: _Barrier, mu: float) -> tuple[Array, float]:
    """Return the Newton direction (dp, dt) of the barrier function within the constraints."""
    half = Y.conj() @ point.inverse_root.T
    inverse = point.inverse_root.conj().T @ point.inverse_root
    K = half @ half.conj().T
    H = K.real**2 + K.imag**2 if np.iscomplexobj(K) else K**2
    H[np.diag_indices(len(H))] += 1e-11 * np.trace(H) / len(H)
    factor = cho_factor(H, lower=True, overwrite_a=True, check_finite=False)
    gradient, bend = np.diagonal(K).real, row_inner(half @ point.inverse_root.conj(), half @ point.inverse_root.conj())
    solved = cho_solve(factor, np.column_stack([constraints, gradient, bend]), check_finite=False)
    schur = constraints.T @ solved[:, :-2]
    schur[np.diag_indices(len(schur))] += 1e-14 * np.trace(schur) / len(schur)
    multipliers = np.linalg.solve(schur, constraints.T @ solved[:, -2:])
    along_gradient, along_bend = (solved[:, -2:] - solved[:, :-2] @ multipliers).T
    size = float(np.linalg.norm(inverse) ** 2)
    pull = 1 / mu - float(np.trace(inverse).real)
    dt = (pull + float(bend @ along_gradient)) / (size - float(bend @ along_bend))
    return along_gradient + dt * along_bend, dt


def _step_length(Y: Array, point: _Barrier, dp: Array, dt: float, mu: float) -> tuple[float, bool]:
    """Return the step length that minimises the barrier function, and whether the step ends near the minimiser."""
    change = (Y.conj().T * dp) @ Y
    change[np.diag_indices(len(change))] -= dt
    e = np.linalg.eigvalsh(point.inverse_root @ change @ point.inverse_root.conj().T)
    most = 0.95 / -e[0] if e[0] < 0 else 10.0
    a = min(1.0, most)
    for _ in range(30):
        slope, curvature = -dt / mu - np.sum(e / (1 + a * e)), np.sum((e / (1 + a * e)) ** 2)
        following = float(np.clip(a - slope / curvature, 0.2 * a, most))
        close = abs(following - a) <= 1e-2 * a
        a = following
        if close:
            break
    return a, bool(np.linalg.norm(e) < 0.7 or a > 0.9)


def raise_lowest(complement: Complement, dual: Array, seed: int) -> Array:
    """Raise the lowest eigenvalues of ``A*(λ)`` on the complement by the smallest change δ of λ in a weighted norm.

    The change keeps ``A*(δ) Q = 0``. For the lowest eigenvectors Z, ``Z* A*(δ) Z`` is diagonal, and its entries are
    the amounts by which their eigenvalues are too small.
    """
    Q = complement.Q
    for _ in range(RAISING_ROUNDS):
        values, Z = complement.lowest(dual, RAISED_EIGENVALUES, seed)
        if not len(values) or values[0] >= RAISED_LEVEL / 2 or complement.clock.out_of_time:
            break
        low = values < 3 * RAISED_LEVEL
        B = complement.measurement.amplitudes(Z[:, low])
        p = dual * complement.energy / float(np.mean(dual * complement.energy))
        weights = (1 + p * min(1.0, 0.9 / max(-float(p.min()), 0.9))) ** 3 / complement.energy**2

        def forward(x: Array, B: Array = B) -> Array:
            G, rises = x[: Q.size].reshape(Q.shape), x[Q.size :].reshape(B.shape[1], -1)
            return np.asarray(complement.correlate(G) + row_inner(B, B @ rises.T))

        def normal(x: Array, B: Array = B, weights: Array = weights) -> Array:
            y = weights * forward(x, B)
            return np.concatenate([complement.apply(y).ravel(), ((B.T * y) @ B.conj()).ravel()])

        rises = np.diag(np.maximum(1.5 * RAISED_LEVEL - values[low], 0)).astype(B.dtype)
        right = np.concatenate([np.zeros(Q.size, B.dtype), rises.ravel()])
        multipliers = solve_definite(normal, right, 1e-2, MAX_PRODUCTS, floor=0.0)
        dual = complement.polished(dual + weights * forward(multipliers))
    return dual
