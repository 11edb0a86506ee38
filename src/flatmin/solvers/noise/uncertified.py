"""A fast least-squares fit to noisy data, for problems whose penalised solution would take too long."""

from dataclasses import replace

from flatmin._core.limits import Clock
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.solution import Solution
from flatmin.solvers.noise.pivotal import exact_fit_or_noise
from flatmin.solvers.task import Task, status_of

__all__ = ["uncertified_minimum"]


def uncertified_minimum(task: Task, clock: Clock) -> Solution:
    """Return the least-squares fit of the smallest rank whose residual passes for noise, or an exact fit, certified.

    The certificate of a fit to noisy data bounds how far loss + alpha · scaled trace is above its minimum.
    """
    found = exact_fit_or_noise(task, clock)
    if isinstance(found, Solution):
        return found
    problem, noise = task.problem, found
    dual = -2 * problem.residual(noise.refit) / (problem.parametrization.trace_factor * noise.alpha * len(problem.data))
    at = replace(task, alpha=noise.alpha)
    proof = certificate_of(
        problem,
        noise.refit,
        dual,
        alpha=noise.alpha,
        metric_power=task.metric_power,
        seed=task.limits.seed,
        look_further=False,
    )
    return replace(at.solution(clock, noise.refit, proof, status_of(proof, clock), {}), noise=noise)
