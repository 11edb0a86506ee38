"""flatmin itself, certificate included."""

from benchmarks.competitor import Competitor

import flatmin as fm


class Solver(Competitor):
    name = "flatmin"
    parameters = {"tol": [1e-9]}

    def solve(self, budget):
        return {"answer": fm.flat_minimum(self.problem, tol=self.tol)}
