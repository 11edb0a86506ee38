"""The flattest solution of a problem, with its certificate, and the table that chooses its solver."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from flatmin._core.limits import Clock, Limits
from flatmin._core.registry import Registry
from flatmin._core.validation import shown
from flatmin.errors import InputError
from flatmin.parametrizations import Chain, Hadamard
from flatmin.problem import Problem
from flatmin.proofs.cone_certificate import trace_is_determined
from flatmin.solution import Solution
from flatmin.solvers.completion.alternating import alternating_minimum, applies_to
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.depth.chain import chain_minimum
from flatmin.solvers.depth.hadamard import hadamard_minimum
from flatmin.solvers.depth.hadamard_pivotal import hadamard_pivotal_minimum
from flatmin.solvers.noise.pivotal import pivotal_minimum
from flatmin.solvers.robust.minimum import MOST_ROUNDS, robust_minimum
from flatmin.solvers.robust.pivotal import robust_pivotal_minimum
from flatmin.solvers.task import Task
from flatmin.solvers.vectors.interpolating import interpolating_minimum

__all__ = ["TABLE", "Solver", "find", "flat_minimum", "names", "register", "unregister"]


@runtime_checkable
class Solver(Protocol):
    """Interface of the solvers of `flat_minimum`; `register` or the entry points ``flatmin.solvers`` add one."""

    @property
    def name(self) -> str:
        """The name of the solver."""

    def applies_to(self, task: Task, /) -> bool:
        """Return whether the solver can solve a task."""

    def solve(self, task: Task) -> Solution:
        """Return the solution of a task, built by ``task.solution(...)``."""


@dataclass(frozen=True)
class _Entry:
    """A solver of the table: its name, a predicate, a function of task and clock, and a default limit on iterations."""

    name: str
    applies_to: Callable[[Task], bool]
    function: Callable[[Task, Clock], Solution]
    max_iter: int | None = None

    def solve(self, task: Task) -> Solution:
        """Return the solution of a task, on a clock that starts now."""
        return self.function(task, task.limits.start(self.max_iter))


def _is_determined(task: Task) -> bool:
    return trace_is_determined(task.problem) and task.alpha == 0 and task.metric_power == 1


#: The solvers of flatmin. The first one that applies is used unless the user names another.
TABLE: tuple[Solver, ...] = (
    _Entry("robust-pivotal", lambda task: task.auto and task.is_robust, robust_pivotal_minimum, MOST_ROUNDS),
    _Entry("hadamard-pivotal", lambda task: task.auto and task.has_model(Hadamard), hadamard_pivotal_minimum),
    _Entry("pivotal", lambda task: task.auto, pivotal_minimum),
    _Entry("robust", lambda task: task.is_robust, robust_minimum, MOST_ROUNDS),
    _Entry("hadamard", lambda task: task.has_model(Hadamard), hadamard_minimum),
    _Entry("chain", lambda task: task.has_model(Chain), chain_minimum),
    _Entry("interpolating", _is_determined, interpolating_minimum),
    _Entry("alternating", applies_to, alternating_minimum),
    _Entry("convex", lambda task: True, convex_minimum),
)

_SOLVERS = Registry[Solver]("solver", Solver, group="flatmin.solvers")
for _entry in TABLE:
    _SOLVERS.register(_entry)
find, names, register, unregister = _SOLVERS.find, _SOLVERS.names, _SOLVERS.register, _SOLVERS.unregister


def flat_minimum(
    problem: Problem,
    *,
    alpha: float | str = 0.0,
    metric_power: float = 1.0,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
    stop: str = "gap",
    solver: Solver | str | None = None,
) -> Solution:
    """Return the flattest interpolating solution, certified; no rank, step size or initialization is needed.

    Parameters
    ----------
    problem : Problem
        The model, its measurements, data and loss. For positive semidefinite matrices measured by vectors, every exact
        fit is flat, and the certificate is about uniqueness. With the loss `Absolute`, the solution is a split into a
        low-rank matrix and gross errors.
    alpha : float or "auto"
        0 fits the data exactly; a positive value minimises ``loss + alpha · scaled trace`` instead. "auto" is for noise
        of unknown level: the square-root rule finds alpha, and `Solution.noise` has the level. With the loss `Absolute`
        the noise is dense, in addition to the gross errors.
    metric_power : float
        p in ``‖D1^p X D2^p‖_*``, from 0 (nuclear norm) to 1 (flat); for `Product`, `Gram` and `SignedGram` models with
        the loss `Squared`.
    max_rank : int, optional
        The largest rank allowed; below the rank of the flat minimum nothing can be certified. Sweeps over large tables
        then end when a sweep changes the objective by at most 1e-6, with the status ``rank_limit``. The gap is valid
        for the minimum over all ranks.
    tol : float
        Target for the relative residual and the relative duality gap.
    max_iter : int, optional
        The largest number of steps of the model's solver, most often Newton steps.
    time_limit : float, optional
        Seconds after which the search ends; the certificate of the best solution so far takes additional time.
    warm_start : Solution or tuple of ndarray, optional
        A solution of a similar problem, or factors, to start from.
    seed : int
        Seed of random choices; a unique solution depends on the seed only by rounding errors.
    callback : callable, optional
        Called after each round with a dict of iteration, seconds, residual, gap and rank.
    stop : str
        "gap" stops when the duality gap is at most tol. "objective" stops when a sweep changes the objective by at most
        tol, relatively. This takes less time for large tables, and is possible only for `Entries` with alpha > 0. The
        final gap is certified in both cases.
    solver : Solver or str, optional
        The solver to use, or its name; None chooses by the model, its loss and alpha.

    Returns
    -------
    Solution
        Its certificate says what is proved, and its status advises what to do next.

    Raises
    ------
    InputError
        If an argument is out of range, the warm start does not fit, or memory would not suffice.

    Notes
    -----
    During the search BLAS is limited to one thread, which is faster for matrices of such sizes. This limit applies to
    the whole process.

    Examples
    --------
    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60)
    >>> s = fm.flat_minimum(instance.problem)
    >>> s.status.name, s.rank, bool(abs(s.matrix - instance.truth).max() < 1e-7)
    ('unique_flat_minimum', 1, True)
    """
    auto = isinstance(alpha, str) and alpha == "auto"
    if isinstance(alpha, str) and not auto:
        raise InputError(f"alpha is {shown(alpha)}, expected a finite number of at least 0, or 'auto'")
    limits = Limits(max_rank, tol, max_iter, time_limit, seed, callback, stop)
    task = Task(problem, 0.0 if isinstance(alpha, str) else alpha, metric_power, warm_start, limits, auto)
    if solver is None:
        solver = next(entry for entry in TABLE if entry.applies_to(task))
    elif isinstance(solver, str):
        solver = find(solver)
    elif not isinstance(solver, Solver):
        raise InputError(f"solver is {shown(solver)}, expected a name among {', '.join(names())}, a Solver or None")
    if not solver.applies_to(task):
        raise InputError(f"solver is {solver.name!r}, which does not apply to {problem!r}; expected another, or None")
    if stop == "objective" and solver in TABLE and solver.name != "alternating":
        raise InputError(
            "stop is 'objective', expected 'gap' unless entries are measured, without offsets and with weights of "
            "similar sizes, and alpha is a number well above zero"
        )
    return solver.solve(task)
