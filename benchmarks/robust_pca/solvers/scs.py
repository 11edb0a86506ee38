"""cvxpy with SCS, as a user would write principal component pursuit."""

import cvxpy as cp
import numpy as np
import scs  # noqa: F401
from benchmarks.competitor import Competitor
from benchmarks.gross_errors import table


class Solver(Competitor):
    name = "scs"
    requirements = ["pip::cvxpy", "pip::scs"]
    budgets = (1e-7, 1e-8)

    def skip(self, problem, rank):
        large = np.prod(problem.shape) > 15_000
        return large, "a semidefinite programme with more than 15 000 unknowns takes it hours" if large else None

    def solve(self, budget):
        Y, seen = table(self.problem)
        scale, X = float(np.max(np.abs(Y))), cp.Variable(Y.shape)
        errors = cp.sum(cp.abs(cp.multiply(seen.astype(float), Y / scale - X)))
        weight = self.problem.loss.weight_for(self.problem.shape)
        programme = cp.Problem(cp.Minimize(cp.normNuc(X) + weight * errors))
        programme.solve(solver="SCS", eps=budget, max_iters=100_000)
        return {"answer": X.value * scale}
