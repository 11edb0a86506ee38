"""Robust PCA with dense noise of unknown level: alpha follows from the noise in the residual."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import eigvalsh

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.threads import one_thread
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.solution import Noise, Solution
from flatmin.solvers.robust.least_squares import REJECTED, Trimmed, trimmed_fit, typical_size
from flatmin.solvers.robust.minimum import ObservedBlock, packed_split, robust_minimum, split, spread
from flatmin.solvers.task import Task

__all__ = ["RobustNoiseSchedule", "robust_pivotal_minimum", "robust_refit"]


@dataclass(frozen=True)
class RobustNoiseSchedule:
    """Settings of the search for alpha and for the rank. Sizes of noise are relative to the size of the data."""

    draws: int = 20  #: Number of simulated noise matrices.
    large_draws: int = 6  #: Number of simulated noise matrices if they are large.
    large: int = 200_000  #: Number of cells above which a matrix is large: its norm is then computed by power steps.
    power_steps: int = 30  #: Number of power steps for the norm of a large matrix, which give it to about 1 %.
    quantile: float = 0.95  #: The threshold is this quantile of the norms of simulated noise.
    accuracy: float = 1e-2  #: Relative accuracy of alpha.
    max_splits: int = 40  #: Largest number of splits that look for alpha.
    split_rounds: int = 30  #: Largest number of rounds of a split that looks for alpha.
    split_gap: float = 1e-3  #: Gap at which a split that looks for alpha ends.
    max_fall: float = 0.1  #: Smallest factor of the guessed size of the noise from one split to the next.
    exact: float = 1e-9  #: Size of the noise below which data count as free of noise.
    faint: float = 1e-3  #: Size of the noise below which a split without penalty decides whether the data have noise.
    faint_rounds: int = 500  #: Largest number of rounds of the split without penalty.
    surplus: float = 1.5  #: The split without penalty is trusted if it fits over this many cells per degree of freedom.
    #: The fits after the split have the penalty of the split divided by this, so they are hardly biased.
    unbiased: float = 100.0
    test_accuracy: float = 1e-3  #: Accuracy of fits that are computed only for the test, as a share of the noise.
    last_accuracy: float = 1e-6  #: Accuracy of the last fit, as a share of the noise.
    max_steps_up: int = 8  #: Largest number of ranks that are tested above the rank of the penalised split.


SCHEDULE = RobustNoiseSchedule()


def robust_pivotal_minimum(task: Task, clock: Clock) -> Solution:
    """Return the penalised split at the alpha that follows from its own residual, certified.

    The rule is ``2 alpha m = t σ``. Here t is the 95 % quantile of the norm of standard normal noise on the m observed
    cells. The standard deviation σ is estimated from the smaller residuals, as if they were normal. Then `trimmed_fit`
    tests ranks near that of the split. The factors ``noise.refit`` and the part "outliers" come from these fits and are
    not certified. See docs/theory/robust_noise.md, "Noise of unknown level".
    """
    task.expect_defaults("metric_power")
    cells = ObservedBlock.from_problem(task.problem)
    with one_thread():
        rule = _Rule.from_block(cells, task, clock)
        alpha, start = rule.balanced()
        if alpha > 0:
            at = replace(task, alpha=alpha)
            solution = packed_split(at, clock, cells, cells.seen_of(split(cells, at, clock, start)))
            fit, unevenness = rule.tested(solution, alpha)
    if alpha == 0:
        return _without_noise(task, rule)
    noise = Noise(
        sigma=None if fit.sigma is None else cells.unit * fit.sigma,
        std_error=None if fit.std_error is None else cells.unit * fit.std_error,
        alpha=alpha,
        threshold=rule.threshold / float(np.sqrt(rule.cells)),
        unevenness=unevenness,
        refit=rule.factors(fit),
        rank=fit.L.shape[1],
        penalised_rank=solution.rank,
        freedom=fit.freedom,
        # Gross errors are shrunk towards zero; their remainder in the noise can add columns.
        selects=solution.rank <= fit.L.shape[1],
    )
    return replace(solution, noise=noise, parts={**solution.parts, "outliers": rule.outliers(fit)})


def robust_refit(problem: Problem, solution: Solution) -> tuple[Factors, Array]:
    """Return the factors and the gross errors of the tested fit near a penalised split. They are not certified."""
    alpha, cells = float(solution.settings["alpha"]), ObservedBlock.from_problem(problem)
    with one_thread():
        limits = Limits(seed=solution.settings["seed"])
        rule = _Rule.from_block(cells, Task(problem, alpha, limits=limits), limits.start())
        fit, _ = rule.tested(solution, alpha)
    return rule.factors(fit), rule.outliers(fit)


def _without_noise(task: Task, rule: _Rule) -> Solution:
    """Return an exact split: all residuals are gross errors."""
    solution = robust_minimum(task, rule.clock)
    rank, (d1, d2) = solution.rank, task.problem.shape
    noise = Noise(
        sigma=0.0,
        std_error=0.0,
        alpha=0.0,
        threshold=rule.threshold / float(np.sqrt(rule.cells)),
        unevenness=1.0,
        refit=solution.factors,
        rank=rank,
        penalised_rank=rank,
        freedom=rank * (d1 + d2 - rank),
    )
    return replace(solution, noise=noise, parts={**solution.parts, "outliers": solution.sparse != 0})


@dataclass(frozen=True, eq=False)
class _Rule:
    """The rule for one problem, in the unit of its `ObservedBlock`; ``threshold`` is t, for standard normal noise."""

    data: ObservedBlock
    task: Task
    clock: Clock
    seen: Array
    threshold: float

    @classmethod
    def from_block(cls, data: ObservedBlock, task: Task, clock: Clock) -> _Rule:
        """Simulate noise, and return the rule with its threshold."""
        seen = np.ones(data.Y.shape, bool) if data.grid.seen is None else data.grid.seen > 0
        rng = np.random.default_rng(task.limits.seed)
        draws = (np.where(seen, rng.standard_normal(seen.shape), 0.0) for _ in range(_count(seen)))
        return cls(data, task, clock, seen, float(np.quantile([_norm(g, rng) for g in draws], SCHEDULE.quantile)))

    @property
    def cells(self) -> int:
        """The number of observed cells."""
        return len(self.task.problem.data)

    def balanced(self) -> tuple[float, tuple[Array, Array] | None]:
        """Return the alpha that meets the rule (0 for data without noise), and a start for the split at this alpha."""
        data, start, alpha, looked = self.data, None, 0.0, False
        size = first = typical_size(data.Y[self.seen])
        points: list[tuple[float, float]] = []
        for _ in range(SCHEDULE.max_splits):
            if size <= SCHEDULE.exact * first:
                return 0.0, None
            alpha = size * self.threshold * data.unit / (2 * self.cells)
            if self.clock.exhausted:
                break
            at, tol, most = replace(self.task, alpha=alpha), SCHEDULE.split_gap, SCHEDULE.split_rounds
            found = split(data, at, self.clock, start, tol=tol, most=most)
            U, s, V = found.triplets
            start = (U * s) @ V.T, found.W
            left = typical_size((data.Y - start[0])[self.seen])
            points.append((size, left))
            if abs(left / size - 1) <= SCHEDULE.accuracy:
                break
            size = _following(points)
            if not looked and size <= SCHEDULE.faint * first:
                looked, exact = True, self._unpenalised(first)
                if exact is not None:
                    points, (start, size) = [], exact
        return alpha, start

    def _unpenalised(self, first: float) -> tuple[tuple[Array, Array], float] | None:
        """Return the start that a split without penalty gives, and the size of the noise in its residual.

        This split is for faint noise, where alpha falls faster than coarse splits converge. The result is None if the
        low-rank part has about as many degrees of freedom as fitted cells, because then it fits noise.
        """
        found = split(self.data, replace(self.task, alpha=0.0), self.clock, None, most=SCHEDULE.faint_rounds)
        U, s, V = found.triplets
        start = (U * s) @ V.T, found.W
        sizes = np.abs(self.data.Y - start[0])[self.seen]
        size, rank = typical_size(sizes), len(s)
        near = np.count_nonzero(sizes <= max(REJECTED * size, SCHEDULE.exact * first))
        return (start, size) if near > SCHEDULE.surplus * rank * (sum(self.seen.shape) - rank) else None

    def tested(self, solution: Solution, alpha: float) -> tuple[Trimmed, float]:
        """Return the fit of the smallest rank whose residual passes for noise, and the unevenness of its residual.

        Ranks near that of the penalised solution are tested.
        """
        ridge = 2 * alpha * self.cells / self.data.unit / SCHEDULE.unbiased
        L, R = (side / np.sqrt(self.data.unit) for side in solution.factors)
        start = L[self.data.grid.rows], R[self.data.grid.cols]
        fit = self._fit(*start, ridge)
        passes, column = self._passes(fit)
        if passes:
            fit = self._smallest(fit, start, ridge)
        widest = min(self.task.max_rank or max(self.seen.shape), *self.seen.shape)
        for _ in range(0 if passes else SCHEDULE.max_steps_up):
            if passes or fit.L.shape[1] >= widest:
                break
            fit = self._fit(np.hstack([fit.L, column[0]]), np.hstack([fit.R, column[1]]), ridge)
            passes, column = self._passes(fit)
        fit = self._fit(fit.L, fit.R, ridge, SCHEDULE.last_accuracy)
        even = self._even(fit)
        return fit, max(1.0, self._flipped(fit) / even) if even > 0 else 1.0

    def _smallest(self, fit: Trimmed, start: tuple[Array, Array], ridge: float) -> Trimmed:
        """Return the fit of the smallest rank that passes the test, found by halving, given one that passes.

        Each rank is tried from two starts: the leading columns of the penalised solution, and those of the last fit. If
        the rank of the last fit is too large, the gross errors of a row or column may be one of its leading columns.
        """
        fails = -1
        while fit.L.shape[1] - fails > 1:
            rank = (fit.L.shape[1] + fails) // 2
            for L, R in (start, _by_reach(fit)):
                smaller = self._fit(L[:, :rank], R[:, :rank], ridge)
                if self._passes(smaller)[0]:
                    fit = smaller
                    break
            else:
                fails = rank
        return fit

    def factors(self, fit: Trimmed) -> Factors:
        """Return the flattest factors of a fit, in the units of the data, with zeros where nothing is seen."""
        root, problem = np.sqrt(self.data.unit), self.task.problem
        pair = spread(root * fit.L, self.data.grid.rows), spread(root * fit.R, self.data.grid.cols)
        model = problem.parametrization
        return model.flattest(*model.singular(pair, problem.metric), problem.metric)

    def outliers(self, fit: Trimmed) -> Array:
        """Return which cells of the whole matrix are gross errors."""
        out = np.zeros(self.task.problem.shape, bool)
        out[np.ix_(self.data.grid.rows, self.data.grid.cols)] = self.seen & ~fit.inliers
        return out

    def _fit(self, L: Array, R: Array, ridge: float, settled: float = SCHEDULE.test_accuracy) -> Trimmed:
        return trimmed_fit(self.data.Y, self.seen, L, R, ridge, settled)

    def _passes(self, fit: Trimmed) -> tuple[bool, tuple[Array, Array]]:
        """Return whether the residual of a fit passes for noise, and the pair of columns that would reduce it most."""
        rest = fit.left
        for side, axis in ((fit.L, 0), (fit.R, 1)):
            Q = np.linalg.qr(side)[0]
            rest = rest - (Q @ (Q.T @ rest) if axis == 0 else (rest @ Q) @ Q.T)
        u, size, v = _leading(rest, np.random.default_rng(self.task.limits.seed))
        if fit.spare <= 0:
            return True, (fit.L[:, :0], fit.R[:, :0])
        passes = size <= max(self._even(fit), self._flipped(fit))
        # Unobserved cells of the rest are zero, which makes its component smaller.
        root = np.sqrt(size * rest.size / max(1, fit.spare + fit.freedom))
        return bool(passes), (root * u[:, None], root * v[:, None])

    def _even(self, fit: Trimmed) -> float:
        """Return the quantile of the norm of normal noise that has the size of the residual."""
        return self.threshold * float(np.linalg.norm(fit.left)) / float(np.sqrt(max(1, fit.spare)))

    def _flipped(self, fit: Trimmed) -> float:
        """Return the quantile of the norm of the residual with random signs, corrected for the degrees of freedom."""
        rng, left = np.random.default_rng(self.task.limits.seed), fit.left
        draws = (left * rng.choice([-1.0, 1.0], left.shape) for _ in range(_count(left)))
        taken = (fit.spare + fit.freedom) / max(1, fit.spare)
        return float(np.quantile([_norm(g, rng) for g in draws], SCHEDULE.quantile) * np.sqrt(taken))


def _following(points: list[tuple[float, float]]) -> float:
    """Return the next guess at the fixed point, on the line through the last two points."""
    x, y = points[-1]
    if len(points) < 2 or points[-2][0] == x:
        return y
    slope = (points[-2][1] - y) / (points[-2][0] - x)
    if not 0 <= slope < 1:
        return y
    return min(y, max((y - slope * x) / (1 - slope), SCHEDULE.max_fall * y))


def _by_reach(fit: Trimmed) -> tuple[Array, Array]:
    """Return the factors of a fit, sorted so that components that spread over many rows and columns come first."""
    reach = [np.abs(side).sum(axis=0) for side in (fit.L, fit.R)]
    order = np.argsort(-reach[0] * reach[1], kind="stable")
    return fit.L[:, order], fit.R[:, order]


def _count(matrix: Array) -> int:
    return SCHEDULE.draws if matrix.size <= SCHEDULE.large else SCHEDULE.large_draws


def _norm(matrix: Array, rng: np.random.Generator) -> float:
    if matrix.size > SCHEDULE.large:
        return _leading(matrix, rng)[1]
    gram = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    top = len(gram) - 1
    return float(np.sqrt(max(0.0, eigvalsh(gram, subset_by_index=[top, top])[0])))


def _leading(matrix: Array, rng: np.random.Generator) -> tuple[Array, float, Array]:
    """Return the leading singular triplet; that of a large matrix is computed by power steps on a few vectors."""
    if matrix.size <= SCHEDULE.large:
        U, s, Vt = np.linalg.svd(matrix, full_matrices=False)
        return U[:, 0], float(s[0]), Vt[0]
    basis = rng.standard_normal((matrix.shape[1], 4))
    for _ in range(SCHEDULE.power_steps):
        basis = np.linalg.qr(matrix.T @ (matrix @ basis))[0]
    U, s, Vt = np.linalg.svd(matrix @ basis, full_matrices=False)
    return U[:, 0], float(s[0]), basis @ Vt[0]
