"""Flat minima by gradient descent on penalized losses, with a certificate for the result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.errors import InputError
from flatmin.losses import Absolute
from flatmin.nn.penalised import PenalisedLoss, minimise
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import Certificate
from flatmin.proofs.cone_certificate import certificate_of, trace_is_determined, trivial_dual
from flatmin.proofs.robust.certificate import robust_certificate
from flatmin.solution import Solution
from flatmin.solvers import certify
from flatmin.solvers.convex.scaling import INCONSISTENT, Scaled
from flatmin.solvers.factored.refine import project_data
from flatmin.solvers.robust.minimum import robust_solution
from flatmin.solvers.task import Task, status_of

__all__ = ["flatten"]

#: Penalties μ of the first rounds, in the scaled units of `Scaled`.
FIRST_PENALTIES = (1e-1, 1e-2, 1e-3)
#: A round is slow if the misfit after it exceeds this share of the misfit before it.
SLOW_SHARE = 0.5
#: After a slow round the penalty is divided by this number.
PENALTY_DIVISOR = 4.0
#: After this number of consecutive slow rounds, training ends because the weights cannot fit the data.
MAX_SLOW_ROUNDS = 8
#: Largest number of rounds.
MAX_ROUNDS = 40
#: Numbers c and s: a round ends once the relative gradient is at most c and at most s times the relative misfit.
LARGEST_GRADIENT, MISFIT_SHARE = 1e-2, 0.3
#: A round never aims for a relative gradient below this one, which is at the level of rounding errors.
SMALLEST_GRADIENT = 1e-12
#: Standard deviation of the noise added to the weights before a round, in units of √μ; at relative misfits r below 0.1
#: it is multiplied by 10 r.
NOISE_SCALE = 0.1
#: Columns whose singular value, relative to the largest, is below this count as zero.
ZERO_SINGULAR_VALUE = 1e-13
#: Data count as having no fit if every semidefinite fit has a trace above this number times that of the trained matrix.
MAX_TRACE_RATIO = 1e3
#: Number of arrays of the size of the weights that training keeps in memory.
WEIGHT_ARRAYS = 12


def flatten(
    problem: Problem,
    rank: int | None = None,
    *,
    tol: float = 1e-9,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Solution:
    """Return the flat minimum of a problem, found by training its weights, with a certificate.

    Training only uses gradients of penalized losses. In whitened, scaled coordinates the scaled trace of the stacked
    weights x is a multiple of ``‖x‖²``. With predictions ``q(x)`` and a penalty μ, each round

        minimises  (μ/2) ‖x‖² + ½ ‖q(x) − (b + μ y)‖²,    then    y ← y + (b − q(x))/μ

    where μ is 0.1, 0.01, 0.001, and smaller later if the misfit decreases slowly. Adding ``μ y`` to the data cancels
    the shrinkage by the penalty (Bregman's method). So the weights fit the data although μ is positive, and y converges
    to the dual vector that proves their flatness.

    A round runs conjugate gradients with exact line searches, preconditioned by the Gram matrices of the factors.
    Before each round the weights get small random noise, without which columns that a large penalty has set to zero
    would stay zero. With the loss `Absolute` and a limit τ, the residual is replaced by its difference from the nearest
    allowed error. With `Absolute` and a weight w, the residual is clipped to ``± w μ``.

    Parameters
    ----------
    problem : Problem
        A `Product`, `Gram` or `SignedGram` model.
    rank : int, optional
        Number of columns, of both signs together for a signed Gram model; by default the rank of the parametrization
        or, if that is not set, enough columns for every matrix.
    tol : float
        Target for the relative residual and the relative duality gap.
    max_iter, time_limit : int and float, optional
        The largest number of gradients, and the seconds after which training ends, without the certificate.
    warm_start : Solution or tuple of ndarray, optional
        The start of training: a solution of a similar problem, or factors.
    seed : int
        Seed of the noise.
    callback : callable, optional
        Called after each round with a row of the history.

    Returns
    -------
    Solution
        The flattest factors of the trained matrix, without columns that are zero up to rounding. ``iterations`` counts
        gradients. The history has one row for each round: ``iteration``, ``seconds``, the relative ``residual`` and
        ``gap`` of the certificate, ``rank``, ``loss``, and scaled ``trace`` of the trained weights.

    Raises
    ------
    InputError
        If an argument is out of range, the model is a Hadamard or chain model, or memory would not suffice.

    References
    ----------
    Yin, Osher, Goldfarb, Darbon, "Bregman iterative algorithms for ℓ1-minimization", SIAM J. Imaging Sci. 1(1), 2008.
    Tong, Ma, Chi, "Accelerating ill-conditioned low-rank matrix estimation via scaled gradient descent", JMLR 22, 2021.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> trained = fm.nn.flatten(instance.problem)
    >>> trained.status.name, trained.rank, bool(abs(trained.matrix - instance.truth).max() < 1e-7)
    ('unique_flat_minimum', 1, True)
    """
    limits = Limits(rank, tol, max_iter, time_limit, seed, callback)
    task, clock = Task(problem, warm_start=warm_start, limits=limits), limits.start()
    model, robust = problem.parametrization, problem.loss.has_gross_errors
    if not model.has_cone_norm:
        raise InputError(
            f"the parametrization is {model!r}, expected Product(), Gram() or SignedGram(); use flat_minimum"
        )
    with one_thread():
        training = _Training.from_task(task, clock)
        consistent = not training.scaled.contradictory
        if training.scaled.size == 0:
            consistent, converged = consistent and not np.any(training.data), True
        else:
            converged = training.run()
            if not (converged or robust or clock.exhausted):
                nearest = training.nearest()
                consistent, training = consistent and nearest is None, nearest or training
        proof = certify(problem, training.factors, None if trace_is_determined(problem) else training.dual)
    status = status_of(proof, clock, consistent=consistent, converged=converged)
    pack = robust_solution if robust else Task.solution
    return pack(task, clock, training.factors, proof, status, training.history)


@dataclass(eq=False)
class _Training:
    """The state of training: weights x and multiplier y, in the coordinates of `Scaled`."""

    task: Task
    clock: Clock
    scaled: Scaled
    data: Array
    support: Array
    x: Array
    y: Array
    rng: np.random.Generator
    history: dict[str, list[float]] = field(default_factory=dict)

    @classmethod
    def from_task(cls, task: Task, clock: Clock, nearest: Array | None = None) -> _Training:
        """Return training at its start, zero or the warm start, for the task's data or for the data ``nearest``."""
        problem, (d1, d2), cone = task.problem, task.problem.shape, task.problem.parametrization.cone
        width = min(task.max_rank or np.inf, cone.max_width(problem.shape))
        require(8.0 * WEIGHT_ARRAYS * (d1 + d2) * width, f"training {width} columns")
        misfit = problem.loss.has_gross_errors or (nearest is not None and cone.is_semidefinite)
        scaled = Scaled.from_problem(problem, 1.0, task.limits.seed, weighted=not misfit)
        stack = scaled.model.stack
        x, y = stack(np.zeros((d1, 0)), np.zeros(0), np.zeros((d2, 0))), np.zeros_like(scaled.b)
        weights = 1.0 if scaled.weights is None else scaled.weights
        data = scaled.b if nearest is None else weights * nearest / scaled.size
        if task.warm_start is not None and nearest is None and scaled.size:
            x, y = scaled.start(problem, task.warm_start)
        x = np.pad(x[:, :width], ((0, 0), (0, max(0, int(width) - x.shape[1]))))
        rng = np.random.default_rng(task.limits.seed)
        return cls(task, clock, scaled, data, scaled.model.support(x), x, y, rng)

    def run(self) -> bool:
        """Train until the certificate meets the tolerance or training cannot go on; return whether it meets it."""
        clock, size = self.clock, float(np.linalg.norm(self.data))
        penalty, misfit, slow = FIRST_PENALTIES[0], 1.0, 0
        for number in range(MAX_ROUNDS):
            if clock.exhausted:
                break
            noise = self.support * self.rng.standard_normal(self.x.shape)
            disturbed = self.x + NOISE_SCALE * np.sqrt(penalty) * min(1.0, 10 * misfit) * noise
            objective = self._objective(penalty)
            self.x, value = minimise(
                objective, disturbed, max(SMALLEST_GRADIENT, min(LARGEST_GRADIENT, MISFIT_SHARE * misfit)), clock
            )
            if not clock.exhausted:
                y, before = objective.multiplier(value), misfit
                misfit, self.y = penalty * float(np.linalg.norm(y - self.y)) / size, y
                slow = slow + 1 if misfit > max(SLOW_SHARE * before, self.task.limits.tol) else 0
            proof = self._record()
            if proof.relative_residual <= self.task.limits.tol and abs(proof.relative_gap) <= self.task.limits.tol:
                return True
            if slow > MAX_SLOW_ROUNDS:
                break
            if number + 1 < len(FIRST_PENALTIES):
                penalty = FIRST_PENALTIES[number + 1]
            elif slow:
                penalty /= PENALTY_DIVISOR
        return False

    def nearest(self) -> _Training | None:
        """Return training on the nearest data that some matrix fits; None if a matrix may fit the given data."""
        data, distance = project_data(self.scaled.model, self.data)
        weights = self.scaled.weights
        if distance <= INCONSISTENT:
            if not self._separated():
                return None
            if weights is None:
                return self
            data = self.data
        original = self.scaled.size * (data if weights is None else data / weights)
        nearest = _Training.from_task(self.task, self.clock, original)
        nearest.run()
        return nearest

    def _separated(self) -> bool:
        """Return whether the residual r proves that no positive semidefinite matrix of moderate trace fits the data.

        Let λ_max be the largest eigenvalue of ``B*(r)``. Every Z that fits has ``⟨b, r⟩ = ⟨Z, B*(r)⟩ ≤ λ_max tr Z``. At
        the best approximate fit λ_max is 0 and ``⟨b, r⟩ = |r|²``.
        """
        problem, model = self.task.problem, self.scaled.model
        residual = self.data - model.value(self.x)
        size = float(np.linalg.norm(residual))
        if not problem.parametrization.cone.is_semidefinite or size <= INCONSISTENT * float(np.linalg.norm(self.data)):
            return False
        largest = model.largest(model.dual_matrix(residual / size), self.task.limits.seed)
        trace = MAX_TRACE_RATIO * float(np.vdot(self.x, self.x)) / 2
        if trace_is_determined(problem):
            trace = 2 * float(trivial_dual(problem) @ problem.data) / self.scaled.to_z
        return float(self.data @ residual) / size > max(largest, 0.0) * trace

    def _objective(self, penalty: float) -> PenalisedLoss:
        """Return the loss of a round, with data shifted to compensate for the penalty."""
        loss, model, target = self.task.problem.loss, self.scaled.model, self.data + penalty * self.y
        if not loss.has_gross_errors:
            return PenalisedLoss(model, target, penalty)
        weight = loss.weight_for(self.task.problem.shape)
        if weight is None:
            return PenalisedLoss(model, target, penalty, Absolute(tau=(loss.tau or 0.0) / self.scaled.size).misfit)
        level = penalty * weight / model.scale
        return PenalisedLoss(model, target, penalty, lambda residual: np.clip(residual, -level, level))

    @property
    def factors(self) -> Factors:
        """The flattest factors of the trained matrix, in the units of the problem."""
        U, s, V = self.scaled.model.canonical(self.x)
        kept = s > ZERO_SINGULAR_VALUE * np.max(s, initial=0.0)
        return self.task.problem.parametrization.flattest(
            U[:, kept], self.scaled.to_z * s[kept], V[:, kept], self.scaled.metric
        )

    @property
    def dual(self) -> Array:
        """The dual vector of the problem; if all fits are equally flat, the dual vector that proves this."""
        problem = self.task.problem
        return trivial_dual(problem) if trace_is_determined(problem) else self.scaled.original_dual(self.y, 0.0)

    def _record(self) -> Certificate:
        """Append a row to the history, and return the certificate of the present weights."""
        problem, factors = self.task.problem, self.factors
        judge = robust_certificate if problem.loss.has_gross_errors else certificate_of
        proof = judge(problem, factors, self.dual, look_further=False)
        self.clock.record(
            self.history,
            self.task.limits.callback,
            residual=proof.relative_residual,
            gap=proof.relative_gap,
            rank=problem.parametrization.width(factors),
            loss=problem.loss.value(problem.residual(factors)),
            trace=problem.parametrization.trace_factor * self.scaled.to_z * float(np.vdot(self.x, self.x)) / 2,
        )
        return proof
