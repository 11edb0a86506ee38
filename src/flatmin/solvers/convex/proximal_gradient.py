"""Accelerated proximal gradient method for penalised tables so narrow that each step computes all singular values."""

from weakref import WeakKeyDictionary

import numpy as np
from scipy.linalg import eigh

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.proofs.certificate import LARGEST_GAP
from flatmin.solvers.factored.outcome import Outcome

__all__ = ["applies_to", "proximal_gradient"]

#: Penalty up to which steps along the gradient converge quickly.
MAX_PENALTY = 1000.0
#: A table is narrow if its smaller side is at most this.
MAX_SIDE = 128
#: Smallest share of cells that must be observed.
MIN_SHARE = 0.1
#: Number of steps between two computations of the gap, called checks.
CHECK_EVERY = 10
#: The same in a fit to a given gap, which ends at the first check that finds it.
CHECK_QUICK_FIT_EVERY = 5
#: The method gives up if the gap remains above this share of its value `PATIENCE` steps before.
SLOW_GAP_RATIO = 0.5
#: Number of steps between two gaps that are compared.
PATIENCE = 50
#: Gap at which the further steps end that improve the certificate after the tolerance is met.
REFINED_GAP = 1e-12
#: Largest number of further checks once the tolerance is met, relative to the number of checks until then.
EXTRA_CHECKS = 0.5
#: Number of power steps that estimate the largest curvature.
POWER_STEPS = 20
#: Factor by which the estimate of the largest curvature is increased, so that steps are short enough.
SAFETY_FACTOR = 1.05

#: The results of `_curvature` for the models in memory, by seed.
_CURVATURES: WeakKeyDictionary[QuadraticMap, dict[int, float]] = WeakKeyDictionary()


def applies_to(model: QuadraticMap, penalty: float, max_rank: int | None) -> bool:
    """Return whether a problem is a narrow table with enough observed cells, a moderate penalty and unlimited rank."""
    A = model.whitened
    if penalty > MAX_PENALTY or max_rank is not None or not model.is_product:
        return False
    narrow = min(A.shape) <= MAX_SIDE and A.size >= MIN_SHARE * A.shape[0] * A.shape[1]
    return narrow and hasattr(A.adjoint_operator(np.zeros(A.size)), "tocsr")  # cells make sparse dual matrices


def proximal_gradient(
    model: QuadraticMap,
    b: Array,
    clock: Clock,
    limits: Limits,
    start: tuple[Array, Array] | None,
    penalty: float,
    tol: float | None = None,
) -> Outcome:
    """Descend on ``‖Z‖_* + (penalty/2) ‖q(Z) − b‖²`` by steps along the gradient that shrink the singular values.

    ``start`` is stacked factors and a multiplier; ``tol`` is a target for the gap, by default that of the limits.
    Momentum is dropped where it points uphill. The method gives up if progress is slow, as with very uneven sampling:
    then ``converged`` is False, and another method may continue. See docs/theory/algorithms.md ("Narrow tables").

    References
    ----------
    Beck, Teboulle, "A fast iterative shrinkage-thresholding algorithm for linear inverse problems", SIAM Journal on
    Imaging Sciences 2(1), 2009. O'Donoghue, Candès, "Adaptive restart for accelerated gradient schemes", Foundations of
    Computational Mathematics 15, 2015.
    """
    every, tol = (CHECK_EVERY, limits.tol) if tol is None else (CHECK_QUICK_FIT_EVERY, tol)
    turned = model.whitened.shape[0] < model.whitened.shape[1]
    if start is None:
        Z, outcome = np.zeros(model.whitened.shape), Outcome.zero(model.whitened.shape, b)
    else:
        U, s, V = model.canonical(start[0])
        Z, outcome = (U * s) @ V.T, Outcome(U, s, V, start[1], -np.inf)
    outcome.bound, outcome.converged = -np.inf, False
    step = 1 / _curvature(model, limits.seed)
    ahead, spare = Z.copy(), np.empty_like(Z)  # operations in place take half the time
    momentum, reached, gaps = 1.0, 0, list[float]()
    while not clock.exhausted:
        following = _dual(model, b - model.measured(ahead))
        following *= step
        following += ahead
        point = _shrunk(following, step / penalty, turned)
        np.matmul(point[0] * point[1], point[2].T, out=following)
        moved = np.subtract(following, Z, out=spare)
        ahead -= following
        if np.vdot(ahead, moved) > 0:
            momentum = 1.0
        grown = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        np.multiply(moved, (momentum - 1) / grown, out=ahead)
        ahead += following
        Z, spare, momentum = following, Z, grown
        clock.iterations += 1
        if clock.iterations % every and not clock.exhausted:
            continue
        residual = b - model.measured(Z)
        outcome.improve_bound(b, penalty * residual, _norm(penalty * _dual(model, residual), turned), penalty)
        gap = outcome.gap(float(point[1].sum()) + penalty / 2 * float(residual @ residual))
        misfit = float(np.linalg.norm(residual)) / float(np.linalg.norm(b))
        outcome.record(point, clock, limits.callback, residual=misfit, gap=gap, rank=len(point[1]))
        gaps.append(abs(gap))
        if gaps[-1] <= tol:
            outcome.converged, reached = True, reached or len(gaps)
            if tol > LARGEST_GAP or gaps[-1] <= REFINED_GAP or len(gaps) > (1 + EXTRA_CHECKS) * reached + 1:
                break
        elif len(gaps) > PATIENCE // every and gaps[-1] > SLOW_GAP_RATIO * gaps[-1 - PATIENCE // every]:
            break
    return outcome


def _dual(model: QuadraticMap, y: Array) -> Array:
    return model.scale * model.whitened.adjoint(y)


def _curvature(model: QuadraticMap, seed: int) -> float:
    """Return a number that is very likely slightly above the largest eigenvalue of ``q* q``, computed once."""
    known = _CURVATURES.setdefault(model, {})
    if seed not in known:
        known[seed] = _power_estimate(model, seed)
    return known[seed]


def _power_estimate(model: QuadraticMap, seed: int) -> float:
    """Return the estimate of power steps, which are deterministic for a seed."""
    Z, largest = np.random.default_rng(seed).standard_normal(model.whitened.shape), 1.0
    for _ in range(POWER_STEPS):
        Z = _dual(model, model.measured(Z / np.linalg.norm(Z)))
        largest = float(np.linalg.norm(Z))
        if largest == 0:  # q vanishes, as where offsets explain every value, and any step will do
            return 1.0
    return SAFETY_FACTOR * largest


def _shrunk(Y: Array, threshold: float, turned: bool) -> tuple[Array, Array, Array]:
    """Return U, s, V of Y with its singular values reduced by a threshold; those below it are dropped."""
    Y = Y.T if turned else Y
    squares, V = eigh(Y.T @ Y, check_finite=False, subset_by_value=(threshold**2, np.inf))
    s, V = np.sqrt(squares[::-1]), V[:, ::-1]
    U = (Y @ V) / s
    return (V, s - threshold, U) if turned else (U, s - threshold, V)


def _norm(S: Array, turned: bool) -> float:
    gram = S @ S.T if turned else S.T @ S
    return float(np.sqrt(eigh(gram, eigvals_only=True, check_finite=False, subset_by_index=[len(gram) - 1] * 2)[0]))
