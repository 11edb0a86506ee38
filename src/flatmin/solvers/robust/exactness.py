"""A test of a few rounds whether a table with gross errors is otherwise free of noise."""

import numpy as np

from flatmin._core.limits import Callback, Limits
from flatmin.problem import Problem
from flatmin.solvers.robust.minimum import robust_minimum
from flatmin.solvers.task import Task

__all__ = ["is_exact"]

#: Number of cells times rounds of the test, and the smallest and largest number of rounds.
WORK = 2e7
FEWEST_ROUNDS = 40
MOST_ROUNDS = 400
#: Relative duality gap at which the split of the test counts as found.
GAP = 1e-6
#: A residual counts as rounding error below this share of the largest entry of the data.
ROUNDING = 1e-6
#: The data count as exact if at least this many cells are fitted for each degree of freedom of the low-rank part.
SURPLUS = 1.5
#: Errors of fewer steps than this may be rounding errors of data that are whole multiples of a step.
STEPS = 2.0
#: Largest share of such errors among all errors, if the data count as exact.
FEW = 0.1


def is_exact(problem: Problem, *, step: float = 0.0, seed: int = 0, callback: Callback | None = None) -> bool:
    """Return whether a matrix of low rank fits most cells of data with gross errors to rounding errors.

    A split without penalty is tried for a few rounds, in which exact data are split and noisy data are not: their dual
    matrix needs hundreds of rounds. Data count as exact if the split is certified and fits more cells than its
    low-rank part has degrees of freedom; for most data there is no such fit.

    Parameters
    ----------
    problem : Problem
        Observed cells of a matrix with the loss `Absolute`.
    step : float
        The distance between two neighbouring values if the data are rounded, such as 1/255 for pixels of 8 bits. If
        many errors are about as small as a step, they come from rounding, and the data are not exact.
    seed : int
        Seed of random starts.
    callback : callable, optional
        Called with every row of the history.
    """
    data = problem.data
    rounds = int(np.clip(WORK / len(data), FEWEST_ROUNDS, MOST_ROUNDS))
    limits = Limits(tol=GAP, max_iter=rounds, seed=seed, callback=callback)
    solution = robust_minimum(Task(problem, limits=limits), limits.start())
    if not solution.status.certified:
        return False
    sizes = np.abs(problem.residual(solution.factors))
    wrong = sizes > ROUNDING * float(np.max(np.abs(data)))
    freedom = solution.rank * (sum(problem.shape) - solution.rank)
    small = np.count_nonzero(wrong & (sizes < STEPS * step))
    return bool(np.count_nonzero(~wrong) > SURPLUS * freedom and small <= FEW * np.count_nonzero(wrong))
