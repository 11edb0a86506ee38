"""Solver for flat solutions of sparse regression, ``x = u_1 ∘ … ∘ u_N``."""

from flatmin._core.limits import Clock
from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.proofs.depth.hadamard import hadamard_certificate, hadamard_factors, hadamard_whitened
from flatmin.proofs.depth.power_minimum import minimise_power_norm
from flatmin.solution import Solution
from flatmin.solvers.task import Task, status_of

__all__ = ["hadamard_minimum"]


def hadamard_minimum(task: Task, clock: Clock) -> Solution:
    """Return the flattest x with ``A x = b``, certified: the minimiser of ``2N Σ_j w_j |x_j|^(2 − 2/N)``.

    With alpha > 0, x minimises ``(1/m) ‖A x − b‖² + 2N alpha Σ_j w_j |x_j|^(2 − 2/N)``. With two factors this problem
    is the weighted lasso; with more factors it lies between the lasso and ridge regression.
    """
    task.expect_defaults("metric_power", "max_rank", "warm_start")
    problem, model = task.problem, task.problem.parametrization
    assert isinstance(model, Hadamard)
    m, n = problem.measurement.size, problem.shape[0]
    require(8.0 * (5 * m * n + 3 * min(m, n) ** 2), "solving this problem")
    with one_thread():
        B, units = hadamard_whitened(problem)
        penalty = model.depth * task.alpha * m
        found = minimise_power_norm(B, problem.data, model.power, clock, task.limits.callback, penalty=penalty)
        factors = hadamard_factors(problem, units * found.z)
        proof = hadamard_certificate(problem, factors, found.dual, alpha=task.alpha)
    status = status_of(proof, clock, consistent=found.consistent, converged=found.converged)
    return task.solution(clock, factors, proof, status, found.history)
