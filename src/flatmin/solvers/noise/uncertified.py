"""A fit without certificate, where a penalised solution would take too long."""

from __future__ import annotations

from dataclasses import replace

from flatmin.proofs.conic import certificate_of
from flatmin.solution import Noise, Solution
from flatmin.solvers.convex.minimum import convex_minimum
from flatmin.solvers.noise.pivotal import level_of_noise
from flatmin.solvers.task import Task

__all__ = ["uncertified_minimum"]


def uncertified_minimum(task: Task, noise: Noise | None = None) -> Solution:
    """Return the least-squares fit of the smallest rank that leaves noise, where a penalised solution takes too long.

    ``noise`` is what `level_of_noise` returned, if that is known.

    Its certificate says how far it is, at most, from the minimum of loss + alpha · scaled trace.
    """
    problem, noise = task.problem, noise or level_of_noise(task)
    if noise.alpha == 0:
        return convex_minimum(task)
    dual = -2 * problem.residual(noise.refit) / (problem.parametrization.trace_factor * noise.alpha * len(problem.data))
    at = task.at(noise.alpha)
    proof = certificate_of(
        problem,
        noise.refit,
        dual,
        alpha=noise.alpha,
        metric_power=task.metric_power,
        seed=int(task.seed),
        look_further=False,
    )
    return replace(at.solution(noise.refit, proof, at.status(proof), {}), noise=noise)
