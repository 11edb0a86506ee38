"""Refit: least squares at the rank of a penalised solution, which removes the bias of the penalty."""

import numpy as np

from flatmin._core.arrays import Array
from flatmin._core.limits import Clock, Limits
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin._core.validation import seed_number
from flatmin.errors import InputError
from flatmin.parametrizations.base import Factors
from flatmin.problem import Problem
from flatmin.proofs.certificate import check_alpha
from flatmin.solution import Solution
from flatmin.solvers.convex.minimum import working_memory
from flatmin.solvers.convex.scaling import Scaled
from flatmin.solvers.factored.newton import Minimum, minimise

__all__ = ["least_squares", "refit", "unscaled"]

#: Factor by which a refit multiplies the weight of the misfit. This reduces the bias to a hundredth of the noise, and
#: rows of factors with fewer data than columns stay bounded.
UNBIASED = 100.0
#: Relative gradient at which a refit ends.
REFIT_GRADIENT = 1e-6


def refit(
    problem: Problem, solution: Solution, *, max_iter: int | None = None, time_limit: float | None = None
) -> Factors:
    """Fit the data again by least squares, with the rank of a penalised solution; return the factors.

    The search starts at the solution and ends at a minimum of ``loss + (alpha / 100) · scaled trace`` among matrices of
    this rank. The small penalty bounds rows with fewer data than the rank. The result is **not certified**, because
    least squares at a fixed rank may have local minima. Its residual is never larger than that of the solution.

    Parameters
    ----------
    problem : Problem
        The problem that was solved, a `Product`, `Gram` or `SignedGram` model with the loss `Squared`.
    solution : Solution
        The solution of `flat_minimum` with ``alpha > 0``. With ``alpha = 0`` its factors are returned. After
        ``alpha="auto"`` the refit is ``solution.noise.refit``, at a tested rank.
    max_iter, time_limit : optional
        The largest number of Newton steps, and of seconds.

    Returns
    -------
    tuple of ndarray
        Factors of the model, the flattest ones of their matrix.

    Raises
    ------
    InputError
        If the model has no such penalty, or the solution is not one of the problem.

    Examples
    --------
    >>> import flatmin as fm
    >>> from flatmin.solvers import refit
    >>> instance = fm.families.matrix_sensing.sample((8, 6), 1, 60, noise=0.1)
    >>> s = fm.flat_minimum(instance.problem, alpha=1.0)
    >>> L, R = refit(instance.problem, s)
    >>> errors = [abs(X - instance.truth).max() / abs(instance.truth).max() for X in (s.matrix, L @ R.T)]
    >>> [round(float(error), 2) for error in errors]
    [0.37, 0.05]
    """
    if not isinstance(problem, Problem) or not isinstance(solution, Solution):
        found = f"{type(problem).__name__} and {type(solution).__name__}"
        raise InputError(f"refit was given {found}, expected a flatmin Problem and its Solution")
    problem.expect_convex("a refit was asked")
    settings, limits = solution.settings, Limits(max_iter=max_iter, time_limit=time_limit)
    if not {"alpha", "metric_power", "seed"} <= set(settings):
        raise InputError("the solution does not say with what alpha it was made, expected one of flat_minimum")
    alpha, metric_power = check_alpha(settings["alpha"], settings["metric_power"])
    factors, seed = problem.check(solution.factors), seed_number(settings["seed"])
    if alpha == 0 or solution.rank == 0:
        return factors
    require(working_memory(problem), "refitting this solution")
    scaled = Scaled.from_problem(problem, metric_power, seed, weighted=False)
    if scaled.size == 0:
        return factors
    x, _ = scaled.start(problem, solution)
    with one_thread():
        end = least_squares(scaled, x, scaled.penalty(alpha), limits.start())
    found = unscaled(problem, scaled, end.x)
    before, after = (float(np.linalg.norm(problem.residual(f))) for f in (factors, found))
    return found if after <= before else factors


def least_squares(scaled: Scaled, x: Array, penalty: float, clock: Clock, tol: float | None = None) -> Minimum:
    """Return a fit of the rank of stacked factors x, with a hundred times the weight ``penalty`` of the misfit.

    If x is a minimum at ``penalty``, the residual of the fit is not larger. Proof: let F and G be the objectives with
    the old and the new weight. Then ``G(end) ≤ G(x)`` and ``F(x) ≤ F(end)``. In the sum of these inequalities the
    traces cancel.
    """
    return minimise(scaled.model, x, scaled.model.value(x), scaled.b, UNBIASED * penalty, tol or REFIT_GRADIENT, clock)


def unscaled(problem: Problem, scaled: Scaled, x: Array) -> Factors:
    """Return the flattest factors, in the units of the problem, of the matrix that stacked factors represent."""
    model = problem.parametrization
    U, s, V = scaled.model.canonical(x)
    factors = model.flattest(U, scaled.to_z * s, V, scaled.metric)
    return model.flattest(*model.singular(factors, problem.metric), problem.metric)
