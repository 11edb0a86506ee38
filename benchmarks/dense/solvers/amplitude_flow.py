"""Reweighted amplitude flow: gradient steps on ``Σ w_i (|a_i* z| − ψ_i)²``, weights large where the amplitude is.

Wang, Giannakis, Saad, Chen, "Phase retrieval via reweighted amplitude flow", IEEE Trans. Signal Process. 66 (2018).
"""

import numpy as np
from benchmarks.competitor import Competitor
from benchmarks.spectral_start import misfit, only_signals, scaled, spectral_start

#: Tuned, for real and complex measurements; at a quarter or a third more it diverges.
STEP = {False: 4.0, True: 6.0}
#: The paper's share of largest amplitudes and their power at the start, and how fast weights fall for real and complex.
SHARE, POWER, BETA = 3 / 13, 0.5, {False: 10.0, True: 5.0}
STEPS = 3000


def amplitude_flow(problem, tol):
    psi, forward, adjoint = scaled(problem)
    m, is_complex = len(psi), bool(np.issubdtype(problem.measurement.dtype, np.complexfloating))
    largest = psi >= np.quantile(psi, 1 - SHARE)
    z = spectral_start(problem, np.where(largest, psi**POWER, 0.0))
    for _ in range(STEPS):
        w = forward(z)
        if misfit(psi, w) <= tol:
            break
        size = np.maximum(np.abs(w), 1e-300)
        weights = size / (size + BETA[is_complex] * psi)
        z = z - STEP[is_complex] / m * adjoint(weights * (w - psi * w / size))
    return z


class Solver(Competitor):
    name = "amplitude-flow"
    budgets = (1e-8, 1e-10)

    def skip(self, problem, rank):
        return only_signals(problem)

    def solve(self, budget):
        return {"answer": amplitude_flow(self.problem, budget)}
