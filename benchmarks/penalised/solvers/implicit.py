"""implicit, which minimises another loss (every cell counts, in float32): only the cost of a sweep is compared."""

import numpy as np
from benchmarks.competitor import Competitor, threads
from implicit.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix


class Solver(Competitor):
    name = "implicit"
    requirements = ["pip::implicit"]
    parameters = {"method": ["cholesky", "cg"]}
    sampling_strategy = "iteration"
    budgets = (1, 4)

    def prepare(self):
        self.table = csr_matrix((np.abs(self.values).astype(np.float32), (self.rows, self.cols)), shape=self.shape)

    def solve(self, budget):
        model = AlternatingLeastSquares(
            factors=self.k, regularization=self.reg, use_cg=self.method == "cg", iterations=budget,
            num_threads=threads(), random_state=1,
        )  # fmt: skip
        model.fit(self.table, show_progress=False)
        return {"factors": (model.user_factors, model.item_factors), "sweeps": budget, "another_loss": True}
