"""flatmin: the certified optimum over all ranks."""

import numpy as np
from benchmarks.competitor import Competitor

import flatmin as fm


class Solver(Competitor):
    name = "flatmin"
    parameters = {"tol": [1e-6]}

    def solve(self, budget):
        problem = fm.Problem(fm.measurements.Entries(self.rows, self.cols, self.shape), self.values)
        strength = self.reg * np.sqrt(np.prod(self.shape)) / 2
        return {"factors": fm.flat_minimum(problem, alpha=strength, tol=self.tol).factors}
