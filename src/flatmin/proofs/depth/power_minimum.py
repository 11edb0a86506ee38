"""Minimisation of ``Σ |z_j|^p`` under linear equations, exact or penalised, for p from 1 to 2."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, lstsq, solve_triangular

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.errors import InputError
from flatmin.proofs.certificate import check_strength
from flatmin.proofs.depth.power_bounds import dual_power_norm, normal_equations, penalised_bound, scaled_bound

__all__ = ["PowerNormMinimum", "minimise_power_norm"]

#: Rows may be redundant if pivots of the Cholesky factor of their Gram matrix are below this share of the largest.
REDUNDANT = 1e-5
#: Largest norm of the data, largest ratio of data to rows, and fourth power of the largest entry of the rows. The
#: inverse of this number is the smallest one allowed.
LARGEST_SIZE = 1e150
#: Singular values below this share of the largest count as zero when redundant rows are removed.
NUMERICAL_RANK = 1e-12
#: Equations are contradictory if the distance of the data from the range of B, relative to the data, exceeds this.
INCONSISTENT = 1e-8
#: Newton's method ends once the equations hold to this relative accuracy.
EXACT = 1e-14
#: Newton's method also ends once the equations hold to this relative accuracy and no longer improve.
NEARLY_EXACT = 1e-11
#: Relative gap and residual at which the interior point method ends and its limit is computed exactly.
CLOSE = 1e-10
#: Number of steps without progress after which the interior point method ends.
PATIENCE = 6
#: Share of the distance to the boundary of the positive orthant that a step of the interior point method covers.
TOWARDS_BOUNDARY = 0.995
#: Largest number of steps of Newton's method and of the interior point method; ten to twenty are usual.
MOST_STEPS = 200

Report = Callable[[Array, Array, Array], None]


@dataclass(frozen=True, eq=False)
class PowerNormMinimum:
    """A solution z of ``min Σ |z_j|^p s.t. B z = b``; the nearest consistent equations replace contradictory ones.

    The ``dual`` λ is optimal up to rounding. It is scaled to ``‖Bᵀλ‖_q = 1`` with ``1/p + 1/q = 1``, unless the problem
    is penalised or the data are zero. The history has ``iteration``, ``seconds``, ``residual``, ``gap`` and ``rank``
    (coordinates that are not small) of every step.
    """

    z: Array
    dual: Array
    converged: bool
    consistent: bool
    history: dict[str, list[float]] = field(default_factory=dict)


def minimise_power_norm(
    B: Array,
    b: Array,
    p: float,
    clock: Clock | None = None,
    callback: Callable[[dict[str, float]], Any] | None = None,
    *,
    penalty: float = 0.0,
) -> PowerNormMinimum:
    """Minimise ``Σ |z_j|^p`` subject to ``B z = b``, or ``Σ |z_j|^p + ‖B z − b‖² / 2μ``, for 1 ≤ p < 2.

    The methods are a primal-dual interior point method for p = 1 and Newton's method on the dual for p > 1, see
    docs/theory/depth.md. The second function is minimised if the ``penalty`` μ is positive; its multiplier λ satisfies
    ``B z + μ λ = b`` and is not scaled. Rows of B may be redundant. The callback receives a row of the history after
    each step.
    """
    clock = Clock() if clock is None else clock
    reduced = _Reduced.from_equations(B, b) if penalty == 0 else _Reduced.from_rotation(B, b)
    rows, scale = reduced.rows, float(np.linalg.norm(reduced.data))
    length = float(np.max(np.abs(rows), initial=0.0))
    if np.any(reduced.data) and length and not _is_moderate(scale, length):
        raise InputError(
            "the weighted sensing vectors or the solution have extreme sizes, whose powers overflow; scale them"
        )
    if scale == 0:
        return PowerNormMinimum(np.zeros(B.shape[1]), b / penalty if penalty else 0 * b, True, reduced.consistent)
    check_strength(penalty, scale ** (2 - p))
    data, scaled = reduced.data / scale, penalty * scale ** (p - 2)
    if p == 1 and penalty and dual_power_norm(rows.T @ data, 1.0) <= scaled:
        return PowerNormMinimum(np.zeros(B.shape[1]), b / penalty, True, True)
    history: dict[str, list[float]] = {}

    def report(z: Array, y: Array, residual: Array) -> None:
        misfit, gap = float(np.linalg.norm(residual)), _gap(rows, data, p, scaled, z, y)
        rank = int(np.count_nonzero(np.abs(z) > 1e-6 * np.max(np.abs(z))))
        clock.record(history, callback, residual=misfit, gap=gap, rank=rank)

    method = _interior_point if p == 1 else _dual_newton
    z, y, converged = method(rows, data, p, scaled, clock, report)
    if penalty:
        dual = reduced.rotated_dual(y * (p * scale ** (p - 1) if p > 1 else 1.0), b, penalty)
        return PowerNormMinimum(scale * reduced.spread(z), dual, converged, True, history)
    norm = dual_power_norm(rows.T @ y, p)
    y = y / norm if norm > 0 else y
    return PowerNormMinimum(scale * reduced.spread(z), reduced.dual(y), converged, reduced.consistent, history)


def _is_moderate(scale: float, length: float) -> bool:
    """Return whether data, rows and solution have sizes whose powers neither overflow nor underflow."""
    extreme = LARGEST_SIZE, LARGEST_SIZE, LARGEST_SIZE**0.25
    return all(1 / most < size < most for most, size in zip(extreme, (scale, scale / length, length), strict=True))


@dataclass(frozen=True, eq=False)
class _Reduced:
    """Equations ``rows z' = data`` of full rank with ``B z = merge rows z'``; z' are the coordinates that B sees."""

    rows: Array
    data: Array
    seen: Array
    sizes: Array
    merge: Array | None
    consistent: bool

    @classmethod
    def from_equations(cls, B: Array, b: Array) -> _Reduced:
        seen = np.asarray(B.any(axis=0))
        sizes = np.linalg.norm(B, axis=1)
        sizes[sizes == 0] = 1.0
        rows, merge = _independent((B / sizes[:, None])[:, seen])
        if merge is None:
            return cls(rows, b / sizes, seen, sizes, None, True)
        merge = sizes[:, None] * merge
        data = lstsq(merge, b)[0] if len(rows) else np.zeros(0)
        misfit = float(np.linalg.norm(b - merge @ data))
        return cls(rows, data, seen, sizes, merge, misfit <= INCONSISTENT * float(np.linalg.norm(b)))

    @classmethod
    def from_rotation(cls, B: Array, b: Array) -> _Reduced:
        """Return the equations; if there are more of them than unknowns, rotate them into one for each unknown."""
        seen = np.asarray(B.any(axis=0))
        rows, data, Q = B[:, seen], b, None
        if rows.shape[0] > rows.shape[1]:
            Q, rows = np.linalg.qr(rows)
            data = Q.T @ b
        return cls(rows, data, seen, np.ones(len(data)), Q, True)

    def rotated_dual(self, y: Array, b: Array, penalty: float) -> Array:
        """Return the multiplier of the original equations, given that of the rotated ones."""
        return y if self.merge is None else self.merge @ y + (b - self.merge @ self.data) / penalty

    def spread(self, z: Array) -> Array:
        """Return z in all coordinates, with zeros in those that no equation sees."""
        out = np.zeros(len(self.seen))
        out[self.seen] = z
        return out

    def dual(self, y: Array) -> Array:
        """Return the λ with ``Bᵀλ = rowsᵀ y`` and ``⟨b, λ⟩ = ⟨data, y⟩``."""
        return y / self.sizes if self.merge is None else np.asarray(lstsq(self.merge.T, y)[0])


def _gap(B: Array, b: Array, p: float, penalty: float, z: Array, y: Array) -> float:
    """Return the relative gap between the value of a solution and the lower bound that its multiplier proves."""
    value = float(np.sum(np.abs(z) ** p))
    if penalty:
        value += float(np.sum((b - B @ z) ** 2)) / (2 * penalty)
        return 1 - penalised_bound(B, b, y if p == 1 else p * y, p, penalty) / value
    return 1 - scaled_bound(B, b, y, p) / value if value else 0.0


def _independent(B: Array) -> tuple[Array, Array | None]:
    """Return ``(B, None)`` if the rows are clearly independent, else (R, Q) with ``B = Q R`` and R of full rank."""
    lengths = np.linalg.norm(B, axis=0)
    unit = B / lengths
    if B.shape[0] <= B.shape[1]:
        try:
            pivots = np.abs(np.diagonal(cho_factor(unit @ unit.T)[0]))
            if pivots.min() > REDUNDANT * pivots.max():
                return B, None
        except LinAlgError:
            pass
    U, values, Vt = np.linalg.svd(unit, full_matrices=False)
    kept = values > NUMERICAL_RANK * np.max(values, initial=0.0)
    return Vt[kept] * lengths, U[:, kept] * values[kept]


def _dual_newton(
    B: Array, b: Array, p: float, penalty: float, clock: Clock, report: Report
) -> tuple[Array, Array, bool]:
    """Minimise ``Σ |s_j|^q / q + (ridge/2) ‖y‖² − ⟨b, y⟩``, ``ridge = p μ``; the multiplier is ``p y``."""
    q, ridge = p / (p - 1), p * penalty
    y = normal_equations(B, np.ones(B.shape[1]))(b)
    s = B.T @ y
    length = (float(b @ y) / float(np.sum(np.abs(s) ** q))) ** (1 / (q - 1))  # the best multiple of the first guess
    if ridge:
        length = min(length, float(b @ y) / (ridge * float(y @ y)))
    y, s, best = length * y, length * s, np.inf
    for _ in range(MOST_STEPS):
        z = np.sign(s) * np.abs(s) ** (q - 1)
        residual = b - B @ z - ridge * y
        report(z, y, residual)
        misfit = float(np.linalg.norm(residual) / np.linalg.norm(b))
        if misfit <= EXACT or (misfit <= NEARLY_EXACT and misfit > best / 2):
            return z, y, True
        if clock.exhausted:
            break
        best = min(best, misfit)
        dy = normal_equations(B, (q - 1) * np.abs(s) ** (q - 2), ridge)(residual)
        ds = B.T @ dy
        step = _line_minimum(s, ds, q, float((b - ridge * y) @ dy), ridge * float(dy @ dy))
        y, s = y + step * dy, s + step * ds
        clock.iterations += 1
    return z, y, False


def _line_minimum(s: Array, ds: Array, q: float, slope: float, curvature: float = 0.0) -> float:
    """Return the minimiser t of ``Σ |s_j + t ds_j|^q / q + t² · curvature / 2 − t · slope``, or 1 if nearly as good."""

    def derivative(t: float) -> float:
        moved = s + t * ds
        return float(ds @ (np.sign(moved) * np.abs(moved) ** (q - 1))) + t * curvature - slope

    if abs(derivative(1.0)) <= 1e-2 * abs(derivative(0.0)):
        return 1.0
    low, high = 0.0, 1.0
    while derivative(high) < 0 and high < 1e6:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if derivative(middle) < 0 else (low, middle)
    return (low + high) / 2


def _interior_point(
    B: Array, b: Array, p: float, penalty: float, clock: Clock, report: Report
) -> tuple[Array, Array, bool]:
    """Follow the central path of the linear programme ``min Σ x s.t. B (x⁺ − x⁻) = b, x ≥ 0`` (Mehrotra's method).

    The slacks ``s = (1 − Bᵀy, 1 + Bᵀy)`` stay positive. With μ > 0 the equations are ``B (x⁺ − x⁻) + μ y = b``.
    """
    n, lengths = B.shape[1], np.linalg.norm(B, axis=0)
    z = (B / lengths**2).T @ normal_equations(B, lengths**-2.0)(b)
    inside = np.mean(np.abs(lengths * z)) / lengths
    x = np.concatenate([np.maximum(z, 0) + inside, np.maximum(-z, 0) + inside])
    y, s = np.zeros(len(b)), np.ones(2 * n)
    best, errors = (z, y), [np.inf]
    for _ in range(MOST_STEPS):
        z = x[:n] - x[n:]
        residual = b - B @ z - penalty * y
        report(z, y, residual)
        value = float(np.abs(z).sum())
        apart = _gap(B, b, p, penalty, z, y) if penalty else (value - float(b @ y)) / value
        error = max(abs(apart), float(np.linalg.norm(residual) / np.linalg.norm(b)))
        if error <= min(errors):
            best = z, y
        errors.append(error)
        stalled = min(errors[-PATIENCE:]) > min(errors[:-PATIENCE], default=np.inf) / 2
        if error <= CLOSE or stalled or clock.exhausted:
            break
        ratio, mu = x / s, float(x @ s) / (2 * n)
        solve = normal_equations(B, ratio[:n] + ratio[n:], penalty)
        direction = partial(_newton_step, B, x, s, residual, solve)
        dx, dy, ds = direction(0.0)
        reached = float((x + _longest(x, dx) * dx) @ (s + _longest(s, ds) * ds)) / (2 * n)
        dx, dy, ds = direction(mu * (reached / mu) ** 3 - dx * ds)
        reaches = _longest(x, dx), _longest(s, ds)
        forward, step = (min(reaches),) * 2 if penalty else reaches
        x = x + forward * dx
        y, s = y + step * dy, s + step * ds
        clock.iterations += 1
    exact = _on_the_support(B, b, *best) if penalty == 0 else _penalised_on_the_support(B, b, penalty, *best)
    return *exact, not clock.exhausted


def _newton_step(
    B: Array, x: Array, s: Array, residual: Array, solve: Callable[[Array], Array], target: Any
) -> tuple[Array, Array, Array]:
    """Return the Newton step that makes the equations hold and every product x_j s_j equal to its target."""
    toward, n = target / s - x, B.shape[1]
    dy = solve(residual - B @ (toward[:n] - toward[n:]))
    Y = B.T @ dy
    ds = np.concatenate([-Y, Y])
    return toward - x / s * ds, dy, ds


def _longest(x: Array, dx: Array) -> float:
    """Return the largest step t ≤ 1 with which ``x + t dx`` stays positive, less a small reserve."""
    shrinking = dx < 0
    return min(1.0, TOWARDS_BOUNDARY * float(np.min(-x[shrinking] / dx[shrinking], initial=np.inf)))


def _on_the_support(B: Array, b: Array, z: Array, y: Array) -> tuple[Array, Array]:
    """Return the exact z on its support and the y with ``Bᵀy = sign(z)`` there, each only if it is an improvement."""
    lengths, slack = np.linalg.norm(B, axis=0), 1 - np.abs(B.T @ y)
    support = lengths * np.abs(z) > slack * np.max(lengths * np.abs(z))
    if not support.any():
        return z, y
    columns, exact = B[:, support], np.zeros_like(z)
    exact[support] = z[support]
    for _ in range(2):
        relative = lstsq(columns * exact[support], b - columns @ exact[support], lapack_driver="gelsy")[0]
        exact[support] *= 1 + relative
    change = np.sign(z[support]) - columns.T @ y
    corrected = y + lstsq((columns / lengths[support]).T, change / lengths[support], lapack_driver="gelsy")[0]
    fits = np.linalg.norm(b - B @ exact) <= max(np.linalg.norm(b - B @ z), EXACT * np.linalg.norm(b))
    same = np.array_equal(np.sign(exact), np.sign(np.where(support, z, 0)))
    if fits and same:
        z = exact
    return z, corrected if scaled_bound(B, b, corrected, 1.0) > scaled_bound(B, b, y, 1.0) else y


def _penalised_on_the_support(B: Array, b: Array, penalty: float, z: Array, y: Array) -> tuple[Array, Array]:
    """Return the solution of ``C z + μ y = b``, ``Cᵀy = sign(z)``, C the columns of B in the support, if better."""
    lengths, slack = np.linalg.norm(B, axis=0), 1 - np.abs(B.T @ y)
    support = lengths * np.abs(z) > slack * np.max(lengths * np.abs(z))
    if not 0 < np.count_nonzero(support) <= len(b):
        return z, y
    Q, R = np.linalg.qr(B[:, support])
    diagonal = np.abs(np.diagonal(R))
    if diagonal.min() <= NUMERICAL_RANK * diagonal.max():
        return z, y
    signs, exact = solve_triangular(R, np.sign(z[support]), trans="T"), np.zeros_like(z)
    exact[support] = solve_triangular(R, Q.T @ b - penalty * signs)
    beyond = b - Q @ (Q.T @ b)
    beyond -= Q @ (Q.T @ beyond)
    multiplier = Q @ signs + (beyond / penalty if np.linalg.norm(beyond) > EXACT * np.linalg.norm(b) else 0.0)
    same = np.array_equal(np.sign(exact), np.sign(np.where(support, z, 0)))
    better = same and abs(_gap(B, b, 1.0, penalty, exact, multiplier)) <= abs(_gap(B, b, 1.0, penalty, z, y))
    return (exact, multiplier) if better else (z, y)
