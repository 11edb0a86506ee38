"""Minimisation of the rank by log-det reweighting. The result fits the data and is not flat in general."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin._core.validation import shown
from flatmin.cones.quadratic_map import LARGEST_JACOBIAN
from flatmin.errors import InputError
from flatmin.measurements import Entries
from flatmin.problem import Problem
from flatmin.proofs.certificate import LARGEST_RESIDUAL, Certificate
from flatmin.proofs.cone_certificate import certificate_of, trace_is_determined, trivial_dual
from flatmin.solution import Solution, Status
from flatmin.solvers.convex.minimum import working_memory
from flatmin.solvers.convex.scaling import INCONSISTENT, Scaled
from flatmin.solvers.factored.refine import correct_dual, project_data
from flatmin.solvers.factored.tangent import TangentSpace
from flatmin.solvers.lowest_rank.log_det import Descent, Isotropic, Triplets
from flatmin.solvers.task import Task

__all__ = ["reweighted_minimum"]


def reweighted_minimum(
    problem: Problem,
    *,
    rounds: int | None = None,
    max_rank: int | None = None,
    tol: float = 1e-8,
    max_iter: int | None = None,
    time_limit: float | None = None,
    warm_start: Any = None,
    seed: int = 0,
    callback: Callable[[dict[str, float]], Any] | None = None,
) -> Solution:
    """Return the fit of lowest rank that log-det reweighting finds.

    Reweighting recovers a matrix from fewer data than the flat minimum. The rank is replaced by ``Σ log max(σ_i, ε)``
    (with a quadratic below ε), and ε is lowered from step to step. The result is not flat in general. See
    docs/theory/lowest_rank.md.

    Parameters
    ----------
    problem : Problem
        A `Product`, `Gram` or `SignedGram` model with squared loss.
    rounds : int, optional
        The largest number of reweightings; None allows two full descents of ε, a fast and a slow one.
    max_rank : int, optional
        The largest rank allowed.
    tol : float
        Target for the relative residual; values above 1e-8 count as 1e-8. Exact fits end when rounding prevents
        progress.
    max_iter : int, optional
        The largest number of least-squares problems, exact fits included.
    time_limit : float, optional
        Seconds after which the search ends; the certificate takes additional time.
    warm_start : Solution or tuple of ndarray, optional
        Start of the search, for instance the flat minimum. The dual vector of a `Solution` is used for the certificate.
    seed : int
        Seed of the subspace iterations; a unique solution depends on the seed only by rounding errors.
    callback : callable, optional
        Called after each round with a dict of iteration, seconds, residual, smoothing and rank.

    Returns
    -------
    Solution
        The factors are the flattest ones of the matrix found. The certificate is about flatness: it holds only if the
        solution found is also the flattest. Otherwise ``relative_gap`` bounds how much less flat the solution found is.
        No proof of lowest rank is known. Local uniqueness is estimated: ``parts["local_injectivity"]`` is the ratio of
        the smallest to the largest singular value of the map from nearby matrices of this rank to data. If this ratio
        is well above rounding, no other matrix nearby has this rank and fits. For completion, ``parts["loose_rows"]``
        and ``["loose_cols"]`` list rows and columns with too few data for this rank.

    Raises
    ------
    InputError
        If an argument is out of range, the model is not supported, the warm start does not fit, or memory would not
        suffice.

    References
    ----------
    Fazel, Hindi, Boyd, "Log-det heuristic for matrix rank minimization", American Control Conference 2003. Kümmerle,
    Mayrink Verdun, "A scalable second order method for ill-conditioned matrix completion from few samples", ICML 2021.

    Examples
    --------
    Too few data for the flat minimum:

    >>> import flatmin as fm
    >>> instance = fm.families.matrix_sensing.sample((12, 10), 1, 35)
    >>> s = fm.reweighted_minimum(instance.problem)
    >>> s.status.name, s.rank, bool(abs(s.matrix - instance.truth).max() < 1e-7)
    ('low_rank_interpolant', 1, True)
    >>> bool(abs(fm.flat_minimum(instance.problem).matrix - instance.truth).max() < 1e-7), s.certificate.holds
    (False, False)
    """
    limits = Limits(max_rank, tol, max_iter, time_limit, seed, callback)
    task, clock = Task(problem, warm_start=warm_start, limits=limits), limits.start()
    _check(task, rounds)
    require(_working_memory(task), "solving this problem")
    scaled = Scaled.from_problem(problem, 1.0, limits.seed)
    x, y = (None, None) if warm_start is None else scaled.start(problem, warm_start)
    with one_thread():
        consistent, found = _search(task, clock, scaled, rounds, None if x is None else scaled.model.canonical(x))
        U, s, V = found.best
        factors = problem.parametrization.flattest(U, scaled.to_z * s, V, scaled.metric)
        proof = certificate_of(problem, factors, _dual(task, scaled, found.best, y), seed=limits.seed)
        parts = _local_uniqueness(task, scaled, found.best)
    status = _status(proof, clock, consistent and not scaled.contradictory, found.converged)
    solution = task.solution(clock, factors, proof, status, found.history, **parts)
    return replace(solution, settings={**solution.settings, "rounds": None if rounds is None else int(rounds)})


def _search(
    task: Task, clock: Clock, scaled: Scaled, rounds: int | None, start: Triplets | None
) -> tuple[bool, Descent]:
    """Search for a fit; return whether any matrix fits the data, and the search.

    If no matrix fits, the search is repeated for the nearest data that some matrix fits.
    """
    if scaled.size == 0:
        nothing = Descent(task, clock, scaled.model, scaled.b, rounds)
        nothing.misfit = 0.0
        return True, nothing

    def descend(b: Array) -> tuple[Descent, float]:
        even = Isotropic.from_model(scaled.model, b)
        descent = Descent(task, clock, even.model, even.b, rounds)
        descent.run(start)
        return descent, even.outside

    descent, outside = descend(scaled.b)
    if descent.converged or descent.over:
        return outside <= INCONSISTENT, descent
    projected, distance = project_data(scaled.model, scaled.b)
    return (True, descent) if distance <= INCONSISTENT else (False, descend(projected)[0])


def _dual(task: Task, scaled: Scaled, found: Triplets, start: Array | None) -> Array:
    """Return a dual vector for the certificate: of two candidates, the one that proves the larger lower bound.

    One candidate is the shortest vector for which the matrix found is stationary. The other belongs to the warm start.
    """
    if trace_is_determined(task.problem):
        return trivial_dual(task.problem)
    model, zero = scaled.model, np.zeros_like(scaled.b)
    if not len(found[1]):
        return scaled.original_dual(zero, 0.0)
    candidates = [correct_dual(model, model.stack(*found), zero, task.limits.seed)]
    if start is not None and np.any(start):
        candidates.append((start, model.largest(model.dual_matrix(start), task.limits.seed)))
    scaled_down = [y / max(1.0, norm) for y, norm in candidates]
    return scaled.original_dual(max(scaled_down, key=lambda y: float(scaled.b @ y)), 0.0)


def _local_uniqueness(task: Task, scaled: Scaled, found: Triplets) -> dict[str, Array]:
    """Return the parts of the solution about local uniqueness; see `reweighted_minimum`."""
    U, _, V = found
    space = TangentSpace(scaled.model, U, V)
    rng = np.random.default_rng(task.limits.seed)
    seen = (D.power(0) @ rng.standard_normal(F.shape) for D, F in zip(scaled.metric, (U, V), strict=True))
    rows, cols = space.loose()
    free = len(rows) or len(cols) or scaled.model.freedom(space.rank) > len(scaled.b)
    injectivity = 0.0 if free else space.injectivity(np.concatenate([*seen]))
    return {"local_injectivity": np.array(injectivity), "loose_rows": rows, "loose_cols": cols}


def _status(proof: Certificate, clock: Clock, consistent: bool, converged: bool) -> Status:
    if not consistent:
        return Status.inconsistent_data
    if converged and proof.relative_residual <= LARGEST_RESIDUAL:
        return Status.low_rank_interpolant
    if clock.exhausted:
        return Status.time_limit if clock.out_of_time else Status.iteration_limit
    return Status.not_certified


def _working_memory(task: Task) -> float:
    """Return a rough upper estimate, in bytes, of the memory of the search, without the measurements."""
    problem = task.problem
    if isinstance(problem.measurement, Entries):
        return working_memory(problem, task.max_rank)
    d1, d2 = problem.shape
    jacobian = min(8 * problem.measurement.size * (d1 + d2) * min(d1, d2), 8.0 * LARGEST_JACOBIAN)
    return jacobian + 24.0 * min(d1, d2, 8000) ** 2 + problem.measurement.nbytes


def _check(task: Task, rounds: int | None) -> None:
    """Raise `InputError` unless the rank of the model can be minimised and ``rounds`` is a whole number or None."""
    model, loss = task.problem.parametrization, task.problem.loss
    if not model.has_cone_norm:
        raise InputError(f"the model is {model!r}, expected Product, Gram or SignedGram: others have no rank to lower")
    if loss.has_gross_errors:
        raise InputError(f"the loss is {loss!r}, expected Squared(): reweighting fits the data exactly")
    if rounds is not None and (isinstance(rounds, bool) or not isinstance(rounds, int | np.integer) or rounds < 0):
        raise InputError(f"rounds is {shown(rounds)}, expected a whole number of at least 0 or None")
