"""Cross-validation: the choice of the alpha that predicts held-out data best, along paths of penalised solutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.threads import one_thread
from flatmin._core.validation import is_whole, shown
from flatmin.errors import InputError
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import check_alpha
from flatmin.solution import Solution
from flatmin.solvers.alphas.folds import splits
from flatmin.solvers.alphas.path import Prepared, alpha_max, descending, flat_solution, geometric
from flatmin.solvers.task import Task

__all__ = ["CrossValidation", "Fold", "check_rule", "cross_validate"]

RULES = ("best", "one_standard_error")
#: Smaller alphas are left out if, in every fold, this many alphas in a row have errors above that of the best alpha.
PATIENCE = 2
#: As a second condition, the mean error must exceed the least mean error by this many standard errors.
CLEAR_RISE = 2.0
#: Largest number of threads that can be asked for.
MOST_JOBS = 10_000

#: A function of the training and held-out indices. It returns the problem to fit, and the problem whose residual judges
#: the fit.
Pair = Callable[[Array, Array], tuple[Problem, Problem]]


@dataclass(frozen=True, eq=False)
class Fold:
    """A problem without the held-out data, and a function that returns the residual of its solution on these data."""

    problem: Problem
    residual: Callable[[Factors], Array]
    size: int


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """The result of `cross_validate`: errors of prediction, and the solution that the rule chose.

    Attributes
    ----------
    metric_powers, alphas : ndarray, shapes (p,) and (a,)
        The metric powers as they were given, and the alphas, descending.
    errors : ndarray, shape (p, a, folds)
        Mean squared residuals on the held-out measurements; NaN for alphas that were left out.
    ranks, gaps : ndarray, shape (p, a, folds)
        The ranks of the solutions (−1 if there is none), and their relative duality gaps as the solver estimates them.
    sizes : ndarray, shape (folds,)
        The number of measurements that each fold holds out.
    rule : str
        "best" or "one_standard_error".
    chosen : tuple of int
        Position (power, alpha) that the rule chose.
    solution : Solution
        The certified penalised solution for all data at the chosen alpha and power. Its refit would predict worse.
    fold_factors : tuple of Factors
        The factors of the solutions for the data without each fold, at the chosen alpha and power.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 100, noise=0.3)
    >>> found = fm.cross_validate(instance.problem, n_alphas=10)
    >>> found.errors.shape, found.rule, found.solution.rank
    ((1, 10, 5), 'best', 2)
    """

    metric_powers: Array
    alphas: Array
    errors: Array
    ranks: Array
    gaps: Array
    sizes: Array
    rule: str
    chosen: tuple[int, int]
    solution: Solution
    fold_factors: tuple[Factors, ...] = ()

    @property
    def mean(self) -> Array:
        """The mean squared residual over all held-out measurements, shape (p, a)."""
        return np.asarray(self.errors @ self.sizes / self.sizes.sum())

    @property
    def standard_error(self) -> Array:
        """The standard error of `mean`, from the spread between folds, shape (p, a); NaN for a single fold."""
        return _standard_error(self.errors, self.sizes)

    @property
    def best(self) -> tuple[int, int]:
        """Position (power, alpha) of the least mean error."""
        return self.position("best")

    def position(self, rule: str) -> tuple[int, int]:
        """Return the position (power, alpha) that a rule chooses."""
        check_rule(rule, "rule")
        return _choose(self.errors, self.sizes, rule)

    @property
    def alpha(self) -> float:
        """The alpha that the rule chose."""
        return float(self.alphas[self.chosen[1]])

    @property
    def metric_power(self) -> float:
        """The metric power that the rule chose."""
        return float(self.metric_powers[self.chosen[0]])

    @property
    def at_edge(self) -> bool:
        """Whether the smallest alpha has the least error: a still smaller alpha might be better."""
        return len(self.alphas) > 1 and self.best[1] == len(self.alphas) - 1


def check_rule(value: Any, name: str) -> None:
    """Raise `InputError` unless an argument of this name is a rule of choice."""
    if not isinstance(value, str) or value not in RULES:
        raise InputError(f"{name} is {shown(value)}, expected 'best' or 'one_standard_error'")


def cross_validate(
    problem: Problem,
    *,
    alphas: Any = None,
    n_alphas: int = 20,
    ratio: float = 0.01,
    metric_powers: Iterable[float] = (1.0,),
    folds: Any = 5,
    groups: Any = None,
    rule: str = "best",
    max_rank: int | None = None,
    tol: float = 1e-8,
    fold_tol: float = 1e-3,
    early_stop: bool = True,
    pair: Pair | None = None,
    max_iter: int | None = None,
    seed: int = 0,
    n_jobs: int | None = 1,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> CrossValidation:
    """Choose alpha and the metric power by the error on measurements that were held out.

    The measurements of each fold are predicted by the minimiser of ``loss + alpha · scaled trace`` for the other
    measurements. An alpha means the same in a fold and for all data (see docs/theory/cross_validation.md).

    Parameters
    ----------
    problem : Problem
        The model and its data, with the loss `Squared`.
    alphas : array_like, shape (a,), optional
        Positive numbers, in any order. By default they are spaced geometrically below a largest one. This is the
        smallest alpha at which the solution for all data is zero at every metric power.
    n_alphas, ratio : int, float
        The number of alphas by default, and the ratio of the smallest to the largest one.
    metric_powers : iterable of float
        The powers p of ``‖D1^p X D2^p‖_*`` to choose from.
    folds : int, array_like of shape (m,), sequence of pairs or of Fold
        The number of folds; or the fold of each measurement, −1 for those that are never held out; or pairs of index
        arrays, training and held out, such as scikit-learn's splitters yield; or objects of class Fold. A number of
        folds deals `Entries` row by row. It never holds out a cell if training cells would miss its row or column,
        because the error of such a cell is the same for every alpha.
    groups : array_like, shape (m,), optional
        With a number of folds: measurements of one group are held out together.
    rule : str
        "best" takes the alpha and power of the least mean error. "one_standard_error" takes the same metric power, and
        the largest alpha whose error is at most one standard error above the least one.
    max_rank : int, optional
        The largest rank allowed.
    tol, fold_tol : float
        Targets for the relative duality gaps of the final solution, and of those in the folds.
    early_stop : bool
        Whether to leave out smaller alphas once errors have clearly risen: for two alphas in a row in every fold, and
        on average by more than two standard errors. Alphas that are left out have the error NaN.
    pair : callable, optional
        A function for preprocessing that must not see held-out data. It takes index arrays, training and held out, and
        returns the problem to fit and the problem whose measurements are predicted. By default both are parts of
        ``problem``.
    max_iter : int, optional
        The largest number of Newton steps for each solve.
    seed : int
        Seed of the folds and of other random choices.
    n_jobs : int, optional
        Number of threads over folds and metric powers. Numbers other than 1 need joblib.
    callback : callable, optional
        Called after each metric power and alpha with a dict of metric_power, alpha, error and rank.

    Returns
    -------
    CrossValidation

    Raises
    ------
    InputError
        If an argument is out of range, or nothing can be held out.

    References
    ----------
    Stone, "Cross-validatory choice and assessment of statistical predictions", Journal of the Royal Statistical Society
    B 36(2), 1974. Breiman, Friedman, Olshen, Stone, "Classification and regression trees", 1984 (the rule of one
    standard error).

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 100, noise=0.3)
    >>> cv = cross_validate(instance.problem, n_alphas=10)
    >>> cv.solution.status.name, cv.at_edge
    ('regularized_minimum', False)
    """
    limits, powers = Limits(max_rank, tol, max_iter, seed=seed), _checked_powers(metric_powers)
    task = Task(problem, 1.0, limits=limits)
    check_rule(rule, "rule")
    if n_jobs is not None and (not is_whole(n_jobs) or n_jobs == 0 or abs(n_jobs) > MOST_JOBS):
        raise InputError(f"n_jobs is {shown(n_jobs)}, expected a number of threads, -1 for all, or None")
    if pair is not None and not callable(pair):
        raise InputError(f"pair is {shown(pair)}, expected a function of two index arrays, or None")
    if problem.loss.has_gross_errors:
        raise InputError(f"the loss is {problem.loss!r}, expected Squared(): errors on held-out data are squared")
    if alphas is None:
        tops = [alpha_max(problem, metric_power=p, seed=limits.seed) for p in powers]
        chosen_alphas = geometric(max(tops), n_alphas, ratio)
    else:
        chosen_alphas = descending(alphas)
    found = _folds(problem, folds, groups, pair, limits.seed)
    coarse = replace(task, limits=replace(limits, tol=fold_tol))
    runs = [
        [_Run.from_fold(fold, replace(coarse, problem=fold.problem, metric_power=p)) for fold in found] for p in powers
    ]
    search = _Search(runs, chosen_alphas, np.array([fold.size for fold in found]), rule, early_stop, callback)
    with one_thread():
        search.run(n_jobs)
    chosen = _choose(search.errors, search.sizes, rule)
    start = search.factors[chosen][0] if found[0].problem.shape == problem.shape else None
    final = replace(task, alpha=float(chosen_alphas[chosen[1]]), metric_power=powers[chosen[0]], warm_start=start)
    solution = flat_solution(final)
    table = search.errors, search.ranks, search.gaps, search.sizes
    fold_factors = tuple(search.factors[chosen])
    return CrossValidation(np.array(powers), chosen_alphas, *table, rule, chosen, solution, fold_factors)


@dataclass(eq=False)
class _Run:
    """The path of one fold at one metric power, from larger to smaller alphas; ``last`` is its last solution."""

    fold: Fold
    task: Task
    prepared: Prepared | None
    last: Any = None

    @classmethod
    def from_fold(cls, fold: Fold, task: Task) -> _Run:
        """Prepare the problem of a fold."""
        return cls(fold, task, Prepared.from_task(task) if fold.problem.is_convex else None)

    def advance(self, alpha: float) -> tuple[float, int, float, Factors]:
        """Solve at the next alpha; return the error on held-out data, the rank, the gap and the factors."""
        task = self.task
        if self.prepared is None:
            self.last = flat_solution(replace(task, alpha=alpha, warm_start=self.last))
            factors, gap = self.last.factors, self.last.checked_certificate.relative_gap
        else:
            clock = Clock(task.limits.max_iter)
            self.last = self.prepared.outcome(alpha, task.limits.tol, self.last, clock)
            factors, gap = self.prepared.factors(self.last), self.last.history.get("gap", [0.0])[-1]
        error = float(np.mean(self.fold.residual(factors) ** 2))
        return error, task.problem.parametrization.width(factors), gap, factors


@dataclass(eq=False)
class _Search:
    """The table of errors, which is filled alpha by alpha; ``factors`` has the fits that the rule may choose."""

    runs: list[list[_Run]]
    alphas: Array
    sizes: Array
    rule: str
    early_stop: bool
    callback: Callable[[dict[str, float]], Any] | None
    factors: dict[tuple[int, int], list[Factors]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = len(self.runs), len(self.alphas), len(self.sizes)
        self.errors, self.ranks, self.gaps = np.full(shape, np.nan), np.full(shape, -1), np.full(shape, np.nan)

    def run(self, n_jobs: int | None) -> None:
        """Fill the table."""
        active = list(range(len(self.runs)))
        for j, alpha in enumerate(self.alphas):
            steps = [(i, k) for i in active for k in range(len(self.sizes))]
            found = _parallel([self.runs[i][k] for i, k in steps], float(alpha), n_jobs)
            for (i, k), (error, rank, gap, factors) in zip(steps, found, strict=True):
                self.errors[i, j, k], self.ranks[i, j, k], self.gaps[i, j, k] = error, rank, gap
                self.factors.setdefault((i, j), []).append(factors)
            if self.rule == "best":
                best = _choose(self.errors, self.sizes, self.rule)
                self.factors = {best: self.factors[best]}
            self._report(active, j)
            if self.early_stop:
                active = [i for i in active if not _rising(self.errors[i, : j + 1], self.sizes)]

    def _report(self, active: list[int], j: int) -> None:
        for i in active if self.callback is not None else ():
            error = float(self.errors[i, j] @ self.sizes / self.sizes.sum())
            power = self.runs[i][0].task.metric_power
            row = {"metric_power": power, "alpha": float(self.alphas[j]), "error": error}
            assert self.callback is not None
            self.callback(row | {"rank": float(np.mean(self.ranks[i, j]))})


def _parallel(runs: list[_Run], alpha: float, n_jobs: int | None) -> list[tuple[float, int, float, Factors]]:
    """Advance every run to an alpha and return the results. Threads share the data; NumPy releases Python's lock."""
    if n_jobs == 1 or len(runs) == 1:
        return [run.advance(alpha) for run in runs]
    try:
        from joblib import Parallel, delayed
    except ImportError as missing:
        raise ImportError("n_jobs other than 1 needs joblib: pip install joblib") from missing
    return list(Parallel(n_jobs=n_jobs, prefer="threads")(delayed(run.advance)(alpha) for run in runs))


def _folds(problem: Problem, folds: Any, groups: Any, pair: Pair | None, seed: int) -> list[Fold]:
    """Return the given folds, or make folds from parts of the problem."""
    if isinstance(folds, list | tuple) and folds and all(isinstance(fold, Fold) for fold in folds):
        return list(folds)
    found = []
    for split in splits(problem, folds, groups, seed):
        fit, judge = (pair or _taken(problem))(split.training, split.held_out)
        found.append(Fold(fit, judge.residual, len(split.held_out)))
    return found


def _taken(problem: Problem) -> Pair:
    """Return a function that selects the measurements and data of a fold's two problems."""

    def part(index: Array) -> Problem:
        return replace(problem, measurement=problem.measurement.take(index), data=problem.data[index])

    return lambda training, held_out: (part(training), part(held_out))


def _checked_powers(metric_powers: Any) -> list[float]:
    """Return the metric powers as numbers, or raise `InputError`."""
    powers = [check_alpha(1.0, p)[1] for p in np.atleast_1d(np.asarray(metric_powers, dtype=object)).tolist()]
    if not powers:
        raise InputError("metric_powers is empty, expected one or more numbers from 0 to 1")
    return powers


def _rising(errors: Array, sizes: Array) -> bool:
    """Return whether the errors (alphas, folds) of the last alphas are clearly above those of the best alpha."""
    least = int(np.argmin(errors @ sizes))
    if len(errors) - 1 - least < PATIENCE or errors.shape[1] < 2:
        return False
    rise = errors[-PATIENCE:] - errors[least]
    error = _standard_error(rise[-1], sizes)
    return bool(np.all(rise > 0) and rise[-1] @ sizes / sizes.sum() > CLEAR_RISE * error)


def _standard_error(errors: Array, sizes: Array) -> Array:
    """Return the standard error of the mean over folds (the last axis), which weighs folds by their sizes."""
    count, share = len(sizes), sizes / sizes.sum()
    if count < 2:
        return np.full(errors.shape[:-1], np.nan)
    spread = (errors - (errors @ share)[..., None]) ** 2 @ share
    return np.asarray(np.sqrt(spread / (count - 1)))


def _choose(errors: Array, sizes: Array, rule: str) -> tuple[int, int]:
    """Return the position (power, alpha) that the rule chooses."""
    mean = errors @ sizes / sizes.sum()
    power, alpha = (int(i) for i in np.unravel_index(int(np.nanargmin(mean)), mean.shape))
    if rule == "best" or len(sizes) < 2:
        return power, alpha
    allowed = mean[power, alpha] + _standard_error(errors, sizes)[power, alpha]
    return power, int(np.argmax(mean[power] <= allowed))
