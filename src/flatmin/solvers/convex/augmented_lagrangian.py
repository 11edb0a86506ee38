"""Rank-adaptive factored augmented Lagrangian method for ``min ‖Z‖_*  s.t.  B(Z) = b`` in the cone of a model."""

from __future__ import annotations

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin.linalg.subspaces import EPS, block_norm, couple
from flatmin.proofs.certificate import LARGEST_GAP, LARGEST_RESIDUAL
from flatmin.solvers.completion.guided_newton import minimise_guided
from flatmin.solvers.completion.wide_fit import is_wide
from flatmin.solvers.convex.proximal_gradient import applies_to, proximal_gradient
from flatmin.solvers.convex.refine import EXACT, correct_dual, fit_exactly
from flatmin.solvers.factored.newton import Round, minimise
from flatmin.solvers.factored.outcome import Outcome
from flatmin.solvers.factored.quadratic_maps import QuadraticMap

__all__ = ["augmented_lagrangian"]

#: The first penalty; the data are scaled so that the first dual matrix has norm one.
FIRST_SIGMA = 10.0
#: Uniqueness needs a good dual vector: the gap is brought down to this in a few more rounds, where they are cheap …
REFINED = 1e-10
EXTRA_ROUNDS = 3
#: … that is, with a factorized Hessian or up to this many unknowns; else in one.
SMALL = 1000
#: … and corrected at an exact fit down to this.
POLISHED = 5e-13
#: Relative gradient of the first round.
FIRST_TOL = 5e-2
#: The solve starts with at most this many columns, fewer where the first dual matrix has a gap …
FIRST_RANK = 10
#: (more, up to this many times as many, where the data are many and the gap is there), whose directions are this rough,
LOOK_FURTHER, ROUGH = 3, 0.1
#: … and at most doubles at a time, or adds this many.
FEWEST_ADDED = 4
ROUNDS = 60
#: Up to this price of misfit the penalised problem is conditioned well enough to need no multiplier.
MODERATE = 100.0
#: A misfit that does not shrink at this penalty will not shrink at all.
LARGEST_SIGMA = 1e9
#: The penalty grows by this factor while the misfit shrinks slowly …
GROWTH = 4
#: … and by this one where a factorized Hessian makes its size harmless and two Newton steps suffice.
QUICK = 8
#: With this many times more measurements than degrees of freedom an exact fit is tried at once.
AMPLY = 3.0
#: Below this misfit an exact fit is tried, where it would be no coincidence.
NEARLY_FITTED = 3e-2
#: … and below this one where there are fewer data than degrees of freedom, which makes it quick; the multiplier is then
#: what it is, as there are fewer data to choose it than conditions for it to meet.
CLOSE = 1e-4
#: Rounds that a good multiplier begins look for further columns after so many steps.
HASTY = 3
#: … and end with a few steps without damping, to this share of the tolerance.
LAST, LAST_STEPS = 0.2, 10
#: A singular value of the dual matrix is above one where it exceeds it by so many times the tolerance of the gradient …
SLACK = 3.0
#: … but in those rounds by less, as it then adds more to the gap than anything else.
TIGHT = 0.5


def augmented_lagrangian(
    model: QuadraticMap,
    b: Array,
    clock: Clock,
    limits: Limits,
    start: tuple[Array, Array] | None = None,
    penalty: float = np.inf,
) -> Outcome:
    """Solve ``min ‖Z‖_* s.t. q = b``, or ``min ‖Z‖_* + (penalty/2) ‖q − b‖²`` for a finite penalty.

    Each round minimises the augmented Lagrangian over factors whose width grows where the dual matrix has singular
    values above one and shrinks where columns vanish, then moves the multiplier. Any multiplier bounds the optimum
    from below; best primal and best dual are kept apart. A finite penalty allows a slack ``b − q = y / penalty``,
    which is eliminated. Penalised tables with few columns are left to proximal gradients, or to begin with.

    Parameters
    ----------
    model : QuadraticMap
        The measured model, in whitened coordinates.
    b : ndarray, shape (m,)
        The data, scaled so that the dual matrix of b has norm one.
    clock : Clock
        Shared with the caller.
    limits : Limits
        Tolerance, largest rank, seed and callback; the clock counts iterations and time.
    start : tuple of ndarray, optional
        Stacked factors and multiplier to start from.
    penalty : float
        What misfit costs; infinite for an exact fit.
    """
    if applies_to(model, penalty, limits.max_rank):
        outcome = proximal_gradient(model, b, clock, limits, start, penalty)
        if outcome.converged or clock.exhausted:
            return outcome
        start = model.stack(outcome.U, outcome.s, outcome.V), outcome.y
    sigma = np.inf if penalty <= MODERATE else FIRST_SIGMA
    tol, size, before, misfit, stalled, extra = FIRST_TOL, float(np.linalg.norm(b)), 1.0, 1.0, 0, 0
    flattest: Array | None = None
    reached = np.inf
    if start is None:
        x, value = _first_factors(model, b, min(sigma, penalty), limits)
        y = np.zeros_like(b)
    else:
        x, y = start
        value = model.value(x)
    outcome = Outcome(*model.canonical(x), y=y, bound=-np.inf)
    if start is None and penalty == np.inf and not clock.exhausted and _identified(model, x, AMPLY):
        x, y, value = _guess(model, b, x, value, outcome, clock, limits)
    for number in range(0 if outcome.converged else ROUNDS):
        price, target = 1 / (1 / sigma + 1 / penalty), b + y / sigma
        guide = y if penalty == np.inf and misfit <= CLOSE and is_wide(model, x) else None
        x, value, end, s, norm = _adapt(model, x, value, guide, target, price, tol, clock, limits)
        y = price * (y / sigma + (b - end.value))  # in this order, lest rounding in b be multiplied
        misfit = float(np.linalg.norm(b - end.value - y / penalty)) / size
        outcome.improve_bound(b, y, norm, penalty)
        paid = penalty / 2 * float(np.sum((b - value) ** 2)) if penalty < np.inf else 0.0
        point, fitted, gap = x, misfit, outcome.gap(float(s.sum()) + paid)
        wide = penalty == np.inf and is_wide(model, x)
        worthwhile = abs(gap) <= 30 * limits.tol or (end.factorized and _identified(model, x))
        worthwhile = worthwhile or (wide and misfit <= CLOSE)
        if penalty == np.inf and misfit <= NEARLY_FITTED and worthwhile:
            point, fitted, gap = _polish(model, b, x, value, y, outcome, limits)
            if wide and fitted <= EXACT:
                x, value = point, model.value(point)
                flattest = point if flattest is None else flattest
            if flattest is not None and fitted <= EXACT and np.vdot(point, point) <= np.vdot(flattest, flattest):
                flattest, reached = point, fitted
        if flattest is not None:  # an unfinished round may end at a worse one
            point, fitted, gap = flattest, reached, outcome.gap(float(np.vdot(flattest, flattest)) / 2)
        outcome.record(model.canonical(point), clock, limits.callback, residual=fitted, gap=gap, rank=len(s))
        if abs(gap) <= limits.tol and (penalty < np.inf or fitted <= min(limits.tol, LARGEST_RESIDUAL)):
            outcome.converged, extra = True, extra + 1
            enough = EXTRA_ROUNDS if end.factorized or x.size <= SMALL else 0 if wide else 1
            enough = enough if limits.tol <= LARGEST_GAP else 0
            if abs(gap) <= REFINED or extra > enough:
                break
        progress = misfit if sigma < np.inf else abs(gap)
        stalled = stalled + 1 if progress > 0.7 * before else 0
        contradicted = gap < -1e-2 or sigma > LARGEST_SIGMA
        if clock.exhausted or (stalled >= 3 and (contradicted or misfit <= EXACT)):
            break
        if number < 3 or (misfit > 0.2 * before and misfit > EXACT):
            sigma *= GROWTH
        elif end.factorized and end.steps <= 2:
            sigma *= QUICK
        before = progress
        if sigma < np.inf:
            tol = min(0.5 * tol, 0.3 * misfit)
        else:
            tol = max(0.1 * tol, 0.3 * min(tol, limits.tol))
            tol = 0.3 * end.gradient if end.gradient <= tol else tol  # lest a round do nothing
        tol = max(tol, 1e-11)
    return outcome


def _first_factors(model: QuadraticMap, b: Array, sigma: float, limits: Limits) -> tuple[Array, Array]:
    """Return the leading singular vectors of the first dual matrix up to its largest gap, scaled to the data, and q."""
    U, s, V = model.leading(model.dual_matrix(b), LOOK_FURTHER * FIRST_RANK, limits.seed, tol=ROUGH)
    U, s, V = U[:, s > 0], s[s > 0], V[:, s > 0]
    drop = _largest_drop(s)
    if drop > FIRST_RANK and AMPLY * model.freedom(drop) >= len(b):
        drop = _largest_drop(s[:FIRST_RANK])
    width = min(drop, limits.max_rank or drop)
    x = model.stack(U[:, :width], s[:width], V[:, :width])
    value = model.value(x)
    fit = (float(value @ b) - float(np.vdot(x, x)) / (2 * sigma)) / max(float(value @ value), 1e-300)
    return (np.asarray(np.sqrt(fit) * x), fit * value) if fit > 0 else (x, value)


def _largest_drop(s: Array) -> int:
    """Return after how many singular values the ratio to the next one is largest."""
    return 1 + int(np.argmax(s[:-1] / np.maximum(s[1:], EPS))) if len(s) > 1 else 1


def _identified(model: QuadraticMap, x: Array, times: float = 1.0) -> bool:
    """Return whether there are so many times more measurements than matrices of this rank have degrees of freedom."""
    return bool(times * model.freedom(x.shape[1]) < model.whitened.size)


def _guess(
    model: QuadraticMap, b: Array, x: Array, value: Array, outcome: Outcome, clock: Clock, limits: Limits
) -> tuple[Array, Array, Array]:
    """Try an exact fit and its least multiplier at once: well above the recovery threshold that is the solution."""
    far = float(np.linalg.norm(b - value) / np.linalg.norm(b))
    outcome.record(model.canonical(x), clock, limits.callback, residual=far, gap=np.nan, rank=x.shape[1])
    point, fitted, gap = _polish(model, b, x, value, outcome.y, outcome, limits)
    if fitted > LARGEST_RESIDUAL:
        return x, np.zeros_like(b), value
    clock.iterations += 1
    outcome.converged = abs(gap) <= limits.tol
    outcome.record(model.canonical(point), clock, limits.callback, residual=fitted, gap=gap, rank=point.shape[1])
    return point, outcome.y, model.value(point)


def _polish(
    model: QuadraticMap, b: Array, x: Array, value: Array, y: Array, outcome: Outcome, limits: Limits
) -> tuple[Array, float, float]:
    """Fit the data exactly and make the multiplier optimal there; return the point, its misfit and its gap."""
    point, fitted = fit_exactly(model, b, x, value, enough=outcome.bound * (1 + limits.tol))
    U, s, V = model.canonical(point)
    point, norm = model.stack(U, s, V), float(s.sum())
    if abs(outcome.gap(norm)) > POLISHED and not is_wide(model, point):
        outcome.improve_bound(b, *correct_dual(model, point, y, limits.seed))
    if model.units is not None:
        fitted = max(fitted, model.relative_residual(point, b))
    return point, fitted, outcome.gap(norm)


def _adapt(
    model: QuadraticMap,
    x: Array,
    value: Array,
    guide: Array | None,
    target: Array,
    sigma: float,
    tol: float,
    clock: Clock,
    limits: Limits,
) -> tuple[Array, Array, Round, Array, float]:
    """Minimise, dropping columns that vanish and adding those that help, until the width is right.

    A guide is a multiplier that is good already; then columns are added before much work is done without them.
    """
    widest = int(min(min(model.whitened.shape), limits.max_rank or np.inf))
    count = max(FEWEST_ADDED, x.shape[1])
    slack = SLACK if guide is None else TIGHT
    for attempt in range(12):
        hasty = guide is not None and attempt == 0
        if guide is None:
            end = minimise(model, x, value, target, sigma, tol, clock)
        else:
            steps = HASTY if hasty else 40
            end, guide = minimise_guided(model, x, value, guide, target, sigma, tol, clock, steps)
            if not hasty:  # damping leaves small columns behind
                end = minimise(model, end.x, end.value, target, sigma, LAST * tol, clock, LAST_STEPS)
        U, s, V = model.canonical(end.x)
        visible = max(slack * tol, 1e-9)
        keep = s > max(1e-14 * s.max(initial=0.0), 1e-2 * visible / sigma)
        U, s, V = U[:, keep], s[keep], V[:, keep]
        x = model.stack(U, s, V)
        value = end.value if keep.all() else model.value(x)
        u, values, v = model.escapes(end.S, U, V, count, limits.seed)
        norm = block_norm(*couple(end.S, U, V)[2:], float(values.max(initial=0.0)))
        new = np.flatnonzero(values > 1 + (visible if hasty else max(slack * end.gradient, visible)))[: widest - len(s)]
        if (len(new) == 0 and not hasty) or clock.exhausted:
            break
        x = np.hstack([x, model.stack(u[:, new], (values[new] - 1) / (2 * sigma), v[:, new])])
        value, count = model.value(x), max(FEWEST_ADDED, 2 * len(new))
    return x, value, end, s, norm
