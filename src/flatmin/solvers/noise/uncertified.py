"""A fast least-squares fit to noisy data, for problems whose penalised solution would take too long."""

from dataclasses import replace

from flatmin._core.limits import Clock
from flatmin.proofs.cone_certificate import certificate_of
from flatmin.solution import Noise, Solution
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.task import Task, status_of

__all__ = ["uncertified_minimum"]


def uncertified_minimum(task: Task, clock: Clock, noise: Noise | None = None) -> Solution:
    """Return the least-squares fit of the smallest rank whose residual passes for noise.

    The certificate of the solution bounds how far loss + alpha · scaled trace is above its minimum. ``noise`` is the
    result of `level_of_noise`, if it is known.
    """
    problem, noise = task.problem, noise or level_of_noise(task, clock)
    if noise.alpha == 0:
        return convex_minimum(task, clock)
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
