"""Newton's method for penalised completion, for high accuracies, where alternating least squares is slow."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.linalg.kernels.parallel import available, in_parts
from flatmin.solvers.completion.regularised_cells import RegularisedCells, Side
from flatmin.solvers.factored.newton import polynomial_minimiser

__all__ = ["FactorPoint", "newton_steps"]

#: Largest number of conjugate gradient steps in a Newton step.
MAX_PRODUCTS = 200
#: Number of entries in all preconditioner blocks above which several threads are faster than one.
MIN_THREADED = 1_000_000


@dataclass(frozen=True, eq=False)
class FactorPoint:
    """Factors of a table, with the weighted errors at the observed cells and the relative gradient at the factors."""

    L: Array
    R: Array
    errors: Array
    gradient: float


def newton_steps(
    problem: RegularisedCells, L: Array, R: Array, tol: float, clock: Clock, max_steps: int = 12
) -> FactorPoint:
    """Minimise Φ from (L, R) until the gradient is at most ``tol`` times the size of the factors, in the metric (A, C).

    Newton systems are solved by conjugate gradients in single precision, and the preconditioner is the inverse of a
    k×k block for every row. Gradients and step lengths are computed in double precision.
    """
    rows, d1 = problem.rows.bare(), len(L)  # only the errors need values
    columns = rows.turned(problem.columns)
    penalties = np.concatenate([rows.penalties, columns.penalties])[:, None]
    safe = np.where(penalties > 0, penalties, 1.0)
    errors, precondition = problem.errors(L, R), None
    light = rows.single(), columns.single()
    for step in range(max_steps + 1):
        x, pulled = np.concatenate([L, R]), problem.pulled(errors)
        turned = columns.cells.arranged(pulled)
        slope = np.concatenate([rows.cells.product(pulled, R), columns.cells.product(turned, L)])
        gradient = penalties * x - slope
        size = float(np.sum(penalties * x**2))
        relative = float(np.sqrt(np.sum(gradient**2 / safe) / size)) if size else 0.0
        if relative <= tol or step == max_steps or clock.exhausted:
            break
        clock.iterations += 1
        if precondition is None or step % 4 == 0:
            precondition = _blockwise(light, L, R)
        goal = max(min(0.1, relative**0.5), 0.3 * tol / relative)
        pulls = pulled.astype(np.float32), turned.astype(np.float32)
        del pulled, turned
        d = _conjugate_gradients(light, pulls, L, R, gradient, goal, precondition, clock)
        del pulls
        P, Q = d[:d1], d[d1:]
        t, errors = _moved(problem, (L, R), (P, Q), errors)
        if t == 0:
            break
        L, R = L + t * P, R + t * Q
    return FactorPoint(L, R, errors, relative)


def _conjugate_gradients(
    sides: tuple[Side, Side],
    pulls: tuple[Array, Array],
    L: Array,
    R: Array,
    gradient: Array,
    goal: float,
    precondition: Callable[[Array], Array],
    clock: Clock,
) -> Array:
    """Solve the Newton system until the preconditioned residual has shrunk by the factor ``goal``.

    If a direction has too little or negative curvature, the iteration ends and returns the steps taken so far, or that
    direction if it is the very first.
    """
    left, right = L.astype(np.float32), R.astype(np.float32)
    penalties = np.concatenate([side.penalties for side in sides]).astype(np.float32)[:, None]
    scale = float(np.abs(gradient).max())
    r: Array = (-gradient / scale).astype(np.float32)
    d: Array = np.zeros_like(r)
    d1 = len(L)

    def curved(p: Array) -> Array:
        mine, others = np.hstack([left, p[:d1]]), np.hstack([right, p[d1:]])
        halves = (
            sides[0].cells.curved(pulls[0], mine, others, sides[0].weights),
            sides[1].cells.curved(pulls[1], others, mine, sides[1].weights),
        )
        return np.asarray(penalties * p + np.concatenate(halves))

    z = precondition(r)
    p, rz = z, float(np.vdot(r, z))
    first = rz
    for i in range(MAX_PRODUCTS):
        Hp = curved(p)
        clock.products += 1
        curvature = float(np.vdot(p, Hp))
        if curvature <= 1e-6 * float(np.vdot(p, penalties * p)):
            d = p if i == 0 else d
            break
        d, r = d + np.float32(rz / curvature) * p, r - np.float32(rz / curvature) * Hp
        z = precondition(r)
        rz, before = float(np.vdot(r, z)), rz
        if not rz > goal**2 * first or clock.out_of_time:
            break
        p = z + np.float32(rz / before) * p
    return scale * d.astype(float)


def _blockwise(sides: tuple[Side, Side], L: Array, R: Array) -> Callable[[Array], Array]:
    """Return the inverse of the diagonal blocks ``a I + Σ w² r rᵀ``, one for each row of the factors."""
    inverse = np.concatenate(
        [
            side.cells.inverse_grams(
                F.astype(np.float32), np.where(side.penalties > 0, side.penalties, 1.0), side.weights
            )
            for side, F in zip(sides, (R, L), strict=True)
        ]
    )
    threads = available() if inverse.size > MIN_THREADED else 1

    def applied(r: Array) -> Array:
        out = np.empty_like(r)

        def part(start: int, stop: int) -> None:
            np.matmul(inverse[start:stop], r[start:stop, :, None], out=out[start:stop, :, None])

        in_parts(part, len(r), threads)
        return out

    return applied


def _moved(
    problem: RegularisedCells, point: tuple[Array, Array], direction: tuple[Array, Array], errors: Array
) -> tuple[float, Array]:
    """Return the exact minimiser t of the objective along a direction, and the errors there."""
    (L, R), (P, Q) = point, direction
    cells, weights = problem.rows.cells, problem.rows.weights
    linear = cells.sampled(np.hstack([L, P]), np.hstack([Q, R]))
    quadratic = cells.sampled(P, Q)
    if weights is not None:
        linear *= weights
        quadratic *= weights
    across = sum(float(np.sum(root**2 * F * G)) for root, F, G in zip(problem.roots, point, direction, strict=True))
    second, first = linear @ linear - 2 * (errors @ quadratic) + problem.size(P, Q), 2 * (across - errors @ linear)
    t = polynomial_minimiser(quadratic @ quadratic, 2 * (linear @ quadratic), second, first, 0.0)
    linear *= t
    quadratic *= t**2
    linear += quadratic
    return t, np.subtract(errors, linear, out=linear)
