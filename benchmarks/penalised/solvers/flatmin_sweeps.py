"""The half sweeps of flatmin's engine, without acceleration and certificate, for a given number of sweeps."""

import numpy as np
from benchmarks.competitor import Competitor

from flatmin.linalg.kernels import Cells


class Solver(Competitor):
    name = "flatmin-sweeps"
    sampling_strategy = "iteration"
    budgets = (4, 8)

    def set_objective(self, **problem):
        self.budgets = (1, 11, 51) if len(problem["values"]) <= 200_000 else self.budgets
        super().set_objective(**problem)

    def solve(self, budget):
        cells = Cells.from_positions(self.rows, self.cols, self.shape)
        values = cells.arranged(self.values)
        turned, across = cells.transposed, cells.transposed.arranged(values)
        sides = (self.rows, self.shape[0]), (self.cols, self.shape[1])
        penalties = [self.reg * np.bincount(side, minlength=d) for side, d in sides]
        R = np.random.default_rng(1).standard_normal((self.shape[1], self.k)) / np.sqrt(self.k)
        for _ in range(budget):
            L, _ = cells.ridge(values, R, penalties[0])
            R, _ = turned.ridge(across, L, penalties[1])
        return {"factors": (L, R), "sweeps": budget}
