"""pyrpca's inexact augmented Lagrangian, with the problem's own weight."""

import numpy as np
from benchmarks.competitor import Competitor
from benchmarks.gross_errors import table
from pyrpca import rpca_pcp_ialm


class Solver(Competitor):
    name = "pyrpca"
    requirements = ["pip::pyrpca"]
    budgets = (1e-7, 1e-9)

    def skip(self, problem, rank):
        missing = len(problem.data) < np.prod(problem.shape)
        return missing, "it takes no missing cells" if missing else None

    def prepare(self):
        self.table, self.weight = table(self.problem)[0], self.problem.loss.weight_for(self.problem.shape)

    def solve(self, budget):
        return {"answer": rpca_pcp_ialm(self.table, self.weight, max_iter=1000, tol=budget, verbose=False)[0]}
