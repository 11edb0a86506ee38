"""Newton's method for the factored problem of one augmented Lagrangian round, without and with a guiding multiplier."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import LinAlgError, blas, cho_factor, cho_solve

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import Linearization, QuadraticMap
from flatmin.linalg.subspaces import EPS

__all__ = ["Minimum", "NewtonSchedule", "minimise", "minimise_guided", "polynomial_minimiser"]


@dataclass(frozen=True)
class NewtonSchedule:
    """Settings of preconditioners and of the damping of guided steps. A product is one conjugate gradient step."""

    max_products: int = 300  #: Largest number of products in a Newton step.
    factorize_below: float = 0.1  #: Relative gradient below which a factorized Hessian nearby is a good preconditioner.
    #: Number of products in a Newton step above which the Hessian is factorized if the derivative is not explicit.
    slow: int = 60
    #: A factorized preconditioner is renewed after a Newton step with more products than this. Inverse blocks are
    #: renewed after a step that needs over this many products more than the first step with these blocks.
    worn: int = 4
    #: For large blocks and guided steps, the number of products in the first step is multiplied by this before the
    #: comparison that ``worn`` describes.
    worn_factor: int = 2
    #: Smallest distance of ``a`` from the spectrum of K in the resolvent ``(aI − K)^(-1/2)`` if the Hessian is
    #: factorized without an explicit derivative. At smaller distances, rounding spoils the factorization below the
    #: recovery threshold.
    min_shift: float = 1e-7
    #: Number of entries from which inverse blocks count as large: they do not fit into the cache and are renewed less
    #: often.
    large_blocks: int = 1_000_000
    #: Largest trace of a block for which large inverse blocks are rounded to single precision.
    max_single_trace: float = 1e6
    #: Largest rho, and largest trace of a block, for which large blocks are also formed and inverted in that precision.
    max_single_rho: float = 100.0
    max_formed_trace: float = 1e4
    #: First damping of guided steps, relative to the Hessian; ``max_damping`` is the largest damping.
    damping: float = 1e-3
    max_damping: float = 0.03
    #: Factor of the damping after a guided step that does not help; ``damping_decay`` is that after a step that helps.
    damping_growth: float = 8.0
    damping_decay: float = 0.25
    #: A guided step helps if it lowers the distance from stationarity and, in addition, multiplies this distance or the
    #: misfit by less than this factor.
    helpful: float = 0.7
    guided_accuracy: float = 0.1  #: Smallest accuracy of a guided step, as a share of the relative gradient.


SCHEDULE = NewtonSchedule()


@dataclass(frozen=True, eq=False)
class Minimum:
    """The result of a minimisation: x, ``value = q(x)``, the dual matrix S, the relative gradient, the number of steps.

    ``factorized`` says whether a factorized Hessian was the preconditioner.
    """

    x: Array
    value: Array
    S: Any
    gradient: float
    steps: int
    factorized: bool


def minimise(
    model: QuadraticMap,
    x: Array,
    value: Array,
    target: Array,
    rho: float,
    tol: float,
    clock: Clock,
    max_steps: int = 40,
) -> Minimum:
    """Minimise ``½‖x‖² + (rho/2) ‖q(x) − target‖²`` from x, where ``value = q(x)``, to a gradient of ``tol ‖x‖``.

    The Hessian is ``I − K(y) + rho JᵀJ`` with ``y = rho (target − q(x))``. docs/theory/algorithms.md describes the
    preconditioners ("The convex programme").
    """
    factor: Callable[[Array], Array] | None = None
    blockwise: Callable[[Array], Array] | None = None
    products, usual = 0, 0
    for step in range(max_steps + 1):
        residual = target - value
        S = model.dual_matrix(rho * residual)
        gradient, relative = _stationarity(model, S, x)
        if relative <= tol or step == max_steps or clock.exhausted:
            break
        clock.iterations += 1
        derivative = model.linearize(x)
        goal = max(min(0.1, relative**0.5) * relative, 0.3 * tol) * float(np.linalg.norm(x))
        patience = SCHEDULE.worn if factor is not None else -1 if derivative.J is not None else SCHEDULE.slow
        formed = derivative.J is not None or (model.is_product and model.has_normal_matrix)
        if formed and relative < SCHEDULE.factorize_below and products > patience:
            factor = _factorized(model, derivative, S, rho, shift=1e-3 * min(1.0, relative))
        large = x.size * x.shape[1] >= SCHEDULE.large_blocks
        allowed = SCHEDULE.worn + (SCHEDULE.worn_factor if large else 1) * usual
        worn = products > allowed or (relative >= SCHEDULE.factorize_below and not large)
        if factor is None and (blockwise is None or worn):
            blockwise, usual = _blockwise_inverse(derivative, rho), 0
        precondition = factor or blockwise
        assert precondition is not None
        products = -clock.products
        direction = _conjugate_gradients(model, derivative, S, gradient, rho, goal, precondition, clock)
        products += clock.products
        usual = usual or products
        linear, quadratic = derivative.forward(direction), model.value(direction)
        t = _quartic_minimiser(x, direction, residual, linear, quadratic, rho)
        if t == 0:
            break
        x = x + t * direction
        value = value + t * linear + t**2 * quadratic
    return Minimum(x, value, S, relative, step, factor is not None)


def minimise_guided(
    model: QuadraticMap,
    x: Array,
    value: Array,
    y: Array,
    target: Array,
    rho: float,
    tol: float,
    clock: Clock,
    max_steps: int = 40,
) -> tuple[Minimum, Array]:
    """Minimise ``½‖x‖² + (rho/2) ‖q(x) − target‖²`` from x and a multiplier y; return the result and the new y.

    At the minimum ``x = K(y) x`` and ``q(x) + y / rho = target``. Newton steps on these two equations solve

        (I − K(y) + rho JᵀJ) d = −gradient,   y ← rho (target − q(x) − J d).

    In `minimise`, ``y = rho (target − q(x))``. If rho is large, the quadratic term ``q(d)`` of a step changes this y so
    much that only short steps descend. Here y is a variable of its own, and later steps remove ``q(d)``. Two changes
    make the Hessian positive definite: K is divided by the norm of its dual matrix if that exceeds one, and the Hessian
    is damped. If a step does not help, its length is chosen for the least objective instead, and damping grows.
    """
    inverse: Callable[[Array], Array] | None = None
    products, usual, damping, scale = 0, 0, SCHEDULE.damping, float(np.linalg.norm(target))
    misfit = float(np.linalg.norm(value + y / rho - target)) / scale
    for step in range(max_steps + 1):
        residual = target - value
        plain = model.dual_matrix(rho * residual)
        gradient, relative = _stationarity(model, plain, x)
        if relative <= tol or step == max_steps or clock.exhausted:
            break
        clock.iterations += 1
        S, derivative = model.dual_matrix(y), model.linearize(x)
        lacking = _stationarity(model, S, x)[1]
        aim = max(lacking, SCHEDULE.guided_accuracy * relative)
        goal = max(min(0.1, aim**0.5) * aim, 0.3 * tol) * float(np.linalg.norm(x))
        if inverse is None or products > SCHEDULE.worn_factor * usual + SCHEDULE.worn:
            inverse, usual = _blockwise_inverse(derivative, rho), 0
        products, more = -clock.products, 1 + damping
        S = S * (1 / (more * max(1.0, 1.001 * model.largest(S, 0, 0.05))))
        d = _conjugate_gradients(model, derivative, S, gradient / more, rho / more, goal / more, inverse, clock)
        products += clock.products
        usual = usual or products
        linear, quadratic = derivative.forward(d), model.value(d)
        ahead, moved = rho * (residual - linear), x + d
        left = _stationarity(model, model.dual_matrix(ahead), moved)[1]
        curved = float(np.linalg.norm(quadratic)) / scale
        helps = left < lacking and (left < SCHEDULE.helpful * lacking or curved < SCHEDULE.helpful * misfit)
        t = 1.0 if helps else _quartic_minimiser(x, d, residual, linear, quadratic, rho)
        if t == 0:
            break
        damping = min(damping * (SCHEDULE.damping_decay if helps else SCHEDULE.damping_growth), SCHEDULE.max_damping)
        x, value, y = x + t * d, value + t * linear + t**2 * quadratic, (1 - t) * y + t * ahead
        misfit = float(np.linalg.norm(value + y / rho - target)) / scale
    return Minimum(x, value, plain, relative, step, False), y


def _stationarity(model: QuadraticMap, S: Any, x: Array) -> tuple[Array, float]:
    """Return ``x − K x``, where K is the map of the dual matrix S, and the norm of ``x − K x`` over that of x.

    The vector ``x − K x`` is the gradient if S is the dual matrix of the residual.
    """
    gradient = x - model.apply(S, x)
    return gradient, float(np.linalg.norm(gradient)) / max(float(np.linalg.norm(x)), 1e-300)


def _quartic_minimiser(x: Array, d: Array, residual: Array, linear: Array, quadratic: Array, rho: float) -> float:
    """Return the t that minimises the objective along ``x + t d``."""
    second = np.vdot(d, d) / 2 + rho / 2 * (linear @ linear) - rho * (residual @ quadratic)
    first = np.vdot(x, d) - rho * (residual @ linear)
    return polynomial_minimiser(rho / 2 * (quadratic @ quadratic), rho * (linear @ quadratic), second, first, 0.0)


def polynomial_minimiser(*coefficients: Any) -> float:
    """Return the real stationary point where a polynomial is least, or 0 if it has none; highest power first."""
    slope = np.polyder(coefficients)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        while len(slope) > 1 and not np.isfinite(slope[1:] / slope[0]).all():
            slope = slope[1:]  # the highest power is negligible, or nothing is known
    roots = np.roots(slope)
    roots = roots[np.abs(roots.imag) <= 1e-8 * np.abs(roots)].real
    return float(min(roots, key=lambda t: np.polyval(coefficients, t), default=0.0))


def _conjugate_gradients(
    model: QuadraticMap,
    derivative: Linearization,
    S: Any,
    gradient: Array,
    rho: float,
    goal: float,
    precondition: Callable[[Array], Array],
    clock: Clock,
) -> Array:
    """Solve the Newton system until the residual is ``goal``, or until a direction of negative curvature appears.

    If the first direction has negative curvature, that direction is returned.
    """
    d, r = np.zeros_like(gradient), -gradient
    z = precondition(r)
    if not np.vdot(r, z) > 0:
        z = r
    p, rz = z, float(np.vdot(r, z))
    for i in range(SCHEDULE.max_products):
        Hp = p - model.apply(S, p) + rho * derivative.adjoint(derivative.forward(p))
        clock.products += 1
        curvature = float(np.vdot(p, Hp))
        if curvature <= 1e-12 * float(np.vdot(p, p)):
            return p if i == 0 else d
        d, r = d + rz / curvature * p, r - rz / curvature * Hp
        if float(np.linalg.norm(r)) <= goal or clock.out_of_time:
            break
        z = precondition(r)
        rz, before = float(np.vdot(r, z)), rz
        if not rz > 0:  # rounding has made the preconditioner indefinite
            break
        p = z + rz / before * p
    return d


def _blockwise_inverse(derivative: Linearization, rho: float) -> Callable[[Array], Array]:
    """Return the inverse of the diagonal blocks of ``I + rho JᵀJ``, one for each row of x.

    Large blocks are kept in single precision, which halves the time of a product, unless a large trace makes the
    rounding too large. For a small rho they are formed in it, too.
    """
    x, k = derivative.x, np.arange(derivative.x.shape[1])
    if x.size * len(k) >= SCHEDULE.large_blocks and rho <= SCHEDULE.max_single_rho:
        blocks = float(rho) * derivative.model.blocks(x.astype(np.float32))
        blocks[:, k, k] += 1
        if blocks[:, k, k].sum(axis=1).max() <= SCHEDULE.max_formed_trace:
            formed = np.linalg.inv(blocks).astype(np.float32, copy=False)
            return lambda r: np.asarray((formed @ r.astype(np.float32)[:, :, None])[:, :, 0], float)
    blocks = rho * derivative.blocks()
    blocks[:, k, k] += 1
    try:
        inverse = np.linalg.inv(blocks)
    except LinAlgError:  # columns are alike, and the 1 is lost in the rounding of the blocks
        blocks[:, k, k] += 8 * len(k) * EPS * blocks[:, k, k].max(axis=1, keepdims=True)
        inverse = np.linalg.inv(blocks)
    if blocks.size >= SCHEDULE.large_blocks and blocks[:, k, k].sum(axis=1).max() <= SCHEDULE.max_single_trace:
        single = inverse.astype(np.float32)
        return lambda r: np.asarray((single @ r.astype(np.float32)[:, :, None])[:, :, 0], float)
    return lambda r: np.asarray((inverse @ r[:, :, None])[:, :, 0])


def _factorized(
    model: QuadraticMap, derivative: Linearization, S: Any, rho: float, shift: float
) -> Callable[[Array], Array] | None:
    """Return the inverse of a positive definite matrix near the Hessian, by a Cholesky factorization.

    ``aI − K``, with a just above the norm of K, replaces ``I − K``, and the smaller side is factorized; see
    docs/theory/algorithms.md ("Preconditioners"). The result is None if the factorization does not help.
    """
    found = model.resolvent(S, shift if derivative.J is not None else max(shift, SCHEDULE.min_shift))
    if found is None:
        return None
    a, root = found
    (n, k), m = derivative.x.shape, model.whitened.size
    try:
        if derivative.J is None:
            M = model.normal_matrix((derivative.x @ derivative.x.T)[None], (root @ root)[None])
        elif n * k <= m:
            J = derivative.matrix
            H = rho * (J.T @ J)
            diagonal, K = H.reshape(k, n, k, n), model.curvature(S)
            for c in range(k):
                diagonal[c, :, c, :] -= K
            H[np.diag_indices(n * k)] += a
            factor = cho_factor(H, overwrite_a=True, check_finite=False)
            return lambda r: np.asarray(cho_solve(factor, r.T.ravel(), check_finite=False).reshape(k, n).T)
        else:
            half = (derivative.matrix.reshape(-1, n) @ root).reshape(m, -1)
            M = blas.dsyrk(1.0, half.T, trans=1, lower=1)
        M[np.diag_indices(m)] += 1 / rho
        factor = cho_factor(M, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None

    def solve(r: Array) -> Array:
        Pr = np.asarray(root @ (root @ r))
        w = cho_solve(factor, derivative.forward(Pr), check_finite=False)
        return np.asarray(Pr - root @ (root @ derivative.adjoint(w)))

    return solve
