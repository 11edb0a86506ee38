"""Flat solutions of sparse regression ``x = u_1 ∘ … ∘ u_N``."""

from __future__ import annotations

from flatmin._core.memory import require
from flatmin._core.threads import one_thread
from flatmin.parametrizations.hadamard import Hadamard
from flatmin.proofs.depth.hadamard import hadamard_certificate, hadamard_factors, hadamard_whitened
from flatmin.proofs.depth.power_minimum import minimise_power_norm
from flatmin.solution import Solution
from flatmin.solvers.task import Task

__all__ = ["hadamard_minimum"]


def hadamard_minimum(task: Task) -> Solution:
    """Return the flattest x with ``A x = b``, certified: the minimiser of ``2N Σ_j w_j |x_j|^(2 − 2/N)``.

    With alpha > 0 it minimises ``(1/m) ‖A x − b‖² + 2N alpha Σ_j w_j |x_j|^(2 − 2/N)``: for two factors the lasso with
    weights, for more of them something between the lasso and ridge regression.
    """
    task.expect_defaults("metric_power", "max_rank", "warm_start")
    problem, model = task.problem, task.problem.parametrization
    assert isinstance(model, Hadamard)
    m, n = problem.measurement.size, problem.shape[0]
    require(8.0 * (5 * m * n + 3 * min(m, n) ** 2), "solving this problem")
    with one_thread():
        B, units = hadamard_whitened(problem)
        penalty, history = model.depth * task.alpha * m, _History(task)
        found = minimise_power_norm(B, problem.data, model.power, penalty=penalty, watch=history.record)
        factors = hadamard_factors(problem, units * found.z)
        proof = hadamard_certificate(problem, factors, found.dual, alpha=task.alpha)
    status = task.status(proof, consistent=found.consistent, converged=found.converged)
    return task.solution(factors, proof, status, history.rows)


class _History:
    """The history of a solve; its ``record`` counts steps and says when the limits of the task are reached."""

    def __init__(self, task: Task) -> None:
        self.task, self.rows = task, dict[str, list[float]]()

    def record(self, row: dict[str, float]) -> bool:
        """Keep a row and return whether to stop."""
        budget = self.task.budget
        budget.iterations += bool(self.rows)
        row = {"iteration": float(budget.iterations), "seconds": budget.seconds, **row}
        for name, number in row.items():
            self.rows.setdefault(name, []).append(number)
        if self.task.callback is not None:
            self.task.callback(row)
        return budget.exhausted
