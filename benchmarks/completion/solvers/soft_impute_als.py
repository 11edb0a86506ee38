"""SoftImpute-ALS with a penalty that is lowered to the tolerance; it minimises another norm, and is given the rank."""

import numpy as np
from benchmarks.competitor import Competitor
from benchmarks.soft_impute import soft_impute_als

#: Sweeps at each penalty, and the factor by which it falls.
SWEEPS, FALL = 30, 0.3


class Solver(Competitor):
    name = "softimpute-als"
    budgets = (1e-8,)

    def skip(self, problem, rank):
        if len(problem.data) > 200_000:
            return True, "thousands of sweeps at half a second each"
        return False, None

    def solve(self, budget):
        A, b = self.problem.measurement, self.problem.data
        X, penalty = None, float(np.linalg.norm(b))
        least = budget * penalty
        while penalty > least:
            penalty *= FALL
            X = soft_impute_als(A.rows, A.cols, b, self.problem.shape, 2 * self.rank, penalty, budget, SWEEPS, X)
        U, s, V = X
        return {"answer": (U * s, V)}
