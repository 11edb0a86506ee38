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
        L, R = fm.flat_minimum(problem, alpha=strength, tol=self.tol).factors
        # The scaled trace shares a size between the factors as the sides of the matrix are, F evenly.
        sizes = [
            np.sum(np.bincount(side, minlength=len(F))[:, None] * F**2) for side, F in ((self.rows, L), (self.cols, R))
        ]
        even = (sizes[1] / sizes[0]) ** 0.25 if min(sizes) > 0 else 1.0
        return {"factors": (even * L, R / even)}
