"""cvxpy with Clarabel at its default accuracy."""

import clarabel  # noqa: F401
from benchmarks import convex_programme
from benchmarks.competitor import Competitor


class Solver(Competitor):
    name = "clarabel"
    requirements = ["pip::cvxpy", "pip::clarabel"]

    def skip(self, problem, rank):
        return convex_programme.unsuited(problem)

    def solve(self, budget):
        return {"answer": convex_programme.solve(self.problem, "CLARABEL")}
