"""cmfrec by Cholesky factorizations or conjugate gradients, on the same objective and in the same precision.

It starts near zero, where conjugate gradients end at once: a sweep's time is that of sweeps 5 to 8.
"""

import cmfrec
from benchmarks.competitor import Competitor, threads
from scipy.sparse import coo_matrix


class Solver(Competitor):
    name = "cmfrec"
    requirements = ["pip::cmfrec"]
    parameters = {"method": ["cholesky", "cg"]}
    sampling_strategy = "iteration"
    budgets = (4, 8)

    def set_objective(self, **problem):
        self.budgets = (1, 11, 51, 101, 201, 401) if len(problem["values"]) <= 200_000 else self.budgets
        super().set_objective(**problem)

    def prepare(self):
        self.table = coo_matrix((self.values, (self.rows, self.cols)), shape=self.shape)

    def solve(self, budget):
        plain = {"user_bias": False, "item_bias": False, "center": False, "precompute_for_predictions": False}
        model = cmfrec.CMF(
            k=self.k, lambda_=self.reg, scale_lam=True, method="als", use_cg=self.method == "cg", finalize_chol=False,
            niter=budget, use_float=False, nthreads=threads(), random_state=1, verbose=False, **plain,
        )  # fmt: skip
        model.fit(self.table)
        return {"factors": (model.A_, model.B_), "sweeps": budget}
