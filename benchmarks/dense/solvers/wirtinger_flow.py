"""Truncated Wirtinger flow: gradient steps on the Poisson likelihood, without measurements that would mislead it.

Chen, Candès, "Solving random quadratic systems of equations is nearly as easy as solving linear systems",
Communications on Pure and Applied Mathematics 70 (2017), with the parameters of section 2.
"""

import numpy as np
from benchmarks.competitor import Competitor
from benchmarks.spectral_start import misfit, only_signals, scaled, spectral_start

#: Tuned, for real and complex measurements; at a third more both diverge.
STEP = {False: 0.2, True: 0.3}
LEAST, MOST, FAR, LARGE = 0.3, 5.0, 5.0, 3.0
STEPS = 3000


def wirtinger_flow(problem, tol):
    psi, forward, adjoint = scaled(problem)
    y, step = psi**2, 2 * STEP[bool(np.issubdtype(problem.measurement.dtype, np.complexfloating))] / len(psi)
    z = spectral_start(problem, np.where(y <= LARGE**2 * y.mean(), y, 0.0))
    for _ in range(STEPS):
        w = forward(z)
        if misfit(psi, w) <= tol:
            break
        size, gap = np.maximum(np.abs(w), 1e-300), np.abs(y - np.abs(w) ** 2)
        relative = size / np.linalg.norm(z)
        kept = (relative >= LEAST) & (relative <= MOST) & (gap <= FAR * gap.mean() * relative)
        z = z + step * adjoint(np.where(kept, (y - size**2) * w / size**2, 0.0))
    return z


class Solver(Competitor):
    name = "wirtinger-flow"
    budgets = (1e-8, 1e-10)

    def skip(self, problem, rank):
        return only_signals(problem)

    def solve(self, budget):
        return {"answer": wirtinger_flow(self.problem, budget)}
