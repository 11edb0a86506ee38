"""flatmin's lowest rank by reweighting, which is not flat and never called so."""

from benchmarks.competitor import Competitor

import flatmin as fm


class Solver(Competitor):
    name = "flatmin-reweighted"

    def solve(self, budget):
        return {"answer": fm.reweighted_minimum(self.problem)}
