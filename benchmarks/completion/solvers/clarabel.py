"""cvxpy with Clarabel at its default accuracy."""

import clarabel  # noqa: F401
import numpy as np
from benchmarks import convex_programme
from benchmarks.competitor import Competitor


class Solver(Competitor):
    name = "clarabel"
    requirements = ["pip::cvxpy", "pip::clarabel"]

    def skip(self, problem, rank):
        if np.prod(problem.shape) > 4_000:
            return True, "an interior point of 200 × 150 needs 30 GB"
        return False, None

    def solve(self, budget):
        return {"answer": convex_programme.solve(self.problem, "CLARABEL")}
