"""cvxpy with SCS, at tolerances from 1e-7 down until the referee's target is met."""

import numpy as np
import scs  # noqa: F401
from benchmarks import convex_programme
from benchmarks.competitor import Competitor


class Solver(Competitor):
    name = "scs"
    requirements = ["pip::cvxpy", "pip::scs"]
    budgets = (1e-7, 1e-8)

    def skip(self, problem, rank):
        if np.prod(problem.shape) > 40_000:
            return True, "a semidefinite programme with more than 40 000 unknowns takes it hours"
        return False, None

    def solve(self, budget):
        return {"answer": convex_programme.solve(self.problem, "SCS", eps=budget, max_iters=100_000)}
