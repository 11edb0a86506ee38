"""Iteratively reweighted least squares for ``min Σ log max(σ_i(Z), ε)  s.t.  q(Z) = b`` with decreasing smoothing ε."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock
from flatmin.cones.quadratic_map import QuadraticMap
from flatmin.measurements import Dense
from flatmin.proofs.certificate import LARGEST_RESIDUAL
from flatmin.solvers.factored.refine import EXACT, largest_drop
from flatmin.solvers.factored.tangent import TangentSpace, Weights
from flatmin.solvers.task import Task

__all__ = ["Descent", "DescentSchedule", "Isotropic", "Triplets"]

#: Largest number of entries of all sensing matrices together for which they are orthonormalized.
MAX_TENSOR = 20_000_000
#: Largest number of multiplications for which the sensing matrices of a product are orthonormalized.
MAX_WORK = 2e9
#: Largest number of multiplications for which Hermitian sensing matrices are orthonormalized. It is larger than for
#: products: Hermitian sensing matrices correlate through their traces, so orthonormalizing them improves convergence
#: more.
MAX_HERMITIAN_WORK = 1e10
#: A combination of sensing matrices counts as a rounding error if its squared norm is below this share of the largest.
DEPENDENT_SQUARE = 1e-12


@dataclass(frozen=True)
class DescentSchedule:
    """Settings of a descent. Smoothings are relative to the largest singular value."""

    #: First smoothing of a descent. The descent ends at the smoothing ``last_smoothing``.
    first_smoothing: float = 0.5
    last_smoothing: float = 1e-12
    #: Factors by which the smoothing shrinks: in the fast descent, and in the slow one that follows if no fit is found.
    shrink: tuple[float, float] = (0.85, 0.93)
    #: Largest number of factors by which the fast descent shrinks the smoothing in one round. It applies more than one
    #: only if no singular value lies between the old smoothing and the new one.
    max_shrinks: int = 4
    #: Smoothing below which a descent ends if more singular values are above it than the data can determine.
    hopeless_below: float = 1e-3
    #: Share of the back-projected residual that a move adds: a smaller share is steadier, a larger share is faster.
    damping: float = 0.7
    #: Number of rounds between two exact fits. Their rank is the one after which singular values drop most.
    fit_every: int = 4
    gradient: float = 1e-2  #: Relative gradient at which a reweighted least-squares problem ends.
    #: Each least-squares problem of an exact fit ends when its relative gradient is at most the relative misfit,
    #: clipped to the range from this to ``gradient``.
    min_gradient: float = 1e-6
    max_products: int = 300  #: Largest number of conjugate gradient steps in a least-squares problem.
    max_steps: int = 25  #: Largest number of Gauss-Newton steps of an exact fit.
    max_left: float = 0.7  #: An exact fit ends if a step leaves more than this share of the misfit.
    negligible: float = 1e-13  #: Singular values of a fit below this share of the largest one are rounding errors.
    #: Singular values of a fit below this share of the largest one are left out if the data are then still fitted.
    doubtful: float = 1e-8
    settled: float = 1e-12  #: Relative misfit of an exact fit at which the search ends at once.
    #: Smallest number of vectors in the block that finds singular triplets, not counting spare vectors.
    min_block: int = 12
    spare: int = 5  #: Number of spare vectors in the block that finds singular triplets.


SCHEDULE = DescentSchedule()
#: ``U, s, V`` with ``Z = U s V*``.
Triplets = tuple[Array, Array, Array]


@dataclass(frozen=True, eq=False)
class Isotropic:
    """A measured model with orthonormal sensing matrices (or of equal norms), scaled to an isometry on average.

    For any Z' and a random Z that fits, ``B*(b − B(Z'))`` is then an unbiased estimate of ``Z − Z'``. The log-det
    surrogate uses it outside the tangent space. ``outside`` is the relative size of the part of the original data that
    no matrix fits, 0 if unknown.
    """

    model: QuadraticMap
    b: Array
    outside: float = 0.0

    @classmethod
    def from_model(cls, model: QuadraticMap, b: Array) -> Isotropic:
        """Replace the measurements of a model by orthonormal combinations, or rescale them if they are too many."""
        whitened, kind = model.whitened, type(model)
        (d1, d2), m = whitened.shape, whitened.size
        free = model.freedom(min(d1, d2))
        work = MAX_WORK if model.is_product else MAX_HERMITIAN_WORK
        sparse = whitened.curvature_blocks(np.zeros((d1, 0)), np.zeros((d2, 0))) is not None
        if sparse or m * d1 * d2 > MAX_TENSOR or m**2 * d1 * d2 > work:
            norms = whitened.norms()
            weights, scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0), float(np.sqrt(free / m))
            return cls(kind(whitened.weighted(weights), scale), scale / model.scale * weights * b)
        rows = whitened.matrices().reshape(m, -1)
        squares, E = np.linalg.eigh((rows @ rows.conj().T).real)
        kept = squares > DEPENDENT_SQUARE * squares[-1]
        E = E[:, kept]
        to_even = np.sqrt(free / len(E.T)) * E.T / np.sqrt(squares[kept])[:, None]
        outside = float(np.linalg.norm(b - E @ (E.T @ b)) / np.linalg.norm(b))
        even = Dense((to_even @ rows).reshape(-1, d1, d2))
        return cls(kind(even), to_even @ b / model.scale, outside)


@dataclass(eq=False)
class Descent:
    """A search for a matrix of low rank that fits.

    ``rounds`` is the number of remaining reweightings and ``ceiling`` the largest rank of interest. ``point`` holds the
    leading singular triplets of the matrix of this round. ``best`` holds those of the exact fit with the least relative
    ``misfit`` so far.
    """

    task: Task
    clock: Clock
    model: QuadraticMap
    b: Array
    rounds: int | None = None
    ceiling: float = np.inf
    point: Triplets = field(init=False)
    best: Triplets = field(init=False)
    misfit: float = np.inf
    history: dict[str, list[float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.task.limits.seed)
        (d1, d2), dtype = self.model.whitened.shape, self.model.whitened.dtype
        self.point = self.best = np.zeros((d1, 0), dtype), np.zeros(0), np.zeros((d2, 0), dtype)

    @property
    def widest(self) -> int:
        """The smallest rank with at least as many degrees of freedom as data, or else the largest rank."""
        largest = int(min(*self.model.whitened.shape, self.task.max_rank or np.inf, self.ceiling))
        return next((k for k in range(1, largest) if self.model.freedom(k) >= len(self.b)), largest)

    @property
    def converged(self) -> bool:
        """Whether a matrix that fits is known."""
        return self.misfit <= min(self.task.limits.tol, LARGEST_RESIDUAL)

    @property
    def over(self) -> bool:
        """Whether the search is finished, or a limit is reached.

        A misfit above rounding does not end it: at a condition number above 1e8 too small a rank reaches the tolerance.
        """
        return self.misfit <= SCHEDULE.settled or self.clock.exhausted or self.rounds == 0

    def run(self, start: Triplets | None = None) -> None:
        """Lower the smoothing until a matrix fits, fast at first and more slowly in a second descent.

        If the start fits by itself, a fast descent from scratch looks for a matrix of smaller rank.
        """
        start = None if start is None or not len(start[1]) else start
        if start is not None and self.model.freedom(min(len(start[1]), self.widest)) < len(self.b):
            self.point = start
            self._fit(self.widest)
        if self.converged and len(self.best[1]) > 1:
            smaller = replace(self, ceiling=len(self.best[1]) - 1, history=self.history, misfit=np.inf)
            smaller._search(smaller._begin(), SCHEDULE.shrink[:1])
            if smaller.converged:
                self.best, self.misfit = smaller.best, smaller.misfit
        elif not self.converged:
            self._search(self._begin() if start is None else start, SCHEDULE.shrink)
            if not self.converged:
                self._fit(self.widest)
        self._record(self.misfit, 0.0)

    def _search(self, given: Triplets, shrink: tuple[float, ...]) -> None:
        self.point = given
        self._fit(self._candidate())
        for factor in shrink:
            if not self.converged:
                self.point = given
                self._descend(factor)

    def _descend(self, shrink: float) -> None:
        share, number = SCHEDULE.first_smoothing, 0
        while share > SCHEDULE.last_smoothing and len(self.point[1]) and not self.over:
            residual, above = self._reweight(share), int(np.count_nonzero(self.point[1] > share * self.point[1][0]))
            if share < SCHEDULE.hopeless_below and above >= self.widest:
                break
            share, number = self._next(share, shrink, above), number + 1
            rank = self._candidate()
            if number % SCHEDULE.fit_every == 0 and self.model.freedom(rank) < len(self.b):
                self._fit(rank)
            self._record(self.misfit if self.converged else residual, share)

    def _next(self, share: float, shrink: float, above: int) -> float:
        """Return the next smoothing as a share of the largest singular value.

        The fast descent takes larger steps to the first singular value below the smoothing, because larger singular
        values hardly move. So the number of rounds of the fast descent depends little on the distances between singular
        values.
        """
        s = self.point[1]
        if shrink != SCHEDULE.shrink[0] or above >= len(s):
            return share * shrink
        return float(np.clip(s[above] / s[0], share * shrink**SCHEDULE.max_shrinks, share * shrink))

    def _begin(self) -> Triplets:
        """Return the leading triplets of the back-projected data."""
        d1, d2 = self.model.whitened.shape
        nothing = TangentSpace(self.model, np.zeros((d1, 0)), np.zeros((d2, 0)))
        for _ in range(3):
            self.point = self._leading(nothing, np.zeros((d1 + d2, 0)), self.b)
        return self.point

    def _reweight(self, share: float) -> float:
        """Minimise the quadratic surrogate of log-det at the point, move there, and return the relative residual.

        Singular values after the first `widest` ones are treated as if they were below the smoothing.
        """
        U, s, V = self.point
        smoothing = share * float(s[0])
        k = int(np.clip(np.count_nonzero(s > smoothing), 1, self.widest))
        level = max(smoothing, float(s[k])) if len(s) > k else smoothing
        space = TangentSpace(self.model, U[:, :k], V[:, :k])
        weights, clock = Weights.log_det(s[:k], level), self.clock
        d = space.solve(self.b, space.diagonal(s[:k]), weights, SCHEDULE.gradient, SCHEDULE.max_products, clock)
        residual = self.b - space.forward(d)
        self.point = self._leading(space, d, SCHEDULE.damping * residual)
        clock.iterations += 1
        self.rounds = None if self.rounds is None else self.rounds - 1
        return float(np.linalg.norm(residual) / np.linalg.norm(self.b))

    def _leading(self, space: TangentSpace, d: Array, residual: Array) -> Triplets:
        """Return the leading triplets of a tangent element plus a back-projected residual, by a subspace iteration."""
        V, (d1, d2) = self.point[2], self.model.whitened.shape
        width = min(d1, d2, max(SCHEDULE.min_block, 2 * space.rank) + SCHEDULE.spare)
        fresh = self.rng.standard_normal((d2, max(0, width - V.shape[1])))
        apply, adjoint = space.operator(d, residual)
        left = _orthonormal(apply(np.hstack([V[:, :width], fresh])))
        left = _orthonormal(apply(_orthonormal(adjoint(left))))
        return self.task.problem.parametrization.cone.decompose(left, adjoint(left))

    def _candidate(self) -> int:
        """Return the rank, up to the widest, after which the singular values drop most.

        Only larger ranks count once a fit is known whose misfit is above rounding.
        """
        s, first = self.point[1][: self.widest + 1], len(self.best[1]) if self.converged else 0
        floor = SCHEDULE.negligible * s.max(initial=0.0)
        return min(first + largest_drop(s[first:], floor), self.widest)

    def _fit(self, rank: int) -> None:
        """Try an exact fit of a rank, starting at the present point, and keep it if its misfit is the least so far."""
        point, misfit = self._gauss_newton(_first(self.point, rank))
        s = point[1]
        smaller = int(np.count_nonzero(s > SCHEDULE.negligible * s.max(initial=0.0)))
        if smaller < len(s):
            point, misfit = self._gauss_newton(_first(point, smaller))
        while misfit <= SCHEDULE.settled and len(s := point[1]) > 1 and s[-1] <= SCHEDULE.doubtful * s[0]:
            shorter, left = self._gauss_newton(_first(point, len(s) - 1))
            if left > SCHEDULE.settled:
                break
            point, misfit = shorter, left
        if misfit < self.misfit:
            self.best, self.misfit = point, misfit

    def _gauss_newton(self, point: Triplets) -> tuple[Triplets, float]:
        """Move towards ``q = b`` while that helps; return the point and its relative misfit.

        The rank stays, or falls if semidefinite matrices of this rank lead away from the data.
        """
        clock, misfit = self.clock, self._misfit(point)
        for _ in range(SCHEDULE.max_steps):
            U, s, V = point
            rank = len(s)
            if misfit <= EXACT or rank == 0 or clock.exhausted:
                break
            space = TangentSpace(self.model, U, V)
            none, tol = Weights.none(rank), float(np.clip(misfit, SCHEDULE.min_gradient, SCHEDULE.gradient))
            M1, M2 = space.split(space.solve(self.b, space.diagonal(s), none, tol, SCHEDULE.max_products, clock))
            decompose = self.task.problem.parametrization.cone.decompose
            moved = _first(decompose(np.hstack([U, M1]), np.hstack([M2, V])), rank)
            left, before = self._misfit(moved), misfit
            clock.iterations += 1
            if left < before:
                point, misfit = moved, left
            if left > SCHEDULE.max_left * before:
                break
        return point, misfit

    def _misfit(self, point: Triplets) -> float:
        return self.model.relative_residual(self.model.stack(*point), self.b)

    def _record(self, residual: float, share: float) -> None:
        """Append a row to the history and hand it to the callback."""
        rank = len(self.best[1]) if self.converged else self._candidate()
        callback = self.task.limits.callback
        self.clock.record(self.history, callback, residual=residual, smoothing=share, rank=rank)


def _first(point: Triplets, rank: int) -> Triplets:
    U, s, V = point
    return U[:, :rank], s[:rank], V[:, :rank]


def _orthonormal(columns: Array) -> Array:
    return np.asarray(np.linalg.qr(columns)[0])
