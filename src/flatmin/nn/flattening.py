"""The flat minimum found by training: the trace as a penalty that is made to vanish, with a proof at the end."""

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
from flatmin.proofs.conic import certificate_of, trace_is_determined, trivial_dual
from flatmin.proofs.robust.certificate import robust_certificate
from flatmin.solution import Solution
from flatmin.solvers import certify
from flatmin.solvers.convex.refine import project_data
from flatmin.solvers.convex.scaling import INCONSISTENT, Scaled
from flatmin.solvers.robust.minimum import robust_solution
from flatmin.solvers.task import Task, status_of

__all__ = ["flatten"]

#: Strengths μ of the penalty at first, in units in which the data have a dual matrix of norm one.
STRENGTHS = (1e-1, 1e-2, 1e-3)
#: Then μ is divided by GROWTH after every round that leaves more than this share of the misfit …
SLOW, GROWTH = 0.5, 4.0
#: … and after so many in a row, the weights cannot fit the data.
PATIENCE = 8
#: The data are moved at most this often.
ROUNDS = 40
#: A round ends at this relative gradient, or at this share of the misfit before it, but not below rounding.
COARSE, SHARE, ROUNDING = 1e-2, 0.3, 1e-12
#: Noise added before a round: its standard deviation over √μ, times ten times the relative misfit once that is small.
KICK = 0.1
#: Smaller singular values, relatively, are those of columns that are not needed.
NEGLIGIBLE = 1e-13
#: Positive semidefinite matrices whose trace would have to exceed that of the best fit by this factor do not fit.
BEYOND = 1e3
#: Arrays of the size of the weights that are held at a time.
ARRAYS = 12


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
    """Return the flat minimum of a problem, found by training its weights and certified by the core.

    Only gradients of penalised losses are used. In whitened, scaled coordinates, where the scaled trace of the stacked
    weights x is a multiple of ``‖x‖²`` and their predictions are ``q(x)``, each round

        minimises  (μ/2) ‖x‖² + ½ ‖q(x) − (b + μ y)‖²,    then    y ← y + (b − q(x))/μ

    with μ = 0.1, 0.01, 0.001, and smaller where the misfit falls slowly. The penalty shrinks the weights, and the data
    are moved by as much as it does (Bregman's method), so that in the end the weights fit at a penalty that has not
    vanished. y is then the dual vector that proves their flatness. Minimisation is by conjugate gradients, with the
    Grams of the factors as preconditioner and exact steps. Before each round the weights get a small random kick:
    columns that a large penalty has removed stay zero without it.

    With the loss `Absolute` the residual is replaced by what projecting it on the allowed errors leaves; in the form
    with a weight w by the residual clipped to ``± w μ``, the gradient of Huber's function.

    Parameters
    ----------
    problem : Problem
        Of a `Product`, `Gram` or `SignedGram` model. For positive semidefinite matrices measured by vectors every fit
        is flat, and the proof of uniqueness comes from the core.
    rank : int, optional
        Columns to train, for a signed Gram model of both signs together. None stands for the rank of the
        parametrization, else for the smaller dimension (signed Gram: twice that), with which every matrix can be made.
    tol : float
        Target for the relative residual and the relative duality gap.
    max_iter : int, optional
        The largest number of gradients. Each comes with one step, whose exact length takes two forward maps.
    time_limit : float, optional
        Seconds after which training ends; the certificate takes its time on top.
    warm_start : Solution or tuple of ndarray, optional
        A solution of a similar problem, or factors, to start from.
    seed : int
        Draws the kicks.
    callback : callable, optional
        Called after each round with a row of the history.

    Returns
    -------
    Solution
        Its factors are those of the trained matrix, made exactly balanced in whitened coordinates, without columns that
        are zero to rounding. ``iterations`` counts gradients. The history has, after each round, ``iteration``,
        ``seconds``, ``residual`` and ``gap`` (both relative, of the certificate), ``rank``, and of the weights as they
        were trained ``loss`` and ``trace`` (scaled).

    Raises
    ------
    InputError
        If an argument is out of range, for Hadamard and chain models, or if memory would not suffice.

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
        training = _Training.of(task, clock)
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
    """Weights x and multiplier y on their way, in the coordinates of `Scaled`."""

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
    def of(cls, task: Task, clock: Clock, nearest: Array | None = None) -> _Training:
        """Return the beginning: zero weights, or those of a warm start; for data that nothing fits, on nearer ones."""
        problem, (d1, d2), cone = task.problem, task.problem.shape, task.problem.parametrization.cone
        width = min(task.max_rank or np.inf, cone.max_width(problem.shape))
        require(8.0 * ARRAYS * (d1 + d2) * width, f"training {width} columns")
        misfit = problem.loss.has_gross_errors or (nearest is not None and cone.is_semidefinite)
        scaled = Scaled.of(problem, 1.0, task.limits.seed, weighted=not misfit)
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
        """Train until weights and multiplier are optimal, or as long as it helps; return whether they are."""
        clock, size = self.clock, float(np.linalg.norm(self.data))
        mu, left, slow = STRENGTHS[0], 1.0, 0
        for number in range(ROUNDS):
            if clock.exhausted:
                break
            noise = self.support * self.rng.standard_normal(self.x.shape)
            kicked = self.x + KICK * np.sqrt(mu) * min(1.0, 10 * left) * noise
            objective = self._objective(mu)
            self.x, value = minimise(objective, kicked, max(ROUNDING, min(COARSE, SHARE * left)), clock)
            if not clock.exhausted:
                y, before = objective.multiplier(value), left
                left, self.y = mu * float(np.linalg.norm(y - self.y)) / size, y
                slow = slow + 1 if left > max(SLOW * before, self.task.limits.tol) else 0
            proof = self._record()
            if proof.relative_residual <= self.task.limits.tol and abs(proof.relative_gap) <= self.task.limits.tol:
                return True
            if slow > PATIENCE:
                break
            if number + 1 < len(STRENGTHS):
                mu = STRENGTHS[number + 1]
            elif slow:
                mu /= GROWTH
        return False

    def nearest(self) -> _Training | None:
        """Return training that came as near to the data as a matrix can; None if nothing shows that none fits them."""
        data, distance = project_data(self.scaled.model, self.data)
        weights = self.scaled.weights
        if distance <= INCONSISTENT:
            if not self._separated():
                return None
            if weights is None:
                return self
            data = self.data
        nearest = _Training.of(self.task, self.clock, self.scaled.size * (data if weights is None else data / weights))
        nearest.run()
        return nearest

    def _separated(self) -> bool:
        """Return whether the residual r proves that no positive semidefinite matrix fits.

        Every Z that fits has ``⟨b, r⟩ = ⟨Z, B*(r)⟩ ≤ λ_max tr Z``; at the best fit λ_max is 0 and ``⟨b, r⟩ = |r|²``.
        """
        problem, model = self.task.problem, self.scaled.model
        residual = self.data - model.value(self.x)
        size = float(np.linalg.norm(residual))
        if not problem.parametrization.cone.is_semidefinite or size <= INCONSISTENT * float(np.linalg.norm(self.data)):
            return False
        largest = float(model.leading(model.dual_matrix(residual / size), 1, self.task.limits.seed)[1][0])
        trace = BEYOND * float(np.vdot(self.x, self.x)) / 2
        if trace_is_determined(problem):
            trace = 2 * float(trivial_dual(problem) @ problem.data) / self.scaled.to_z
        return float(self.data @ residual) / size > max(largest, 0.0) * trace

    def _objective(self, mu: float) -> PenalisedLoss:
        """Return the loss of a round, the data moved by what the penalty takes away."""
        loss, model, target = self.task.problem.loss, self.scaled.model, self.data + mu * self.y
        if not loss.has_gross_errors:
            return PenalisedLoss(model, target, mu)
        weight = loss.weight_for(self.task.problem.shape)
        if weight is None:
            return PenalisedLoss(model, target, mu, Absolute(tau=(loss.tau or 0.0) / self.scaled.size).misfit)
        level = mu * weight / model.scale
        return PenalisedLoss(model, target, mu, lambda residual: np.clip(residual, -level, level))

    @property
    def factors(self) -> Factors:
        """The flattest factors of the trained matrix, in the units of the problem."""
        U, s, V = self.scaled.model.canonical(self.x)
        kept = s > NEGLIGIBLE * np.max(s, initial=0.0)
        return self.task.problem.parametrization.flattest(
            U[:, kept], self.scaled.to_z * s[kept], V[:, kept], self.scaled.metric
        )

    @property
    def dual(self) -> Array:
        """The dual vector of the problem; where all fits are equally flat, the one that proves it."""
        problem = self.task.problem
        return trivial_dual(problem) if trace_is_determined(problem) else self.scaled.original_dual(self.y, 0.0)

    def _record(self) -> Certificate:
        """Append a row to the history; return what is proved at this point."""
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
