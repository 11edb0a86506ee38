"""SoftImpute-ALS, which uses another norm (all rows count the same): only the cost of a sweep is compared."""

from benchmarks.competitor import Competitor
from benchmarks.soft_impute import soft_impute_als


class Solver(Competitor):
    name = "softimpute-als"
    sampling_strategy = "iteration"
    budgets = (1, 6)

    def solve(self, budget):
        strength = self.reg * len(self.values) / max(self.shape)
        U, s, V = soft_impute_als(self.rows, self.cols, self.values, self.shape, self.k, strength, 0.0, budget)
        return {"factors": (U * s, V), "sweeps": budget, "another_loss": True}
