"""tensorly's robust PCA: it counts the nuclear norm once an axis, so twice for a matrix, and has an absolute tol."""

import numpy as np
from benchmarks.competitor import Competitor
from benchmarks.gross_errors import table
from tensorly.decomposition import robust_pca


class Solver(Competitor):
    name = "tensorly"
    requirements = ["pip::tensorly"]
    budgets = (1e-8,)

    def prepare(self):
        self.table, self.seen = table(self.problem)
        self.weight = self.problem.loss.weight_for(self.problem.shape)

    def solve(self, budget):
        start = 1.25 / np.linalg.norm(self.table, 2)
        limits = {"tol": budget * np.linalg.norm(self.table), "n_iter_max": 1000, "learning_rate": 1.1, "verbose": 0}
        mask = self.seen.astype(float)
        return {"answer": robust_pca(self.table, mask=mask, reg_J=0.5, reg_E=self.weight, mu_init=start, **limits)[0]}
